// SPDX-License-Identifier: GPL-3.0-or-later
// RestoreFlags: the yes-or-no choices of restoring disks, each listed once. The request (daemon/service/requests.h),
// its JSON body, the command line with its help, manual and completion, and the restore itself share this struct and
// this list, so that a new flag is a member, an entry below, what restore.cpp does about it, and a row in
// daemon/API.md, which a test holds to this list. Values. Any thread.
#pragma once

#include <array>

namespace cairn {

struct RestoreFlags {
  bool force = false;    // replace existing files
  bool salvage = false;  // what is damaged in the store becomes zeros, and is reported
  bool operator==(const RestoreFlags&) const = default;
};

struct RestoreFlag {
  const char* name;  // in JSON: "some_thing"; as an option --some-thing
  bool RestoreFlags::* place;
  const char* meaning;  // for API.md
  const char* help;     // of the option: one sentence, without a full stop
};

inline constexpr std::array kRestoreFlags{
    RestoreFlag{"force", &RestoreFlags::force, "replace existing files",
                "Replace existing files; with --in-place: although something else is on DEVICE"},
    RestoreFlag{"salvage", &RestoreFlags::salvage,
                "what is damaged in the store becomes zeros and is reported, instead of failing the job; "
                "not with `header_only`",
                "Write zeros for what is damaged, instead of giving up"}};

}  // namespace cairn
