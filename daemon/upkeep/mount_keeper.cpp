// SPDX-License-Identifier: GPL-3.0-or-later
// The daemon's mount. A daemon that was killed leaves a dead mount behind ("Transport endpoint is not connected"),
// which MountSession::start takes away, busy or not; nothing else is taken away without being asked.
#include "daemon/upkeep/mount_keeper.h"

#include <sys/stat.h>

#include <cerrno>
#include <nlohmann/json.hpp>
#include <utility>

#include "config/base/log.h"
#include "daemon/queue/job_record.h"
#include "fs/mount/mount_point.h"
#include "fs/mount/session.h"
#include "fs/store/store.h"

namespace cairn {

nlohmann::json mount_seen(const std::filesystem::path& path) {
  nlohmann::json seen{{"path", path.string()}, {"state", "unknown"}, {"error", nullptr}};
  const auto top = mounted_at(settle_above(path));
  if (!top)
    seen["error"] = to_json(top.error());
  else if (!*top)
    seen["state"] = "not mounted";
  else
    seen["state"] = (*top)->type == kMountType ? "mounted" : "covered";
  return seen;
}

MountKeeper::MountKeeper(Store& store, MountSettings settings) : store_(store), settings_(std::move(settings)) {}

MountKeeper::~MountKeeper() = default;

Result<std::shared_ptr<MountSession>> MountKeeper::start() {
  const std::string path = settings_.path.string();
  struct stat facts{};
  // Only the last part: a missing parent is more likely a disk that is not mounted.
  if (stat(path.c_str(), &facts) != 0 && errno == ENOENT && mkdir(path.c_str(), 0755) != 0 && errno != EEXIST &&
      errno != ENOENT)
    return fail_errno(errno, "make mount point", path);
  MountOptions options;
  options.path = settings_.path;
  options.allow_other = settings_.allow_other;
  CAIRN_TRY(std::shared_ptr<MountSession> session, MountSession::start(store_, options));
  log_event(LogLevel::info, "mounted", path);
  if (const auto trouble = index_trouble(store_); trouble && *trouble) log_error("index-not-used", path, **trouble);
  return session;
}

Result<void> MountKeeper::mount() {
  const auto state = state_.lock();
  if (state->session && !state->session->ended()) return {};
  state->session.reset();
  state->error.reset();
  auto started = start();
  if (!started) {
    state->error = started.error();
    return pass_on(std::move(started).error());
  }
  state->session = *std::move(started);
  return {};
}

std::shared_ptr<MountSession> MountKeeper::session() {
  return state_.lock()->session;
}

bool MountKeeper::is_mounted() {
  const auto session = this->session();
  return session && !session->ended();
}

bool MountKeeper::lost() {
  const auto state = state_.lock();
  if (!state->session || !state->session->ended()) return false;
  state->session.reset();
  return true;
}

void MountKeeper::refresh() {
  if (const auto session = this->session(); session && !session->ended()) session->refresh();
}

nlohmann::json MountKeeper::status() {
  {
    const auto state = state_.lock();
    if ((!state->session || state->session->ended()) && state->error)
      return {{"path", settings_.path.string()}, {"state", "failed"}, {"error", to_json(*state->error)}};
  }
  return mount_seen(settings_.path);
}

Result<void> MountKeeper::stop() {
  const std::shared_ptr<MountSession> session = std::exchange(state_.lock()->session, nullptr);
  if (!session || session->ended()) return {};
  auto done = session->stop();
  if (done) log_event(LogLevel::info, "unmounted", settings_.path.string());
  return done;
}

}  // namespace cairn
