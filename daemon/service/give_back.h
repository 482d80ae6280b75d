// SPDX-License-Identifier: GPL-3.0-or-later
// After a backup that failed for want of space: gives back what it stored, so that the store does not stay full of
// packs that no recovery point needs, and the other machines' backups go on. Any thread.
#pragma once

#include <cstdint>

#include "config/base/result.h"

namespace cairn {

class JobContext;
class Store;

// Whether the failure is one of a full disk.
bool is_want_of_space(const Error& error);
// `error` with what was given back, or why nothing was, in it. `rate`: bytes a second; 0: no limit.
Error give_back(Store& store, JobContext& job, std::uint64_t rate, Error error);

}  // namespace cairn
