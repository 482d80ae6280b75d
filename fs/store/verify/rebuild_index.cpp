// SPDX-License-Identifier: GPL-3.0-or-later
// Making an index from what the packs' footers say.
#include <algorithm>
#include <set>

#include "config/base/error.h"
#include "config/base/log.h"
#include "fs/store/store_state.h"
#include "fs/store/verify/damage.h"

namespace cairn {
namespace {

std::set<std::string> packs_known_as_damaged(Store& store) {
  std::set<std::string> names;
  if (const auto damage = load_damage(store))
    for (const DamagedPack& pack : damage->packs) names.insert(pack.name);
  return names;
}

// What is known to be damaged is not found by writers in the new index either.
Result<void> retire_damaged(Index& index, const std::set<std::string>& damaged) {
  if (damaged.empty()) return {};
  CAIRN_TRY(const auto rows, index.packs());
  std::vector<PackNumber> numbers;
  for (const PackRow& row : rows)
    if (damaged.contains(row.name)) numbers.push_back(row.number);
  return numbers.empty() ? Result<void>() : index.retire(numbers, Retired::damaged);
}

}  // namespace

Result<RebuildReport> Store::build_index(const std::filesystem::path& folder) {
  CAIRN_TRY(const auto objects, state_->backend->list("packs/"));
  std::vector<std::string> pack_names = pack_names_of(objects);
  std::ranges::sort(pack_names);
  // Of two records of one name the first pack's stays: the damaged ones come last.
  const std::set<std::string> damaged = packs_known_as_damaged(*this);
  std::ranges::stable_partition(pack_names, [&](const std::string& name) { return !damaged.contains(name); });
  CAIRN_CHECK(Index::create(folder, state_->document.id));
  CAIRN_TRY(const auto index, Index::open(folder, state_->document.id));
  RebuildReport report;
  std::vector<IndexedPack> batch;
  std::size_t batch_records = 0;
  const auto add_batch = [&]() -> Result<void> {
    CAIRN_CHECK(index->add(batch));
    batch.clear();
    batch_records = 0;
    return {};
  };
  for (const std::string& pack_name : pack_names) {
    const auto records = state_->read_footer(pack_name);
    if (!records && !is_damage_error(records.error())) return pass_on(records.error());  // perhaps readable tomorrow
    if (!records) {
      log_error("pack-damaged", pack_name, records.error());
      report.damaged_packs.push_back(pack_name);
      continue;
    }
    report.packs += 1;
    report.records += records->records.size();
    batch_records += records->records.size();
    batch.push_back(*records);
    if (batch_records >= kIndexBatchRecords) CAIRN_CHECK(add_batch());
  }
  CAIRN_CHECK(add_batch());
  CAIRN_CHECK(retire_damaged(*index, damaged));
  return report;
}

Result<void> Store::State::relist_pack(Index& open_index, const PackRow& row) {
  CAIRN_TRY(const IndexedPack pack, read_footer(row.name));
  return open_index.relist(row.number, pack);
}

Result<RebuildReport> Store::use_private_index(const std::filesystem::path& folder) {
  CAIRN_TRY(RebuildReport report, build_index(folder));
  state_->forget_index();
  state_->private_index = folder;
  return report;
}

}  // namespace cairn
