// SPDX-License-Identifier: GPL-3.0-or-later
// The door where exceptions of such work end: out of memory must not end the process.
#include "config/base/poked_thread.h"

#include <exception>
#include <nlohmann/json.hpp>
#include <utility>

#include "config/base/exception_door.h"
#include "config/base/left_behind.h"
#include "config/base/log.h"

namespace cairn {

using std::chrono::milliseconds;

PokedThread::PokedThread(std::string failure, std::string object, Work work)
    : failure_(std::move(failure)), object_(std::move(object)), work_(std::move(work)) {}

PokedThread::~PokedThread() {
  stop();
}

void PokedThread::start(milliseconds first_wait) {
  thread_ = std::jthread([this, first_wait](const std::stop_token& stop) {
    run(first_wait, stop);
    const auto ended = ended_.lock();  // held while it is told: this may go right after
    *ended = true;
    has_ended_.notify_all();
  });
}

void PokedThread::poke() {
  *poked_.lock() = true;
  wake_.notify_all();
}

void PokedThread::stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

bool PokedThread::stop_within(milliseconds most) {
  thread_.request_stop();
  if (!thread_.joinable()) return true;
  {
    auto ended = ended_.lock();
    if (!has_ended_.wait_for(ended.held(), most, [&] { return *ended; })) {
      note_left_behind();
      return false;
    }
  }
  thread_.join();
  return true;
}

void PokedThread::run(std::optional<milliseconds> wait, const std::stop_token& stop) {
  for (;;) {
    Why why = Why::due;
    {
      auto poked = poked_.lock();
      const auto is_poked = [&poked] { return *poked; };
      if (wait)
        (void)wake_.wait_for(poked.held(), stop, *wait, is_poked);
      else
        (void)wake_.wait(poked.held(), stop, is_poked);
      if (stop.stop_requested()) return;
      if (std::exchange(*poked, false)) why = Why::poked;
    }
    wait = work_once(why, stop);
  }
}

std::optional<milliseconds> PokedThread::work_once(Why why, const std::stop_token& stop) {
  const auto worked = without_exceptions("go on with", object_,
                                         [&]() -> Result<std::optional<milliseconds>> { return work_(why, stop); });
  if (worked) return *worked;
  log_event(LogLevel::error, failure_, object_, {{"because", worked.error().message()}});
  return kAfterFailure;
}

}  // namespace cairn
