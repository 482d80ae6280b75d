// SPDX-License-Identifier: GPL-3.0-or-later
// A verify without any key: every pack is what its name says.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "config/base/log.h"
#include "fs/store/document_pair.h"
#include "fs/store/verify/verify.h"

namespace cairn {

using std::chrono::steady_clock;

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
  return {{"clean", report.damaged.empty() && report.unreadable.empty()},
          {"packs_read", report.packs},
          {"bytes_read", report.bytes},
          {"bytes_per_second", static_cast<std::uint64_t>(static_cast<double>(report.bytes) / seconds)},
          {"damaged", std::move(damaged)},
          {"unreadable", report.unreadable},
          {"unexpected_files", report.unexpected_files},
          {"duration_ms", report.took.count()}};
}

}  // namespace cairn
