// SPDX-License-Identifier: GPL-3.0-or-later
// LocalBackend: objects as files below a directory. An object is written to tmp/, synced, and renamed to its name; then
// the folder is synced. Files are 0600, folders 0700. Any thread.
#pragma once

#include <filesystem>
#include <memory>

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
  Result<std::vector<ListedObject>> list_sizes(std::string_view prefix) override;
  Result<void> remove(std::string_view name) override;
  // By flock(2) on the object itself: it ends with its process, and costs no writing.
  Result<std::unique_ptr<ObjectHold>> hold(std::string_view name) override;
  Result<bool> remove_unless_held(std::string_view name) override;
  Result<std::optional<Space>> space() override;
  Result<std::optional<std::uint64_t>> change_token(std::string_view prefix) override;
  Result<void> remove_leftovers() override;
  Result<void> settle(std::string_view prefix) override;

 private:
  [[nodiscard]] std::filesystem::path path_of(std::string_view name) const;
  std::filesystem::path directory_;
};

}  // namespace cairn
