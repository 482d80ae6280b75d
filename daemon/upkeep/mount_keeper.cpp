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
#include "fs/mount/session.h"
#include "fs/store/store.h"

namespace cairn {

MountKeeper::MountKeeper(Store& store, MountSettings settings) : store_(store), settings_(std::move(settings)) {}

MountKeeper::~MountKeeper() = default;

Result<void> MountKeeper::mount_locked() {
  const std::string path = settings_.path.string();
  struct stat facts{};
  // Only the last part: a missing parent is more likely a disk that is not mounted.
  if (stat(path.c_str(), &facts) != 0 && errno == ENOENT && mkdir(path.c_str(), 0755) != 0 && errno != EEXIST &&
      errno != ENOENT)
    return fail_errno(errno, "make mount point", path);
  MountOptions options;
  options.path = settings_.path;
  options.allow_other = settings_.allow_other;
  CAIRN_TRY(session_, MountSession::start(store_, options));
  log_event(LogLevel::info, "mounted", path);
  return {};
}

Result<void> MountKeeper::mount() {
  const std::lock_guard lock(mutex_);
  if (session_ && !session_->ended()) return {};
  session_.reset();
  auto done = mount_locked();
  error_.reset();
  if (!done) error_ = done.error();
  return done;
}

bool MountKeeper::lost() {
  const std::lock_guard lock(mutex_);
  if (!session_ || !session_->ended()) return false;
  session_.reset();
  return true;
}

void MountKeeper::refresh() {
  std::shared_ptr<MountSession> session;
  {
    const std::lock_guard lock(mutex_);
    session = session_;
  }
  if (session && !session->ended()) session->refresh();
}

nlohmann::json MountKeeper::status() {
  const std::lock_guard lock(mutex_);
  const bool mounted = session_ && !session_->ended();
  const char* state = mounted ? "mounted" : error_ ? "failed" : "not mounted";
  return {{"path", settings_.path.string()},
          {"state", state},
          {"error", !mounted && error_ ? to_json(*error_) : nlohmann::json(nullptr)}};
}

Result<void> MountKeeper::stop() {
  std::shared_ptr<MountSession> session;
  {
    const std::lock_guard lock(mutex_);
    session = std::exchange(session_, nullptr);
  }
  if (!session || session->ended()) return {};
  auto done = session->stop();
  if (done) log_event(LogLevel::info, "unmounted", settings_.path.string());
  return done;
}

}  // namespace cairn
