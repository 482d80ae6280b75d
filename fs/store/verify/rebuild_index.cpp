// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/verify/rebuild_index.h"

#include <algorithm>
#include <set>

#include "config/base/error.h"
#include "config/base/log.h"
#include "fs/store/index/index_place.h"
#include "fs/store/store.h"
#include "fs/store/store_state.h"
#include "fs/store/verify/damage.h"
#include "fs/store/writer_lock.h"

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

// An index of what the packs' footers say, less what is known to be damaged.
Result<RebuildReport> build_index(Store& store, const std::filesystem::path& folder) {
  StoreState& state = store.state();
  CAIRN_TRY(const auto objects, state.backend->list("packs/"));
  std::vector<std::string> pack_names = pack_names_of(objects);
  std::ranges::sort(pack_names);
  // Of two records of one name the first pack's stays: the damaged ones come last.
  const std::set<std::string> damaged = packs_known_as_damaged(store);
  std::ranges::stable_partition(pack_names, [&](const std::string& name) { return !damaged.contains(name); });
  CAIRN_CHECK(Index::create(folder, state.document.id));
  CAIRN_TRY(const auto index, Index::open(folder, state.document.id));
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
    const auto records = read_footer(state, pack_name);
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

struct RemoveAtEnd {
  std::filesystem::path path;
  ~RemoveAtEnd() { static_cast<void>(remove_index(path).has_value()); }
};

}  // namespace

Result<void> relist_pack(StoreState& state, Index& index, const PackRow& row) {
  CAIRN_TRY(const IndexedPack pack, read_footer(state, row.name));
  return index.relist(row.number, pack);
}

Result<RebuildReport> rebuild_index(Store& store) {
  StoreState& state = store.state();
  const auto no_writer_begins = state.writer.lock();
  CAIRN_TRY(const WriterLock lock, WriterLock::take(state.places, "rebuild-index"));
  CAIRN_CHECK(state.backend->settle("packs/"));  // the index is to name what will still be there
  // Built beside the old one and then exchanged: whoever reads meanwhile keeps what it has open.
  const std::filesystem::path fresh = state.places.new_index_folder;
  CAIRN_CHECK(remove_index(fresh));
  const RemoveAtEnd cleaner{fresh};
  CAIRN_TRY(RebuildReport report, build_index(store, fresh));
  state.index.forget();
  state.packs.clear();
  CAIRN_CHECK(put_index_in_place(fresh, state.index.folder()));
  return report;
}

Result<RebuildReport> use_private_index(Store& store, const std::filesystem::path& folder) {
  CAIRN_TRY(RebuildReport report, build_index(store, folder));
  store.state().index.read_from(folder);
  return report;
}

}  // namespace cairn
