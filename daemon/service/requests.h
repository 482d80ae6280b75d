// SPDX-License-Identifier: GPL-3.0-or-later
// What can be asked of a Service, and the members of each request's JSON body, listed once: the control API reads and
// checks bodies by these lists, RemoteService writes them, and a test holds the table in daemon/API.md to them. A new
// member is a line in the struct, a line in its members(), and a row in API.md; flags of restores are listed where they
// are used, in daemon/restore/restore_flags.h. Pure. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "config/base/clock.h"
#include "daemon/queue/lock_wait.h"
#include "daemon/restore/restore_flags.h"

namespace cairn {

// Of a request's wait_s.
inline constexpr std::uint64_t kUsualWaitSeconds = kUsualWait.count();
inline constexpr const char* kWaitMeaning =
    "how long, in seconds, the job waits for the store while another process writes to it; 60 when left out";

enum class Need { optional, required };

// A member of a request. In JSON: bool true or false; string text; number as bounded; vector a list of texts; optional
// also null, which says the same as leaving it out; time RFC 3339, UTC. What is left out has the struct's own value.
template <class Request, class Type>
struct Member {
  const char* name;  // in JSON
  Type Request::* place;
  const char* meaning;  // one line for API.md, and for who left out what is needed
  Need need = Need::optional;
  double most = 0;  // double only: it is from 0 to this
};

struct BackupRequest {
  std::vector<std::string> machines;
  bool all = false;
  bool full_read = false;
  std::uint64_t wait_s = kUsualWaitSeconds;

  static constexpr auto members() {
    using R = BackupRequest;
    return std::tuple{
        Member{"machines", &R::machines, "names of machines; this or `all`"},
        Member{"all", &R::all, "every machine of the settings"},
        Member{"full_read", &R::full_read, "read all of every disk, whatever change tracking says, and compare"},
        Member{"wait_s", &R::wait_s, kWaitMeaning}};
  }
  static constexpr const char* kPath = "/v1/backups";
};

struct RestoreRequest : RestoreFlags {
  std::string point;
  std::string to;
  std::optional<std::string> disk;
  bool header_only = false;

  static constexpr auto members() {
    using R = RestoreRequest;
    const auto flags = std::apply(
        [](const auto&... flag) {
          return std::tuple{Member{flag.name, static_cast<bool R::*>(flag.place), flag.meaning}...};
        },
        kRestoreFlags);
    const auto own = std::tuple{
        Member{"point", &R::point, "MACHINE@POINT", Need::required},
        Member{"to", &R::to, "the directory to write to: the absolute path of one that exists", Need::required},
        Member{"disk", &R::disk, "only this one"},
        Member{"header_only", &R::header_only, "only the headers of the encrypted volumes"}};
    return std::tuple_cat(own, flags);
  }
  static constexpr const char* kPath = "/v1/restores";
};

struct PruneRequest {
  std::optional<std::string> machine;
  bool dry_run = false;
  bool accept_clock = false;
  bool accept_damage = false;
  std::uint64_t rate = 0;
  std::uint64_t wait_s = kUsualWaitSeconds;

  static constexpr auto members() {
    using R = PruneRequest;
    return std::tuple{
        Member{"machine", &R::machine, "only this one; else all, also those that are not in the settings any more"},
        Member{"dry_run", &R::dry_run, "only say what would be done"},
        Member{"accept_clock", &R::accept_clock, "the clock is right, whatever the store says of it"},
        Member{"accept_damage", &R::accept_damage, "what only damage hides may be given up"},
        Member{"rate", &R::rate, "of garbage collection, bytes a second; 0: no limit"},
        Member{"wait_s", &R::wait_s, kWaitMeaning}};
  }
  static constexpr const char* kPath = "/v1/prunes";
};

struct ProtectRequest {
  std::string point;  // MACHINE@POINT; no member: it is in the path
  bool off = false;
  std::optional<UtcTime> until;

  static constexpr auto members() {
    using R = ProtectRequest;
    return std::tuple{Member{"off", &R::off, "end the protection; not with `until`"},
                      Member{"until", &R::until, "when it ends; else it lasts until somebody ends it"}};
  }
  static constexpr const char* kPath = "/v1/points/MACHINE@POINT/protect";
};

struct VerifyRequest {
  double data_percent = 0;
  bool repair = false;
  std::string from = {};
  bool accept_gaps = false;
  std::uint64_t rate = 0;
  std::uint64_t wait_s = kUsualWaitSeconds;

  static constexpr auto members() {
    using R = VerifyRequest;
    return std::tuple{Member{"data_percent", &R::data_percent,
                             "how much of the bytes in packs is read; 0: only the structure", Need::optional, 100},
                      Member{"repair", &R::repair, "repair what can be repaired"},
                      Member{"from", &R::from, "absolute path of a copy of the store; with `repair` only"},
                      Member{"accept_gaps", &R::accept_gaps, "points that are missing are noted as gone"},
                      Member{"rate", &R::rate, "bytes a second; 0: no limit"},
                      Member{"wait_s", &R::wait_s, kWaitMeaning}};
  }
  static constexpr const char* kPath = "/v1/verifications";
};

// Calls visit(member) for each member of Request, in order.
template <class Request, class Visit>
constexpr void for_each_member(Visit visit) {
  std::apply([&](const auto&... member) { (visit(member), ...); }, Request::members());
}

}  // namespace cairn
