// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/io/backend.h"

#include "fs/io/direct_io.h"

namespace cairn {

Result<ByteView> ObjectReader::read_run(std::uint64_t offset, std::size_t bytes, BulkBuffer& buffer) const {
  const MutableBytes room = room_in(buffer, bytes);
  CAIRN_CHECK(read(offset, room));
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

}  // namespace cairn
