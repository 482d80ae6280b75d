// SPDX-License-Identifier: GPL-3.0-or-later
// A verify without any key: every pack is what its name says.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "config/base/log.h"
#include "fs/store/document_pair.h"
#include "fs/store/index/index.h"
#include "fs/store/verify/verify.h"

namespace cairn {

using std::chrono::steady_clock;

namespace {

// The index is not sealed: whose it is stands in store.json.
Result<std::shared_ptr<Index>> open_keyless_index(Backend& backend, const std::filesystem::path& folder) {
  static constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 20U;
  auto text = backend.get(kStoreDocument, kMostBytes);
  if (!text) text = backend.get(kStoreDocumentCopy, kMostBytes);
  if (!text) return pass_on(std::move(text).error());
  CAIRN_TRY(const StoreDocument document, read_store_document(as_text(*text), backend.location()));
  return Index::open(folder, document.id);
}

// `there`: names of packs, sorted.
Result<void> compare_with_index(Index& index, const std::vector<std::string>& there, KeylessReport& report) {
  CAIRN_TRY(const auto rows, index.packs());
  std::uint64_t expected = 0;
  for (const PackRow& row : rows) {
    if (row.retired == Retired::unneeded || row.retired == Retired::gone) continue;
    ++expected;
    if (std::ranges::binary_search(there, row.name)) continue;
    // A collection may have removed it since it was listed.
    CAIRN_TRY(const auto now, index.pack(row.name));
    if (now && now->retired != Retired::unneeded && now->retired != Retired::gone) report.missing.push_back(row.name);
  }
  report.expected = expected;
  return {};
}

void look_for_missing(Backend& backend, const std::filesystem::path& index_folder,
                      const std::vector<std::string>& there, KeylessReport& report) {
  if (const auto points = backend.list("points/")) report.points = points->size();
  const auto index = open_keyless_index(backend, index_folder);
  const auto compared = index ? compare_with_index(**index, there, report) : Result<void>(pass_on(index.error()));
  if (compared) return;
  report.not_expected = compared.error().message();
  report.missing.clear();
}

}  // namespace

Result<KeylessReport> verify_keyless(Backend& backend, const KeylessOptions& options) {
  const auto began = steady_clock::now();
  CAIRN_TRY(const auto objects, backend.list("packs/"));
  KeylessReport report;
  std::vector<PackToCheck> packs;
  for (std::string& name : pack_names_of(objects)) packs.push_back({std::move(name), 0, packs.size()});
  if (packs.size() != objects.size()) {
    std::set<std::string> known;
    for (const PackToCheck& pack : packs) known.insert(pack_object(pack.name));
    for (const std::string& object : objects)
      if (!known.contains(object)) report.unexpected_files.push_back(object);
  }
  if (objects.empty()) {
    const auto document = backend.open(kStoreDocument);
    if (!document)
      return fail(ErrorCode::store_missing, "verify store", backend.location(),
                  "it holds neither packs nor store.json");
  }
  std::ranges::sort(packs, {}, &PackToCheck::name);
  std::vector<std::string> there;
  for (const PackToCheck& pack : packs) there.push_back(pack.name);
  look_for_missing(backend, options.index_folder, there, report);
  std::uint64_t total = 0;
  if (options.progress)
    for (const PackToCheck& pack : packs)
      if (const auto object = backend.open(pack_object(pack.name))) total += (*object)->size();
  RateLimit rate(options.rate);
  PackCheckOptions check;
  check.threads = options.threads;
  check.rate = &rate;
  check.stop = options.stop;
  CAIRN_CHECK(
      check_packs(backend, packs, check, [&](const PackToCheck& pack, const PackVerdict& verdict) -> Result<void> {
        report.bytes += verdict.bytes;
        ++report.packs;
        if (options.progress) options.progress(report.bytes, std::max(total, report.bytes));
        if (verdict.state == PackState::unreadable)
          report.unreadable.push_back(pack_object(pack.name) + ": " + verdict.because);
        else if (verdict.state == PackState::damaged)
          report.damaged.push_back({pack.name, verdict.state, system_clock().now(), verdict.because});
        else if (verdict.state == PackState::missing)
          --report.packs;  // removed since it was listed
        return {};
      }));
  report.took = std::chrono::duration_cast<std::chrono::milliseconds>(steady_clock::now() - began);
  return report;
}

nlohmann::json to_json(const KeylessReport& report) {
  nlohmann::json damaged = nlohmann::json::array();
  for (const DamagedPack& pack : report.damaged) damaged.push_back({{"name", pack.name}, {"because", pack.because}});
  const double seconds = static_cast<double>(std::max<std::int64_t>(1, report.took.count())) / 1000;
  return {{"clean", report.clean()},
          {"packs_read", report.packs},
          {"bytes_read", report.bytes},
          {"bytes_per_second", static_cast<std::uint64_t>(static_cast<double>(report.bytes) / seconds)},
          {"damaged", std::move(damaged)},
          {"unreadable", report.unreadable},
          {"unexpected_files", report.unexpected_files},
          {"expected_packs", report.expected ? nlohmann::json(*report.expected) : nlohmann::json(nullptr)},
          {"not_expected", report.not_expected},
          {"missing", report.missing},
          {"points", report.points},
          {"duration_ms", report.took.count()}};
}

}  // namespace cairn
