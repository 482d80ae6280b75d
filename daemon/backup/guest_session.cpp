// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/backup/guest_session.h"

#include <fmt/format.h>

#include <algorithm>

#include "config/base/enum_words.h"
#include "config/base/log.h"
#include "config/base/text.h"
#include "daemon/keys/key_rules.h"
#include "daemon/queue/job.h"
#include "fs/guest/image_lock.h"

namespace cairn {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr EnumWords<WantedConsistency, 3> kWanted{{{WantedConsistency::crash, "crash"},
                                                   {WantedConsistency::filesystem, "filesystem"},
                                                   {WantedConsistency::application, "application"}}};

// How much the words are worth; what is torn or unknown is worth nothing.
int worth(std::string_view consistency) {
  if (consistency == "application") return 3;
  if (consistency == "filesystem") return 2;
  return consistency == "crash" ? 1 : 0;
}

DiskSettings* settings_of(MachineSettings& machine, const DefinedDisk& defined) {
  for (DiskSettings& disk : machine.disks) {
    if (disk.image.path.empty()
            ? disk.name == defined.target
            : disk.image.kind == DiskSource::Kind::local && is_same_image(defined.source, disk.image.path))
      return &disk;
  }
  return nullptr;
}

}  // namespace

GuestPlace guest_place(const Settings& settings) {
  return {.notes = settings.state_dir / "guests"};
}

void release_left_guests(const Settings& settings) {
  const auto guest_of = [&](const std::string& machine) {
    const auto found = settings.machines.find(machine);
    return found == settings.machines.end() ? GuestSettings() : found->second.guest;
  };
  if (const auto begun = GuestClient::take_over_all(guest_of, guest_place(settings)); !begun)
    log_error("guests-left-held", guest_place(settings).notes.string(), begun.error());
}

Result<MachineSettings> with_disks_of(MachineSettings machine, const std::vector<DefinedDisk>& disks) {
  for (const DefinedDisk& defined : disks) {
    if (defined.source.empty() || machine.leaves_out(defined.target) || machine.leaves_out(defined.source)) continue;
    // A disk of the network, or a volume of a pool, is no path: that it is not backed up is said where disks are
    // compared.
    if (!defined.source.starts_with('/')) continue;
    DiskSettings* disk = settings_of(machine, defined);
    if (disk == nullptr) {
      // The name goes into the names of files.
      if (!is_valid_name(defined.target))
        return fail(ErrorCode::settings_invalid, "name the disk of", machine.name,
                    fmt::format("{} has the disk {} with the target {}, which cannot be a name", machine.guest.text(),
                                defined.source, defined.target),
                    "name the disk in the settings, with its image");
      if (std::ranges::find(machine.disks, defined.target, &DiskSettings::name) != machine.disks.end())
        return fail(ErrorCode::settings_invalid, "name the disk of", machine.name,
                    fmt::format("{} has the disk {} with the target {}, and the settings call another disk that",
                                machine.guest.text(), defined.source, defined.target),
                    "call the disk in the settings otherwise, or let it have the domain's image");
      disk = &machine.disks.emplace_back(DiskSettings{.name = defined.target, .image = {}});
    }
    if (!disk->image.path.empty()) continue;
    disk->image.path = defined.source;  // what the settings say of its format stays
  }
  for (const DiskSettings& disk : machine.disks)
    if (disk.image.path.empty())
      return fail(ErrorCode::image_missing, "find the image of", disk_object(machine.name, disk.name),
                  fmt::format("{} has no disk with the target {}", machine.guest.text(), disk.name),
                  "name the disk by its target (\"virsh domblklist\"), or give it an image");
  return machine;
}

namespace {

// `look` of a libvirt guest.
Result<MachineSettings> with_disks_seen(const MachineSettings& machine, const GuestLook& look) {
  const std::string& now = look.definition_now.empty() ? look.definition : look.definition_now;
  CAIRN_TRY(const auto disks, disks_of_definition(now, machine.guest.text()));
  CAIRN_TRY(MachineSettings whole, with_disks_of(machine, disks));
  if (!whole.definition) whole.definition_of_guest = now;
  return whole;
}

}  // namespace

Result<FoundGuest> find_guest(const MachineSettings& machine, const GuestPlace& place) {
  CAIRN_TRY(GuestClient client, GuestClient::open(machine.name, machine.guest, place));
  CAIRN_TRY(GuestLook look, client.look());
  MachineSettings whole = machine;
  if (machine.guest.kind == GuestSettings::Kind::libvirt) {
    CAIRN_TRY(whole, with_disks_seen(machine, look));
  }
  return FoundGuest{std::move(look), std::move(whole)};
}

std::string doubt_of_off(const MachineSettings& machine, const std::string& state) {
  // libvirt knows whether a domain runs. Of a QEMU there is nothing but a socket on which nobody listens.
  if (state != to_string(GuestState::off) || machine.guest.kind != GuestSettings::Kind::qmp) return {};
  for (const DiskSettings& disk : machine.disks)
    if (is_locked_as_by_qemu(disk.image.path))
      return fmt::format(
          "nothing answers at the monitor {}, and yet disk {} is locked as by a QEMU that runs: does "
          "qmp: name the right socket?",
          machine.guest.monitor.string(), disk.name);
  return {};
}

Result<void> GuestSession::connect() {
  if (client_) return {};
  // One that was left held by a process that was killed comes first.
  CAIRN_TRY(const auto before, GuestClient::take_over(machine_.name, machine_.guest, inputs_.place));
  if (before.taken)
    job_.warn(as_warning(
        Error{ErrorCode::guest_not_thawed,
              "have let go at once",
              machine_.guest.text(),
              before.seen ? "an earlier backup was killed while it held the guest; it runs again now" : before.because,
              0,
              {}}));
  CAIRN_TRY(client_, GuestClient::open(machine_.name, machine_.guest, inputs_.place));
  return {};
}

Result<MachineSettings> GuestSession::find_disks() {
  if (machine_.guest.kind != GuestSettings::Kind::libvirt) return machine_;
  const auto look = [&]() -> Result<void> {
    CAIRN_CHECK(connect());
    CAIRN_TRY(look_, client_->look());
    return {};
  };
  if (auto looked = look(); !looked) {
    const bool all_named = !machine_.disks.empty() && std::ranges::none_of(machine_.disks, [](const auto& disk) {
      return disk.image.path.empty();
    });
    if (!all_named) return pass_on(std::move(looked).error());
    // finish() says why it was not held; what the domain has beside these disks is not known.
    record_.because = looked.error().message();
    client_.reset();
    return machine_;
  }
  return with_disks_seen(machine_, look_);
}

void GuestSession::hold() {
  if (!machine_.guest || !record_.because.empty()) return;
  const auto held = [&]() -> Result<Held> {
    CAIRN_CHECK(connect());
    return client_->hold({.freeze = inputs_.wanted != WantedConsistency::crash,
                          .pause = true,
                          .longest = inputs_.longest,
                          .hooks = inputs_.wanted == WantedConsistency::application});
  }();
  if (!held) {
    record_.because = held.error().message();
    if (client_) leave_helper();
    return;
  }
  record_.state = held->state;
  if (const std::string doubt = doubt_of_off(machine_, held->state); !doubt.empty()) {
    record_.state = "unknown";
    record_.because = doubt;
    client_.reset();
    return;
  }
  record_.held = to_string(held->hold);
  record_.file_systems = held->file_systems;
  record_.because = held->because;
  if (held->hold == Hold::none) {
    client_.reset();
    return;
  }
  held_since_ = SteadyClock::now();
  Consistency consistency = Consistency::crash;
  if (held->hold == Hold::freeze) {
    consistency = Consistency::filesystem;
    if (inputs_.wanted == WantedConsistency::application) {
      if (held->hooks)
        consistency = Consistency::application;
      else
        record_.because = "the guest agent was not seen to run a freeze hook that asks the guest's programs to settle";
    }
  }
  instant_ = Instant{*held_since_, *held_since_, consistency};
}

void GuestSession::release() {
  if (!held_since_) return;
  instant_->until = SteadyClock::now();
  const auto released = client_->release();
  const auto held_for = SteadyClock::now() - *held_since_;
  held_since_.reset();
  if (!released) {
    instant_.reset();
    record_.because = released.error().message();
    record_.held_ms = static_cast<std::uint64_t>(std::chrono::ceil<std::chrono::milliseconds>(held_for).count());
    leave_helper();
    job_.warn(
        as_warning(Error{ErrorCode::guest_not_thawed, "see run again", machine_.guest.text(), record_.because, 0, {}}));
    return;
  }
  // A monitor and an agent take one client: others may want them while the disks are read. What is owed to the guest
  // the helper does all the same.
  client_.reset();
  record_.held_ms = released->ms;
  if (!released->whole) {
    instant_.reset();
    record_.because = released->because;
  }
  if (!released->seen)
    job_.warn(as_warning(
        Error{ErrorCode::guest_not_thawed, "see run again", machine_.guest.text(), released->because, 0, {}}));
}

// With its end the helper lets go whatever it holds; when it is dead itself, another one does.
void GuestSession::leave_helper() {
  client_.reset();
  GuestPlace place = inputs_.place;
  place.stop = {};  // also a backup that is cancelled leaves no guest held
  const auto over = GuestClient::take_over(machine_.name, machine_.guest, place);
  if (!over || over->taken)
    log_event(LogLevel::warning, "guest-helper-lost", machine_.name,
              {{"because", !over        ? over.error().message()
                           : over->seen ? "the guest runs again"
                                        : over->because}});
}

std::optional<GuestRecord> GuestSession::finish(Consistency had) {
  if (!machine_.guest) return std::nullopt;
  record_.wanted = word_of(kWanted, inputs_.wanted);
  // A guest that is off has nothing to freeze.
  const bool less = worth(to_string(had)) < worth(record_.wanted) && record_.state != "off";
  if (less) {
    if (record_.because.empty()) record_.because = "its disks were not cloned while it was held";
    job_.warn(as_warning(Error{ErrorCode::less_consistent,
                               "have the disks of",
                               machine_.name,
                               fmt::format("as {}: they are {}: {}", record_.wanted, to_string(had), record_.because),
                               0,
                               {}}));
  }
  return record_;
}

}  // namespace cairn
