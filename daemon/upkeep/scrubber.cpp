// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/upkeep/scrubber.h"

#include <algorithm>

#include "config/base/exception_door.h"
#include "config/base/log.h"

namespace cairn {
namespace {

using std::chrono::seconds;

// The clock may be set: nobody waits longer than this without looking at it.
constexpr seconds kLongestPause = std::chrono::minutes(5);
constexpr int kAimFactor = 2;   // of the goal's speed
constexpr int kLateFactor = 4;  // of that

}  // namespace

seconds scrub_interval(seconds every) {
  return std::clamp<seconds>(every / 30, std::chrono::hours(1), std::chrono::days(1));
}

ScrubSlice scrub_slice(seconds every, std::uint64_t bytes, std::optional<UtcTime> since, UtcTime now) {
  const double share = static_cast<double>(scrub_interval(every).count()) / static_cast<double>(every.count());
  double wanted = static_cast<double>(bytes) * share * kAimFactor;
  if (since && now - *since > every) wanted *= kLateFactor;
  return {std::clamp<std::uint64_t>(static_cast<std::uint64_t>(wanted), 1, std::max<std::uint64_t>(bytes, 1)),
          now - every / kAimFactor};
}

Scrubber::Scrubber(const Clock& clock, Hooks hooks)
    : clock_(clock),
      hooks_(std::move(hooks)),
      thread_("verify-failed", "store", [this](PokedThread::Why why, const std::stop_token&) {
        // New settings change the rhythm; they are no reason to read at once.
        if (why == PokedThread::Why::due) wait_ = look();
        return wait_;
      }) {}

Scrubber::~Scrubber() {
  stop();
}

void Scrubber::start() {
  thread_.start(kScrubGrace);
}

void Scrubber::poke() {
  thread_.poke();
}

void Scrubber::stop() {
  thread_.stop();
}

seconds Scrubber::look() {
  const auto every = hooks_.settings()->maintenance.verify_every;
  if (!every) return kLongestPause;
  const seconds interval = scrub_interval(*every);
  const UtcTime now = clock_.now();
  auto last = hooks_.last();
  if (begun_ && (!last || *last < *begun_)) last = begun_;
  // A last one in the future was that of a wrong clock.
  if (last && *last <= now && now - *last < interval) return std::min(interval - (now - *last), kLongestPause);
  begun_ = now;
  if (auto started = hooks_.start(*every); !started) {
    if (started.error().code == ErrorCode::job_conflict)
      log_event(LogLevel::info, "verify-skipped", "store", {{"because", started.error().because}});
    else if (started.error().code != ErrorCode::shutting_down)
      log_error("verify-failed", "store", started.error());
  }
  return std::min(interval, kLongestPause);
}

}  // namespace cairn
