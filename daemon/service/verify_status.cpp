// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/service/verify_status.h"

#include "daemon/queue/job_record.h"
#include "fs/store/verify/verify.h"

namespace cairn {
namespace {

using nlohmann::json;
using std::chrono::steady_clock;

constexpr std::chrono::seconds kKept{60};

json damage_document(Store& store) {
  const auto damage = load_damage(store);
  json document{{"found", nullptr}, {"packs", 0},     {"points", json::array()},
                {"gaps", 0},        {"documents", 0}, {"error", nullptr}};
  if (!damage) {
    document["error"] = to_json(damage.error());
    return document;
  }
  if (damage->none()) return document;
  document["found"] = iso_time(damage->found);
  document["packs"] = damage->packs.size();
  document["gaps"] = damage->gaps.size();
  document["documents"] = damage->documents.size();
  for (const PointDamage& point : damage->points) {
    std::uint64_t bytes = 0;
    for (const DiskDamage& disk : point.disks) bytes += disk.bytes;
    document["points"].push_back({{"point", point.point.text()}, {"bytes", bytes}});
  }
  return document;
}

json age_document(Store& store) {
  const auto age = verify_age(store);
  if (!age) return {{"error", to_json(age.error())}};
  return {{"packs", age->packs},
          {"bytes", age->bytes},
          {"never_bytes", age->never_bytes},
          {"oldest", time_or_null(age->oldest)},
          {"since", time_or_null(age->since)},
          {"error", nullptr}};
}

}  // namespace

json VerifyStatus::document(Store& store, const Settings& settings, UtcTime now) {
  json document;
  {
    const auto known = known_.lock();
    if (steady_clock::now() < known->until) document = known->document;
  }
  if (document.is_null()) {
    document = age_document(store);
    document["damage"] = damage_document(store);
    *known_.lock() = {document, steady_clock::now() + kKept};
  }
  const auto& every = settings.maintenance.verify_every;
  document["every_s"] = every ? json(every->count()) : json(nullptr);
  const auto since = document.contains("since") && document["since"].is_string()
                         ? parse_iso_time(document["since"].get<std::string>())
                         : std::nullopt;
  document["late"] = every && since && now - *since > *every;
  return document;
}

void VerifyStatus::forget() {
  known_.lock()->document = nullptr;
}

}  // namespace cairn
