// SPDX-License-Identifier: GPL-3.0-or-later
// GuestSession: what a backup has to do with the machine's guest: which disks it has, when they stand still, and what
// that makes of the recovery point. Nothing here fails a backup that can be taken without the guest: what could not be
// had becomes a warning. What is done to the guest, and how it is undone: fs/guest/LIVE.md. One thread.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "config/settings.h"
#include "daemon/source/definition_disks.h"
#include "fs/guest/guest_client.h"
#include "fs/store/point/guest_record.h"
#include "fs/store/point/point_labels.h"

namespace cairn {

class JobContext;

struct GuestInputs {
  GuestPlace place = {};
  WantedConsistency wanted = WantedConsistency::filesystem;
  std::chrono::seconds longest{10};
};

GuestPlace guest_place(const Settings& settings);
// Lets go the guests that an earlier process left held. Never waits, and what cannot be done is logged. For the
// daemon's start.
void release_left_guests(const Settings& settings);

// The disks that the domain has, as the settings' own: those that the settings name without an image get theirs by
// their target, those they say nothing of are added under their target's name, and those that are left out are left
// out. Errors: image_missing: a disk of the settings has no image, and the domain has no such target; settings_invalid:
// a target is no name, or another disk's. Pure, but that paths are followed.
Result<MachineSettings> with_disks_of(MachineSettings machine, const std::vector<DefinedDisk>& disks);

// What is found out about a machine's guest without changing anything in it.
struct FoundGuest {
  GuestLook look;
  MachineSettings machine;  // with the disks that it has now
};
// Errors: those of GuestClient::open(); as with_disks_of(). `machine` names a guest.
Result<FoundGuest> find_guest(const MachineSettings& machine, const GuestPlace& place);

// Why a guest that seems to be off (`state`) may not be: a QEMU has one of its images. Empty: nothing speaks against
// it.
std::string doubt_of_off(const MachineSettings& machine, const std::string& state);

class GuestSession {
 public:
  // `machine` and `job` must outlive this. Nothing is done when the machine names no guest.
  GuestSession(const MachineSettings& machine, const GuestInputs& inputs, JobContext& job)
      : machine_(machine), inputs_(inputs), job_(job) {}

  // The machine with the disks that it has now. Errors: those of GuestClient::open() where the settings do not say
  // themselves which disks those are; as with_disks_of().
  Result<MachineSettings> find_disks();
  // The guest's definition as it will be started; empty: none is known.
  [[nodiscard]] const std::string& definition() const { return look_.definition; }

  // Holds the guest as the policy asks for, or as far as it goes. Then its disks are to be opened.
  void hold();
  // Lets it go. Also when opening has failed.
  void release();
  // The disks were opened while the guest was held, between the two instants; nothing: it was not, or not all the time.
  struct Instant {
    std::chrono::steady_clock::time_point from;
    std::chrono::steady_clock::time_point until;
    Consistency consistency;  // of disks that were cloned then
  };
  [[nodiscard]] const std::optional<Instant>& instant() const { return instant_; }
  // For the point. Warns when the disks, which are as `had` says, are less than the policy asks for.
  std::optional<GuestRecord> finish(Consistency had);

 private:
  Result<void> connect();
  void leave_helper();

  const MachineSettings& machine_;
  const GuestInputs& inputs_;
  JobContext& job_;
  std::optional<GuestClient> client_;
  GuestLook look_;
  GuestRecord record_;
  std::optional<std::chrono::steady_clock::time_point> held_since_;
  std::optional<Instant> instant_;
};

}  // namespace cairn
