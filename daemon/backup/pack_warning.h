// SPDX-License-Identifier: GPL-3.0-or-later
// Telling the user of a job that packs of the store are missing or cut off, as its writer found when it began.
#pragma once

#include "config/base/clock.h"

namespace cairn {

class JobContext;
class Store;
class StoreWriter;

// A warning of the job, and known damage of the store (fs/store/verify/damage.h), which `cairn status` shows until a
// verify has looked at it. Nothing when all packs are there with their sizes.
void warn_of_packs(Store& store, const StoreWriter& writer, UtcTime now, JobContext& job);

}  // namespace cairn
