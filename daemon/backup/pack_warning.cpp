// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/backup/pack_warning.h"

#include <fmt/core.h>

#include "config/base/log.h"
#include "daemon/queue/job.h"
#include "fs/store/store.h"
#include "fs/store/verify/damage.h"
#include "fs/store/write/store_writer.h"

namespace cairn {

void warn_of_packs(Store& store, const StoreWriter& writer, UtcTime now, JobContext& job) {
  const PackFindings& findings = writer.pack_findings();
  if (findings.none()) return;
  std::string what;
  const auto tell = [&](const std::vector<std::string>& packs, const char* how) {
    if (packs.empty()) return;
    what += fmt::format("{}{} {} {} (the first: {})", what.empty() ? "" : ", ", packs.size(),
                        packs.size() == 1 ? "pack" : "packs", how, packs.front());
  };
  tell(findings.missing, "missing");
  tell(findings.other_size, "of another size than written");
  job.warn(
      fmt::format("the store has {}: points made before may have lost data. What is needed of them now is stored "
                  "anew; run \"cairn verify\", which says what is lost",
                  what));
  if (const auto kept = keep_findings(store, findings, now); !kept)
    log_error("damage-not-recorded", store.path().string(), kept.error());
}

}  // namespace cairn
