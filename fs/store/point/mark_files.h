// SPDX-License-Identifier: GPL-3.0-or-later
// The files of point state: deletions, protections, tombstones, the newest points and the clock's record as they lie in
// the store. Bytes: fs/store/FORMAT.md "Point state", "Clock". Any thread.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/result.h"
#include "fs/io/backend.h"
#include "fs/store/point/point_marks.h"
#include "fs/store/point/sealed_document.h"
#include "fs/store/point/trusted_clock.h"

namespace cairn {

// Where points and their state lie.
inline constexpr std::string_view kPointsPrefix = "points/";
inline constexpr std::string_view kDeletedPrefix = "deleted/";
inline constexpr std::string_view kProtectedPrefix = "protected/";
inline constexpr std::string_view kPurgedPrefix = "purged/";
inline constexpr std::string_view kNewestPrefix = "newest/";

std::string deletion_object(const PointName& name);     // "deleted/web-01@20261121T020000Z"
std::string protection_object(const PointName& name);   // "protected/..."
std::string tombstone_object(const PointName& name);    // "purged/..."
std::string newest_object(const std::string& machine);  // "newest/web-01"

// A deletion also holds what a tombstone would say: when the point's file is gone and the tombstone could not be
// written (the disk was full), the deletion explains its absence.
struct DeletionFile {
  Deletion deletion;
  Tombstone facts;  // purged, because: as if the deletion had been the purge
};

class MarkFiles {
 public:
  // `backend` and what `seal` refers to must outlive this.
  MarkFiles(Backend& backend, const DocumentSeal& seal) : backend_(backend), seal_(seal) {}

  // Names of the points that have a state of that kind, sorted. `prefix`: kDeletedPrefix, or another.
  [[nodiscard]] Result<std::vector<PointName>> names_in(std::string_view prefix) const;
  // Nothing: there is none. Errors: store_damaged.
  [[nodiscard]] Result<std::optional<DeletionFile>> deletion(const PointName& name) const;
  [[nodiscard]] Result<std::optional<Protection>> protection(const PointName& name) const;
  [[nodiscard]] Result<std::optional<Tombstone>> tombstone(const PointName& name) const;
  [[nodiscard]] Result<std::optional<NewestPoints>> newest(const std::string& machine) const;
  [[nodiscard]] Result<std::optional<ClockRecord>> clock() const;
  // BLAKE3, hex, of the object as it lies there: every put is sealed anew, so no two are alike. Nothing: there is none.
  [[nodiscard]] Result<std::optional<std::string>> hash_of(const std::string& object) const;
  // The machines whose newest points are recorded, sorted.
  [[nodiscard]] Result<std::vector<std::string>> machines_with_newest() const;

  // Durable on return; replaces the one that is there. Errors: no_space, io_error.
  [[nodiscard]] Result<void> write(const DeletionFile& file) const;
  [[nodiscard]] Result<void> write(const Protection& protection) const;
  [[nodiscard]] Result<void> write(const Tombstone& tombstone) const;
  // Without points and names that are gone, and when it counts no changes: removes it.
  [[nodiscard]] Result<void> write(const NewestPoints& newest) const;
  [[nodiscard]] Result<void> write(const ClockRecord& record) const;
  // Nothing there is as good. Durable on return.
  [[nodiscard]] Result<void> remove(const std::string& object) const;

 private:
  [[nodiscard]] Result<void> put(const std::string& object, const nlohmann::json& document) const;
  // Null: there is no such object.
  [[nodiscard]] Result<nlohmann::json> get(const std::string& object, std::string_view format) const;
  template <class Read>
  [[nodiscard]] auto read(const std::string& object, std::string_view format, Read as) const
      -> Result<std::optional<decltype(as(std::declval<const nlohmann::json&>()))>>;

  Backend& backend_;
  DocumentSeal seal_;
};

}  // namespace cairn
