// SPDX-License-Identifier: GPL-3.0-or-later
// VerifyStatus: what a status says of verifying: how long ago everything was checked last, and known damage. Asking the
// index about hundreds of thousands of packs takes a moment, so the figures are kept for a while. Any thread.
// Documents: daemon/API.md "Status".
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>

#include "config/base/clock.h"
#include "config/base/guarded.h"
#include "config/settings.h"

namespace cairn {

class Store;

class VerifyStatus {
 public:
  // {"every_s":N|null,"packs","bytes","never_bytes","oldest":TIME|null,"since":TIME|null,"late":BOOL,"error":Error|null,
  // "damage":{"found":TIME|null,"packs":N,"points":[{"point","bytes"}],"gaps":N,"documents":N,"error":Error|null}}
  nlohmann::json document(Store& store, const Settings& settings, UtcTime now);
  // A job has changed what is known.
  void forget();

 private:
  struct Known {
    nlohmann::json document;                      // null: nothing
    std::chrono::steady_clock::time_point until;  // when it is asked for anew
  };
  Guarded<Known> known_;
};

}  // namespace cairn
