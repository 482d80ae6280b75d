// SPDX-License-Identifier: GPL-3.0-or-later
// KeyWatch: looks at the daemon's start, and whenever its settings change, whether every machine's keys are there and
// open its disks, so that what is wrong is said before the next backup is due. Works in a thread of its own. Any
// thread.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <stop_token>
#include <string>

#include "config/base/clock.h"
#include "config/base/guarded.h"
#include "config/base/poked_thread.h"
#include "config/settings.h"

namespace cairn {

class Store;

class KeyWatch {
 public:
  // `settings` gives those in force; store and clock must outlive this.
  KeyWatch(std::function<std::shared_ptr<const Settings>()> settings, Store& store, const Clock& clock);
  ~KeyWatch();
  KeyWatch(const KeyWatch&) = delete;
  KeyWatch& operator=(const KeyWatch&) = delete;

  // Begins; once.
  void start() { thread_.start(); }
  // Looks again.
  void poke();
  void ask_to_stop() { thread_.ask_to_stop(); }
  // Looks no more; false: it is at a disk that does not answer, or derives a key, and was left behind
  // (config/base/left_behind.h); this may then not be destroyed.
  bool stop_within(std::chrono::milliseconds most) { return thread_.stop_within(most); }
  // {"state":"good"|"warning"|"error","checked":TIME,"findings":[{"disk","state","detail","error"}]}; null: not looked
  // at yet, or nothing to look at.
  [[nodiscard]] nlohmann::json status(const std::string& machine);

 private:
  void look(const std::stop_token& stop);

  const std::function<std::shared_ptr<const Settings>()> settings_;
  Store& store_;
  const Clock& clock_;
  Guarded<std::map<std::string, nlohmann::json>> results_;  // by machine
  PokedThread thread_;                                      // last: it uses all the others
};

}  // namespace cairn
