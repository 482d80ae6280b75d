// SPDX-License-Identifier: GPL-3.0-or-later
// TimedLook: looking at disks of machines within a time, for who asks how things are. A disk on a file system that does
// not answer must not keep the answer about everything else: each look has a thread of its own, and what has not come
// back in time is not known. Any thread.
#pragma once

#include <chrono>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace cairn {

class TimedLook {
 public:
  // All looks of this together take no longer than that.
  explicit TimedLook(std::chrono::milliseconds at_most);

  // What `look` gives; `otherwise` when that takes too long, or an earlier look of the same name (a machine) hangs
  // still. `look` owns all that it uses. A look that hangs is left behind (config/base/left_behind.h).
  nlohmann::json at(const std::string& name, const std::function<nlohmann::json()>& look,
                    const nlohmann::json& otherwise);

 private:
  const std::chrono::steady_clock::time_point until_;
};

}  // namespace cairn
