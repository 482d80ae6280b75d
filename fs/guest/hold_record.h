// SPDX-License-Identifier: GPL-3.0-or-later
// HoldRecord: the note in state_dir that a guest is held, or is to be let go: written before the guest is touched,
// removed when it was seen to run again. While somebody takes care of it the note is locked (flock(2)), so that a
// daemon that starts knows which ones are left over. One a machine: `guests/MACHINE.json`. One thread.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "config/base/clock.h"
#include "config/base/result.h"
#include "config/base/unique_fd.h"
#include "config/guest_settings.h"

namespace cairn {

struct HoldNote {
  std::string machine;
  GuestSettings guest;
  bool freeze = false;  // a freeze was asked for
  bool pause = false;   // it was paused
  UtcTime since;
};

class HoldRecord {
 public:
  // Writes the note durably and locks it. Errors: guest_busy: somebody takes care of that machine's note; io_error and
  // its like.
  static Result<HoldRecord> write(const std::filesystem::path& folder, const HoldNote& note);
  // The note of a machine that nobody takes care of, locked. Nothing: there is none, or somebody does. Errors: io_error
  // and its like. A note that cannot be read is a hold of which only the machine is known: then `guest` is none.
  struct LeftOver;
  static Result<std::optional<LeftOver>> take(const std::filesystem::path& folder, const std::string& machine);
  // The machines that have a note, whoever takes care of it, by name. Errors: io_error and its like; no folder is no
  // notes.
  struct Noted {
    std::string machine;
    UtcTime since;
  };
  static Result<std::vector<Noted>> list(const std::filesystem::path& folder);

  // Writes it anew, as durably. A crash in between leaves a note of which only the machine is known.
  Result<void> update(const HoldNote& note);
  // The guest runs again.
  Result<void> remove();

 private:
  HoldRecord(std::filesystem::path path, UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  std::filesystem::path path_;
  UniqueFd fd_;
};

struct HoldRecord::LeftOver {
  HoldRecord record;
  HoldNote note;
};

}  // namespace cairn
