// SPDX-License-Identifier: GPL-3.0-or-later
// Undo: takes away what a command has made when a later step of it fails, be it by an error or an exception.
// One thread at a time.
#pragma once

#include <functional>
#include <vector>

namespace cairn::cli {

// Runs what it was given, last first, unless keep() was called.
class Undo {
 public:
  Undo() = default;
  ~Undo() {
    for (auto step = steps_.rbegin(); step != steps_.rend(); ++step) (*step)();
  }
  Undo(const Undo&) = delete;
  Undo& operator=(const Undo&) = delete;
  // The step must not throw.
  void add(std::function<void()> step) { steps_.push_back(std::move(step)); }
  void keep() { steps_.clear(); }

 private:
  std::vector<std::function<void()>> steps_;
};

}  // namespace cairn::cli
