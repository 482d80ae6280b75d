// SPDX-License-Identifier: GPL-3.0-or-later
// Scrubber: has the daemon verify a part of the store again and again, so that everything is checked once in
// maintenance.verify_every. How much is due is a pure function; the thread only waits and applies. What was checked
// when is in the store's index, so it goes on where it was after a restart. Any thread.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>

#include "config/base/clock.h"
#include "config/base/poked_thread.h"
#include "config/base/result.h"
#include "config/settings.h"

namespace cairn {

// How often a slice is verified: a thirtieth of the goal, from an hour to a day.
std::chrono::seconds scrub_interval(std::chrono::seconds every);

struct ScrubSlice {
  std::uint64_t bytes = 0;  // at most, but a pack at least
  UtcTime not_since;        // packs that were checked after this are not read
};
// Half the goal is aimed at, so that a day off does not make it late; what is late already is read four times as fast.
// `bytes`: in all packs; `since`: as VerifyAge has it.
ScrubSlice scrub_slice(std::chrono::seconds every, std::uint64_t bytes, std::optional<UtcTime> since, UtcTime now);

inline constexpr std::chrono::seconds kScrubGrace{600};

class Scrubber {
 public:
  struct Hooks {
    std::function<std::shared_ptr<const Settings>()> settings;
    // When a slice was begun last, by any daemon; nothing: never, or not known.
    std::function<std::optional<UtcTime>()> last;
    // Begins one. Errors are logged, and the next slice is tried at its time.
    std::function<Result<void>(std::chrono::seconds every)> start;
  };
  Scrubber(const Clock& clock, Hooks hooks);
  ~Scrubber();
  Scrubber(const Scrubber&) = delete;
  Scrubber& operator=(const Scrubber&) = delete;

  // Begins to look, in a thread of its own. The first slice of a daemon waits for kScrubGrace.
  void start();
  // The settings have changed.
  void poke();
  void stop();
  // One look: begins a slice when it is due; how long until the next look.
  std::chrono::seconds look();

 private:
  const Clock& clock_;
  const Hooks hooks_;
  std::optional<UtcTime> begun_;  // by this one; of the looking thread alone, as the next
  std::chrono::seconds wait_ = kScrubGrace;
  PokedThread thread_;  // last: it uses all the others
};

}  // namespace cairn
