// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/restore/restore_header.h"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "daemon/keys/stored_headers.h"
#include "daemon/queue/job.h"
#include "daemon/restore/restore.h"
#include "daemon/restore/restore_target.h"
#include "daemon/restore/restored_keys.h"
#include "fs/file/direct_io.h"
#include "fs/store/map/disk_reader.h"
#include "fs/store/store.h"

namespace cairn {
namespace {

using nlohmann::json;

Result<json> write_file(Store& store, const HeaderFilesTask& task, const Folder& to, const DiskRecord& disk,
                        const HeaderRecord& header) {
  CAIRN_TRY(RestoreTarget file, RestoreTarget::create(to, header.name, header.map.size));
  const auto reader = store.open_disk(header.map, fmt::format("{}/{}", task.point.text(), header.name));
  static_assert(kMinChunkSize % kDirectBlock == 0);
  BulkBuffer memory;
  std::uint64_t next = 0;
  while (next < reader->size()) {
    CAIRN_TRY(const std::optional<std::uint64_t> data, reader->seek_data(next));
    if (!data) break;
    const std::uint64_t size = std::min<std::uint64_t>(reader->chunk_size(), reader->size() - *data);
    const MutableBytes bytes = room_in(memory, direct_ceiling(size));
    std::ranges::fill(bytes.subspan(size), std::uint8_t{0});
    CAIRN_CHECK(read_header(*reader, *data, bytes.first(size)));
    CAIRN_CHECK(file.write(*data, bytes));
    next = *data + size;
  }
  CAIRN_CHECK(file.publish(task.force ? IfExists::replace : IfExists::fail));
  return json{{"disk", disk.name},
              {"header", header.name},
              {"path", file.path()},
              {"size", header.map.size},
              {"data_bytes", header.map.data_bytes}};
}

}  // namespace

Result<json> restore_header_files(Store& store, const HeaderFilesTask& task, JobContext& job) {
  CAIRN_TRY(const auto hold, store.points().hold(task.point));  // it stays until it is restored
  CAIRN_TRY(const RecoveryPoint point, store.points().load(task.point));
  CAIRN_TRY(const auto disks, wanted_disks(point, task.disk));
  CAIRN_TRY(const Folder to, open_restore_folder(task.to));
  std::vector<std::pair<const DiskRecord*, StoredHeader>> headers;
  for (const DiskRecord* disk : disks) {
    CAIRN_TRY(const auto of_disk, stored_headers(*disk, task.point));
    for (const StoredHeader& header : of_disk) headers.emplace_back(disk, header);
  }
  if (headers.empty())
    return fail(ErrorCode::no_such_header, "restore the headers of",
                task.disk ? fmt::format("{}/{}", task.point.text(), *task.disk) : task.point.text(),
                "no encrypted volume was seen on it");
  const IfExists if_exists = task.force ? IfExists::replace : IfExists::fail;
  for (const auto& [disk, header] : headers) CAIRN_CHECK(check_restore_name(to, header.record->name, if_exists));
  for (std::string& warning : point_warnings(point, task.disk, task.now)) job.warn(std::move(warning));
  json files = json::array();
  for (const auto& [disk, header] : headers) {
    CAIRN_TRY(json file, write_file(store, task, to, *disk, *header.record));
    files.push_back(std::move(file));
  }
  return json{{"machine", task.point.machine}, {"point", task.point.stamp()},
              {"name", task.point.text()},     {"to", task.to.string()},
              {"files", std::move(files)},     {"keys", keys_at_hand(store, point, disks, task.open_vault, job)}};
}

}  // namespace cairn
