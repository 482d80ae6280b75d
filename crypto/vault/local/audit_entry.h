// SPDX-License-Identifier: GPL-3.0-or-later
// AuditEntry: what one line of a local vault's audit log says. Written and chained: crypto/vault/local/audit_log.h.
// Value.
#pragma once

#include <cstdint>
#include <string>

#include "config/base/clock.h"

namespace cairn {

struct AuditEntry {
  std::uint64_t number = 0;  // from 1
  UtcTime time;
  std::string principal;
  std::string operation;  // "keys:unwrap", "policy:set", "vault:init"
  std::string object;     // "backup 1"
  std::string outcome;    // "done", "refused", "failed"
  std::string detail;
  long pid = 0;
};

}  // namespace cairn
