// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/index/index_place.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <utility>

#include "config/base/open_beneath.h"

namespace cairn {
namespace {

// O_PATH, of a regular file. Errors: object_missing, wrong_file_type.
Result<UniqueFd> find_file(const Folder& folder, const char* name, struct stat& facts) {
  UniqueFd fd(open_beneath(folder.fd(), name, O_PATH | O_NOFOLLOW));
  if (!fd && errno == ENOENT) return fail_errno(ENOENT, "open", folder.path_of(name), ErrorCode::object_missing);
  if (!fd || ::fstat(fd.get(), &facts) != 0) return fail_errno(errno, "open", folder.path_of(name));
  if (!S_ISREG(facts.st_mode))
    return fail(ErrorCode::wrong_file_type, "open", folder.path_of(name),
                std::string("it is ") + kind_of_file(facts) + ", not a file");
  return fd;
}

bool leads_to(const std::string& path, const struct stat& facts) {
  struct stat found{};
  return ::stat(path.c_str(), &found) == 0 && found.st_dev == facts.st_dev && found.st_ino == facts.st_ino;
}

std::filesystem::path leaf_of(const std::filesystem::path& folder) {
  return folder.has_filename() ? folder.filename() : folder.parent_path().filename();
}
std::filesystem::path parent_of(const std::filesystem::path& folder) {
  const std::filesystem::path parent =
      folder.has_filename() ? folder.parent_path() : folder.parent_path().parent_path();
  return parent.empty() ? "." : parent;
}

}  // namespace

IndexPlace::IndexPlace(IndexPlace&& other) noexcept
    : folder_(std::move(other.folder_)),
      data_(std::move(other.data_)),
      lock_(std::move(other.lock_)),
      data_facts_(other.data_facts_),
      lock_facts_(other.lock_facts_),
      for_lmdb_(std::move(other.for_lmdb_)),
      links_(std::exchange(other.links_, {})) {}

IndexPlace::~IndexPlace() {
  if (links_.empty()) return;
  ::unlink((links_ + "/" + kIndexDataName).c_str());
  ::unlink((links_ + "/" + kIndexLockName).c_str());
  ::rmdir(links_.c_str());
}

Result<IndexPlace> IndexPlace::open(const std::filesystem::path& folder) {
  const auto opened = [&]() -> Result<IndexPlace> {
    CAIRN_TRY(const Folder above, Folder::open(parent_of(folder)));
    CAIRN_TRY(Folder at, above.folder(leaf_of(folder).string()));
    IndexPlace place(std::move(at));
    CAIRN_CHECK(place.open_files());
    return place;
  };
  auto place = opened();
  if (!place && place.error().code == ErrorCode::object_missing)
    return fail(ErrorCode::index_missing, "open index", (folder / kIndexDataName).string(), "the file is not there");
  if (!place && place.error().code == ErrorCode::wrong_file_type)
    return fail(ErrorCode::index_damaged, "open index", place.error().object, place.error().because);
  return place;
}

Result<IndexPlace> IndexPlace::create(const std::filesystem::path& folder) {
  CAIRN_TRY(const Folder above, Folder::open(parent_of(folder)));
  CAIRN_TRY(Folder at, above.make_folder(leaf_of(folder).string()));
  IndexPlace place(std::move(at));
  CAIRN_CHECK(place.folder_.create_file(kIndexDataName));
  CAIRN_CHECK(place.open_files());
  return place;
}

Result<void> IndexPlace::open_files() {
  CAIRN_TRY(data_, find_file(folder_, kIndexDataName, data_facts_));
  auto lock = find_file(folder_, kIndexLockName, lock_facts_);
  if (!lock && lock.error().code == ErrorCode::object_missing) {
    // A copy of a store often comes without it. On read-only media there is none, and none is needed.
    const auto made = folder_.open_file(kIndexLockName, O_RDWR | O_CREAT);
    if (!made && made.error().sys_errno != EROFS && made.error().code != ErrorCode::permission_denied)
      return pass_on(made.error());
    if (made) lock = find_file(folder_, kIndexLockName, lock_facts_);
  }
  if (!lock && lock.error().code != ErrorCode::object_missing) return pass_on(std::move(lock).error());
  if (lock) lock_ = *std::move(lock);
  return {};
}

const std::string& IndexPlace::for_lmdb() {
  if (for_lmdb_.empty()) lay_links();
  return for_lmdb_;
}

void IndexPlace::lay_links() {
  for_lmdb_ = folder_.path().string();
  std::error_code ignored;
  for (const std::filesystem::path& parent : {std::filesystem::temp_directory_path(ignored),
                                              std::filesystem::path("/run"), std::filesystem::path("/dev/shm")}) {
    std::string made = (parent / "cairn-index-XXXXXX").string();
    if (parent.empty() || ::mkdtemp(made.data()) == nullptr) continue;  // 0700
    links_ = made;
    const auto link = [&](const char* name, const UniqueFd& fd) {
      return ::symlink(("/proc/self/fd/" + std::to_string(fd.get())).c_str(), (made + "/" + name).c_str()) == 0;
    };
    const bool laid = link(kIndexDataName, data_) && (!lock_ || link(kIndexLockName, lock_));
    if (laid && leads_to(made + "/" + kIndexDataName, data_facts_)) for_lmdb_ = made;
    return;
  }
}

Result<void> remove_index(const std::filesystem::path& folder) {
  CAIRN_TRY(const Folder above, Folder::open(parent_of(folder)));
  return above.remove_all(leaf_of(folder).string());
}

Result<void> put_index_in_place(const std::filesystem::path& fresh, const std::filesystem::path& old) {
  CAIRN_ASSERT(parent_of(fresh) == parent_of(old));
  CAIRN_TRY(const Folder above, Folder::open(parent_of(old)));
  const std::string from = leaf_of(fresh).string();
  const std::string to = leaf_of(old).string();
  if (auto exchanged = above.exchange(from, to); !exchanged) {
    const bool cannot = exchanged.error().code == ErrorCode::not_supported_yet;
    if (!cannot && exchanged.error().code != ErrorCode::object_missing) return exchanged;
    if (cannot) CAIRN_CHECK(above.remove_all(to));
    CAIRN_CHECK(above.rename(from, above, to, IfExists::replace));
  }
  return above.sync();  // before the old one's file is removed
}

}  // namespace cairn
