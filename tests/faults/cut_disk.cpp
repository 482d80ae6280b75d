// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/faults/cut_disk.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <stdexcept>

#include "config/base/unique_fd.h"
#include "tests/support/sandbox.h"

namespace cairn::faults {

namespace {
constexpr std::size_t kSector = 512;

bool has_second_folder(const Operation& operation) {
  return operation.change == Change::rename || operation.change == Change::exchange;
}
}  // namespace

bool CutDisk::EntryChange::touches(ObjectId folder) const {
  return operation.folder == folder || (has_second_folder(operation) && operation.folder2 == folder);
}

bool CutDisk::EntryChange::touches_any(const std::set<ObjectId>& folders) const {
  return folders.contains(operation.folder) || (has_second_folder(operation) && folders.contains(operation.folder2));
}

CutDisk::CutDisk(const std::vector<StartObject>& start) {
  for (const StartObject& object : start) {
    if (object.id != kWatchedRoot) folders_[object.folder][object.name] = object.id;
    if (object.is_folder) {
      is_folder_.insert(object.id);
      folders_[object.id];
    } else {
      files_[object.id].durable = object.data;
    }
  }
}

void CutDisk::change_entry(Folders& folders, const Operation& operation) {
  switch (operation.change) {
    case Change::make_folder:
      folders[operation.object];
      [[fallthrough]];
    case Change::make_file:
    case Change::link:
      folders[operation.folder][operation.name] = operation.object;
      break;
    case Change::remove:
      folders[operation.folder].erase(operation.name);
      break;
    case Change::rename:
      folders[operation.folder].erase(operation.name);
      folders[operation.folder2][operation.name2] = operation.object;
      break;
    case Change::exchange:
      folders[operation.folder][operation.name] = operation.object2;
      folders[operation.folder2][operation.name2] = operation.object;
      break;
    default:
      break;
  }
}

void CutDisk::change_data(Buffer& data, const Operation& operation) {
  const auto offset = static_cast<std::size_t>(operation.offset);
  if (operation.change == Change::truncate) {
    data.resize(offset);
    return;
  }
  if (data.size() < offset + operation.data.size()) data.resize(offset + operation.data.size());
  std::ranges::copy(operation.data, data.begin() + static_cast<std::ptrdiff_t>(offset));
}

void CutDisk::apply(const Operation& operation) {
  switch (operation.change) {
    case Change::write:
    case Change::truncate:
      files_[operation.object].pending.push_back(operation);
      break;
    case Change::sync:
      if (is_folder_.contains(operation.object)) {
        sync_folder(operation.object);
      } else if (File& file = files_[operation.object]; !file.pending.empty()) {
        Buffer data = *file.durable;
        for (const Operation& change : file.pending) change_data(data, change);
        file.pending.clear();
        file.durable = std::make_shared<const Buffer>(std::move(data));
      }
      break;
    case Change::make_folder:
      is_folder_.insert(operation.object);
      [[fallthrough]];
    default:
      if (operation.change == Change::make_file) files_[operation.object];
      pending_.push_back({operation});
  }
}

// And what came before in folders that a rename ties to it.
void CutDisk::sync_folder(ObjectId folder) {
  std::set<ObjectId> tied = {folder};
  std::vector<bool> synced(pending_.size());
  for (std::size_t i = pending_.size(); i-- > 0;) {
    if (!pending_[i].touches_any(tied)) continue;
    synced[i] = true;
    tied.insert(pending_[i].operation.folder);
    if (has_second_folder(pending_[i].operation)) tied.insert(pending_[i].operation.folder2);
  }
  std::vector<EntryChange> left;
  for (std::size_t i = 0; i < pending_.size(); ++i) {
    if (synced[i])
      change_entry(folders_, pending_[i].operation);
    else
      left.push_back(std::move(pending_[i]));
  }
  pending_ = std::move(left);
}

Buffer CutDisk::data_of(const File& file, Unsynced unsynced, std::mt19937_64& random) const {
  Buffer data = *file.durable;
  for (const Operation& change : file.pending) {
    const bool torn = unsynced == Unsynced::mixed && !change.durable;
    if (unsynced == Unsynced::kept || change.durable) {
      change_data(data, change);
    } else if (torn && change.change == Change::truncate) {
      if (random() % 2 != 0) change_data(data, change);
    } else if (torn) {
      // All, none, or some of its sectors; the size may have come through without the bytes.
      const std::uint64_t how = random() % 4;
      if (how == 0) continue;
      if (how == 1) {
        change_data(data, change);
        continue;
      }
      const auto offset = static_cast<std::size_t>(change.offset);
      for (std::size_t at = offset; at < offset + change.data.size();) {
        const std::size_t end = std::min((at / kSector + 1) * kSector, offset + change.data.size());
        if (random() % 2 != 0) {
          if (data.size() < end) data.resize(end);
          std::copy(change.data.begin() + static_cast<std::ptrdiff_t>(at - offset),
                    change.data.begin() + static_cast<std::ptrdiff_t>(end - offset),
                    data.begin() + static_cast<std::ptrdiff_t>(at));
        }
        at = end;
      }
    }
  }
  return data;
}

void CutDisk::make_tree(const Folders& folders, ObjectId folder, const std::filesystem::path& path, Unsynced unsynced,
                        std::mt19937_64& random) const {
  std::filesystem::create_directories(path);
  const auto entries = folders.find(folder);
  if (entries == folders.end()) return;
  for (const auto& [name, object] : entries->second) {
    if (is_folder_.contains(object))
      make_tree(folders, object, path / name, unsynced, random);
    else
      testing::write_at(path / name, 0, data_of(files_.at(object), unsynced, random));
  }
}

void CutDisk::materialize(const std::filesystem::path& target, Unsynced unsynced, std::mt19937_64& random) const {
  Folders folders = folders_;
  std::set<ObjectId> stopped;  // folders whose later changes are lost
  for (const EntryChange& change : pending_) {
    bool keeps = unsynced == Unsynced::kept;
    if (unsynced == Unsynced::mixed) keeps = !change.touches_any(stopped) && random() % 4 != 0;
    if (keeps) {
      change_entry(folders, change.operation);
    } else {
      stopped.insert(change.operation.folder);
      if (has_second_folder(change.operation)) stopped.insert(change.operation.folder2);
    }
  }
  make_tree(folders, kWatchedRoot, target, unsynced, random);
}

}  // namespace cairn::faults
