// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/writer_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "config/base/bytes.h"
#include "config/base/clock.h"
#include "config/base/json.h"
#include "fs/file/folder.h"

namespace cairn {
namespace {

std::string describe_holder(int file) {
  char text[512];
  const ssize_t got = ::pread(file, text, sizeof(text), 0);
  const nlohmann::json document =
      parse_json(std::string_view(text, got > 0 ? static_cast<std::size_t>(got) : 0)).value_or(nullptr);
  std::string holder;
  const auto problem = problem_of_reading([&] {
    holder = "locked by " + document.at("purpose").get<std::string>() + " (pid " +
             std::to_string(whole_number<long>(document.at("pid"))) + " on " + document.at("host").get<std::string>() +
             ") since " + document.at("since").get<std::string>();
  });
  return problem ? "locked by another process" : holder;  // it has the lock but has not said who it is yet
}

}  // namespace

Result<WriterLock> WriterLock::take(const StorePlaces& store, const std::string& purpose) {
  CAIRN_TRY(const Folder folder, Folder::open(store.lock_folder));
  CAIRN_TRY(UniqueFd file, folder.open_file(StorePlaces::kLockName, O_RDWR | O_CREAT));
  while (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno == EWOULDBLOCK)
      return fail(ErrorCode::store_locked, "write to store", store.name(), describe_holder(file.get()));
    return fail_errno(errno, "lock store", store.name());
  }
  char host[256] = {};
  ::gethostname(host, sizeof(host) - 1);
  const std::string text =
      json_text(nlohmann::json{
          {"pid", ::getpid()}, {"purpose", purpose}, {"host", host}, {"since", iso_time(system_clock().now())}}) +
      "\n";
  // Only a courtesy to whoever is locked out: a full disk must not stop a prune from taking the lock.
  if (::ftruncate(file.get(), 0) == 0) static_cast<void>(::pwrite(file.get(), text.data(), text.size(), 0) < 0);
  return WriterLock(std::move(file));
}

}  // namespace cairn
