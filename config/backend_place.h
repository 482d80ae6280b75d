// SPDX-License-Identifier: GPL-3.0-or-later
// BackendPlace: where objects are kept (a store's packs and points, a replica of them, the records of tracking). It
// knows its kind, and only open_backend() (fs/io/open_backend.h) turns a kind into a Backend.
#pragma once

#include <filesystem>
#include <utility>

namespace cairn {

struct BackendPlace {
  // local: the directory `path` of this host.
  enum class Kind { local };

  // A path alone is a directory of this host.
  BackendPlace(std::filesystem::path local) : path(std::move(local)) {}

  Kind kind = Kind::local;
  std::filesystem::path path;
};

}  // namespace cairn
