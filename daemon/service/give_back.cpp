// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/service/give_back.h"

#include "config/base/log.h"
#include "config/base/units.h"
#include "daemon/queue/job.h"
#include "fs/store/collect/garbage.h"
#include "fs/store/store.h"
#include "fs/store/write/store_writer.h"

namespace cairn {

bool is_want_of_space(const Error& error) {
  return error.code == ErrorCode::no_space || error.code == ErrorCode::space_reserved;
}

Error give_back(Store& store, JobContext& job, std::uint64_t rate, Error error) {
  const auto report = [&]() -> Result<CollectReport> {
    CAIRN_TRY(const auto writer, begin_writing(store, "collection after a backup that did not fit"));
    CollectOptions options;
    options.rate = rate;
    options.stop = job.stop();
    return collect_garbage(*writer, options);
  }();
  if (!report) {
    log_error("space-not-given-back", store.path().string(), report.error());
    error.because += "; garbage could not be collected: " + report.error().message();
  } else if (report->freed_bytes != 0) {
    error.because += "; garbage of the store was collected, " + format_size(report->freed_bytes) + " are free again";
  }
  return error;
}

}  // namespace cairn
