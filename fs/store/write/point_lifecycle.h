// SPDX-License-Identifier: GPL-3.0-or-later
// Changing recovery points: hiding and bringing back, protecting, removing for good. What is recorded of that:
// fs/store/point/point_marks.h. Each is durable on return; one that is cut short is finished by the next. Reading:
// fs/store/point_catalog.h. `trusted`: the time, from judge_clock(). Any thread.
#pragma once

#include <string>

#include "config/base/clock.h"
#include "config/base/result.h"
#include "fs/store/point/point_marks.h"
#include "fs/store/point/recovery_point.h"
#include "fs/store/point/trusted_clock.h"

namespace cairn {

class StoreWriter;

// Hides the point until purge_after, then prune removes it. One that is deleted already stays as it is.
// Errors: point_missing, point_immutable (until when), point_protected.
Result<void> delete_point(StoreWriter& writer, const Deletion& deletion, UtcTime trusted);
// Errors: point_not_deleted, point_missing.
Result<void> undelete_point(StoreWriter& writer, const PointName& name);
// Errors: point_missing, point_deleted.
Result<void> protect_point(StoreWriter& writer, const Protection& protection);
// Ends its protection. The record of it stays as long as the point, with kProtectionEnded: one that somebody else took
// away then shows.
Result<void> unprotect_point(StoreWriter& writer, const PointName& name);
// Removes it for good and leaves a tombstone. Errors: point_missing, point_immutable, point_protected, point_in_use.
Result<void> purge_point(StoreWriter& writer, const PointName& name, const std::string& because, UtcTime now,
                         UtcTime trusted);
// The same for one that was deleted, if it still is and its time is over: whoever planned that may have been overtaken
// by an undelete of another thread. Errors: also point_not_deleted.
Result<void> purge_deleted_point(StoreWriter& writer, const PointName& name, UtcTime now, UtcTime trusted);
// Finishes what an interrupted call left half done: of every point whose state does not fit what is in points/.
Result<void> settle_marks(StoreWriter& writer);
// From here on judge_clock() goes by it. Durable on return.
Result<void> keep_clock(StoreWriter& writer, const ClockRecord& record);
// Removes the point's file at once, and records nothing. For tests of what is lost; see purge_point().
// Errors: point_missing.
Result<void> remove_point(StoreWriter& writer, const PointName& name);

}  // namespace cairn
