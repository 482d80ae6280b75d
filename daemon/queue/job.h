// SPDX-License-Identifier: GPL-3.0-or-later
// JobContext: what a running job is given: its stop token, and where its progress and warnings go.
// Any thread of the job may call it.
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "config/base/guarded.h"

namespace cairn {

class JobContext {
 public:
  struct View {
    std::uint64_t done_bytes = 0;
    std::uint64_t total_bytes = 0;
    std::string point;
    std::string waiting_for;
    std::vector<std::string> warnings;
  };

  // `on_change` is called after each change, without a lock held; keep it short.
  explicit JobContext(std::stop_token stop = {}, std::function<void()> on_change = {});

  [[nodiscard]] const std::stop_token& stop() const { return stop_; }
  void set_total(std::uint64_t bytes);
  void add_done(std::uint64_t bytes);
  void warn(std::string warning);
  // The recovery point the job is about: "web-01@20261121T020000Z".
  void set_point(std::string name);
  // What it waits for: "locked by backup of db-01 (pid 812 on host) since ..."; empty: it does not wait.
  void set_waiting_for(std::string what);
  // What there is to show when the job fails all the same: JSON text.
  void keep_result(std::string result);
  [[nodiscard]] std::string kept_result() const;
  [[nodiscard]] View view() const;

 private:
  const std::stop_token stop_;
  const std::function<void()> on_change_;
  Guarded<View> view_;
  Guarded<std::string> kept_result_;
};

}  // namespace cairn
