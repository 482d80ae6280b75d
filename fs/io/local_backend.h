// SPDX-License-Identifier: GPL-3.0-or-later
// LocalBackend: objects as files below a directory. An object is written to tmp/, synced, and renamed to its name; then
// the folder is synced. Files are 0600, folders 0700. Others may be able to write there: nothing below the directory is
// reached through a symbolic link, and only regular files are objects (fs/file/folder.h). The directory itself is
// opened anew for each call: it may be mounted, replaced or taken away meanwhile. Any thread.
//
// Errors of all calls besides those of Backend: wrong_file_type: a link or a file is where a folder of objects should
// be.
#pragma once

#include <filesystem>
#include <memory>

#include "fs/file/folder.h"
#include "fs/io/backend.h"

namespace cairn {

class LocalBackend final : public Backend {
 public:
  // Touches nothing yet.
  explicit LocalBackend(std::filesystem::path directory) : directory_(std::move(directory)) {}

  [[nodiscard]] std::string location() const override { return directory_.string(); }
  using Backend::put;
  Result<void> put(std::string_view name, std::span<const ByteView> parts, IfExists if_exists) override;
  Result<std::unique_ptr<ObjectReader>> open(std::string_view name) override;
  Result<std::vector<std::string>> list(std::string_view prefix) override;
  Result<void> remove(std::string_view name) override;
  // By flock(2) on the object itself: it ends with its process, and costs no writing.
  Result<std::unique_ptr<ObjectHold>> hold(std::string_view name) override;
  Result<bool> remove_unless_held(std::string_view name) override;
  Result<std::optional<Space>> space() override;
  Result<std::optional<std::uint64_t>> change_token(std::string_view prefix) override;
  Result<void> remove_leftovers() override;
  Result<void> settle(std::string_view prefix) override;

 private:
  [[nodiscard]] Result<Folder> root() const;
  // Nothing: it is not there. `prefix` ends with a slash.
  [[nodiscard]] Result<std::optional<Folder>> folder_of(std::string_view prefix) const;
  [[nodiscard]] std::string path_of(std::string_view name) const;  // for messages
  [[nodiscard]] Result<std::optional<UniqueFd>> lock_object(const std::string& name, int operation) const;
  std::filesystem::path directory_;
};

}  // namespace cairn
