// SPDX-License-Identifier: GPL-3.0-or-later
// StopScope: what this thread does while the scope lives is to end soon once its token is asked to stop. For work that
// lies many calls below whoever is asked, and takes long only in rare cases: to read one chunk without an index, the
// footers of all packs are read (fs/store/unlisted_packs.h). Whoever has a token at hand takes that instead.
// Each thread has its own scopes; one that is started inside of a scope has none.
#pragma once

#include <stop_token>
#include <utility>

namespace cairn {

class StopScope {
 public:
  explicit StopScope(std::stop_token stop) : before_(std::exchange(current(), std::move(stop))) {}
  ~StopScope() { current() = std::move(before_); }
  StopScope(const StopScope&) = delete;
  StopScope& operator=(const StopScope&) = delete;

  // Of the innermost scope of this thread; false: there is none.
  static bool stop_asked() { return current().stop_requested(); }

 private:
  static std::stop_token& current() {
    thread_local std::stop_token token;
    return token;
  }
  std::stop_token before_;
};

}  // namespace cairn
