// SPDX-License-Identifier: GPL-3.0-or-later
// Backend: where a store's objects live. Names are paths with slashes: "packs/ab/<hex>", "points/<name>", "store.json".
// What survives a power cut: every object whose put() returned without an error, whole; nothing else is ever visible
// under its name, not even partly. Any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/bytes.h"
#include "config/base/result.h"
#include "config/base/units.h"

namespace cairn {

enum class IfExists { fail, replace };

// Reads one object again and again. Stays good when the object is removed meanwhile. Any thread.
class ObjectReader {
 public:
  virtual ~ObjectReader() = default;
  [[nodiscard]] virtual std::uint64_t size() const = 0;
  // True: the object was removed; what is kept of it takes space as long as this lives.
  [[nodiscard]] virtual bool is_removed() const { return false; }
  // Fills all of `to` from `offset`. Errors: io_error; object_missing when the object is shorter than that.
  virtual Result<void> read(std::uint64_t offset, MutableBytes to) const = 0;
  // `size` bytes from `offset`, somewhere in `buffer`: good until that is used again. For large runs that are wanted
  // once: they go past the page cache where the system lets them. Errors: as read().
  virtual Result<ByteView> read_run(ByteOffset offset, ByteCount size, BulkBuffer& buffer) const;
};

// Keeps an object from being removed by remove_unless_held(), in any process of this host, as long as it lives.
class ObjectHold {
 public:
  virtual ~ObjectHold() = default;
};

struct ListedObject {
  std::string name;
  std::uint64_t size = 0;  // bytes
};

class Backend {
 public:
  virtual ~Backend() = default;
  // For messages: "/srv/cairn/store".
  [[nodiscard]] virtual std::string location() const = 0;
  // Publishes an object of these parts, one after the other: atomic, and durable on return.
  // Errors: object_exists when it is there and `if_exists` is fail; no_space; io_error. Nothing is left behind on
  // failure.
  virtual Result<void> put(std::string_view name, std::span<const ByteView> parts, IfExists if_exists) = 0;
  // Errors: object_missing.
  virtual Result<std::unique_ptr<ObjectReader>> open(std::string_view name) = 0;
  // Names of all objects that start with `prefix` (which ends with a slash), in no particular order. Objects put or
  // removed meanwhile may or may not be there. None: an empty list.
  virtual Result<std::vector<std::string>> list(std::string_view prefix) = 0;
  // The same with their sizes, bytes: a look at each, where list() costs one a folder. One that vanishes meanwhile is
  // left out. Errors: as list().
  virtual Result<std::vector<ListedObject>> list_sizes(std::string_view prefix);
  // Durable on return. Errors: object_missing.
  virtual Result<void> remove(std::string_view name) = 0;
  // Errors: object_missing (also when it is removed at this very moment), io_error.
  virtual Result<std::unique_ptr<ObjectHold>> hold(std::string_view name);
  // False: somebody holds it, nothing was done. Durable on return. Errors: object_missing, io_error.
  virtual Result<bool> remove_unless_held(std::string_view name);
  // A value that changes when an object directly under `prefix` is added or removed; cheap. Nothing: cannot tell.
  virtual Result<std::optional<std::uint64_t>> change_token(std::string_view prefix) = 0;

  // Bytes that may still be written, and all there are; nothing: there is no limit, or it is not known.
  struct Space {
    std::uint64_t free = 0;
    std::uint64_t total = 0;
  };
  virtual Result<std::optional<Space>> space() { return std::optional<Space>(); }

  // Removes what interrupted puts left behind. Only for whoever holds the writer lock.
  virtual Result<void> remove_leftovers() { return {}; }

  // Makes durable what list(prefix) shows: an object whose put() was broken off in its last step is seen, and may still
  // be lost. put() and remove() leave nothing to do here. `prefix` ends with a slash; empty: the top level, and what
  // lies directly in its folders.
  virtual Result<void> settle(std::string_view prefix) { return static_cast<void>(prefix), Result<void>(); }

  // Whole object. Errors: as open(), and store_damaged when it is larger than `limit` bytes.
  Result<Buffer> get(std::string_view name, std::uint64_t limit);
  Result<void> put(std::string_view name, ByteView bytes, IfExists if_exists) {
    const ByteView parts[] = {bytes};
    return put(name, std::span<const ByteView>(parts), if_exists);
  }
};

}  // namespace cairn
