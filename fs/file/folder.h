// SPDX-License-Identifier: GPL-3.0-or-later
// Folder: an open directory, and what is done below it. Others may be able to write there: so nothing below it is
// reached through a symbolic link (open_beneath.h), only regular files are opened, and a pipe, socket or device is
// answered at once. The way to the folder itself is the administrator's, who may use links; it is walked once, when it
// is opened, and whoever renames a part of it afterwards changes nothing. Any thread.
//
// Names are relative, without "..": `name` may have several steps ("packs/ab/abcd"), `leaf` is one.
// Errors of all calls, besides those that are listed: object_missing (the name, or a folder on the way to it, is not
// there), wrong_file_type (a link or another kind of file is in its place; the error's object is what is in the way),
// permission_denied, no_space, io_error.
#pragma once

#include <sys/stat.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "config/base/unique_fd.h"
#include "fs/file/if_exists.h"

namespace cairn {

class Folder {
 public:
  // Whose links may be on the way to the folder. `own`: of root and of this user, for a directory that may be in
  // somebody else's: who then plants one is refused (wrong_file_type).
  enum class Links { any, own };
  static Result<Folder> open(const std::filesystem::path& path, Links links = Links::any);
  // The last step must be no link.
  static Result<Folder> open_itself(const std::filesystem::path& path);

  // For messages.
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::string path_of(const std::string& name) const { return (path_ / name).string(); }
  // For calls that need no right to read it (O_PATH): fstat(2), linkat(2), ...
  [[nodiscard]] int fd() const { return fd_.get(); }

  [[nodiscard]] Result<Folder> folder(const std::string& name) const;
  // Makes the steps that are missing (0700), durable on return.
  [[nodiscard]] Result<Folder> make_folder(const std::string& name) const;

  // A regular file. `access`: O_RDONLY, O_WRONLY or O_RDWR, and O_CREAT (0600) where it may be missing.
  [[nodiscard]] Result<UniqueFd> open_file(const std::string& name, int access) const;
  // A new file (0600) for reading and writing. Errors: object_exists.
  [[nodiscard]] Result<UniqueFd> create_file(const std::string& leaf) const;
  // The same, without a name until it is linked: errno in the error's sys_errno where the file system has none.
  [[nodiscard]] Result<UniqueFd> create_unnamed() const;
  // What is there, links themselves. Nothing: it is not there.
  [[nodiscard]] Result<std::optional<struct stat>> look_at(const std::string& name) const;

  // Renames. Nothing is followed, and with `fail` nothing replaced. Not durable until both folders are synced.
  // Errors: object_exists.
  Result<void> rename(const std::string& leaf, const Folder& to, const std::string& to_leaf, IfExists if_exists) const;
  // Both must be there. Errors: not_supported_yet: not on this file system.
  Result<void> exchange(const std::string& leaf, const std::string& other_leaf) const;
  // Removes a file, or a link, pipe, ... itself. Not durable until sync().
  Result<void> remove_file(const std::string& leaf) const;
  // Removes an empty folder. Errors: io_error (it is not empty).
  Result<void> remove_folder(const std::string& leaf) const;
  // Removes whatever has this name, folders with all that is in them; nothing there is well. Errors: wrong_file_type
  // (more than 16 folders deep: nothing that Cairn made).
  Result<void> remove_all(const std::string& leaf) const;

  struct Entry {
    std::string name;
    enum class Kind { file, folder, other } kind;  // other: links, pipes, devices, ...
  };
  // Errors: wrong_file_type (more than 2 million).
  [[nodiscard]] Result<std::vector<Entry>> entries() const;
  // Makes durable which entries it has (not what is in them).
  Result<void> sync() const;

 private:
  Folder(std::filesystem::path path, UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  Result<void> empty(unsigned depth) const;
  [[nodiscard]] std::unexpected<Error> problem(int sys_errno, const char* doing, const std::string& name,
                                               Entry::Kind wanted = Entry::Kind::file) const;

  std::filesystem::path path_;
  UniqueFd fd_;
};

// What `facts` says that a file is: "a symbolic link", "a pipe", ...
const char* kind_of_file(const struct stat& facts);

}  // namespace cairn
