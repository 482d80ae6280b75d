// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/io/backend.h"

#include "fs/file/direct_io.h"

namespace cairn {

Result<ByteView> ObjectReader::read_run(ByteOffset offset, ByteCount size, BulkBuffer& buffer) const {
  const MutableBytes room = room_in(buffer, size.in_memory());
  CAIRN_CHECK(read(offset.from_start(), room));
  return ByteView(room);
}

Result<Buffer> Backend::get(std::string_view name, std::uint64_t limit) {
  CAIRN_TRY(const auto object, open(name));
  if (object->size() > limit)
    return fail(
        ErrorCode::store_damaged, "read", location() + "/" + std::string(name),
        "it has " + std::to_string(object->size()) + " bytes, at most " + std::to_string(limit) + " are possible");
  Buffer bytes(object->size());
  CAIRN_CHECK(object->read(0, bytes));
  return bytes;
}

Result<std::vector<ListedObject>> Backend::list_sizes(std::string_view prefix) {
  CAIRN_TRY(std::vector<std::string> names, list(prefix));
  std::vector<ListedObject> listed;
  listed.reserve(names.size());
  for (std::string& name : names) {
    const auto object = open(name);
    if (object)
      listed.push_back({std::move(name), (*object)->size()});
    else if (object.error().code != ErrorCode::object_missing)
      return pass_on(object.error());
  }
  return listed;
}

// For backends whose objects nobody else removes meanwhile: what is open stays good, and that is all a hold promises.
Result<std::unique_ptr<ObjectHold>> Backend::hold(std::string_view name) {
  CAIRN_TRY(auto opened, open(name));
  struct Opened final : ObjectHold {
    std::unique_ptr<ObjectReader> object;
  };
  auto held = std::make_unique<Opened>();
  held->object = std::move(opened);
  return std::unique_ptr<ObjectHold>(std::move(held));
}

Result<bool> Backend::remove_unless_held(std::string_view name) {
  CAIRN_CHECK(remove(name));
  return true;
}

}  // namespace cairn
