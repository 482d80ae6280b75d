// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/point_file.h"

#include <sodium.h>

#include <nlohmann/json.hpp>

namespace cairn {
namespace {
constexpr std::string_view kMagic = "CAIRNPT\n";
constexpr std::uint32_t kPointFileVersion = 1;
constexpr std::size_t kHeaderBytes = 64;

// The header and the object's name are authenticated with the document: a point cannot be renamed into another.
Buffer context_of(ByteView header, const PointName& name) {
  Buffer context(header.begin(), header.end());
  append(context, as_bytes(point_object(name)));
  return context;
}
}  // namespace

std::string point_object(const PointName& name) {
  return "points/" + name.text();
}

Buffer seal_point(const RecoveryPoint& point, const KeyRing& keys, SealAlgorithm algorithm, const StoreId& store) {
  Buffer bytes;
  append(bytes, as_bytes(kMagic));
  append_le(bytes, kPointFileVersion);
  append_le(bytes, static_cast<std::uint32_t>(algorithm));
  append(bytes, store);
  Buffer salt(kSaltBytes);
  randombytes_buf(salt.data(), salt.size());
  append(bytes, salt);
  CAIRN_ASSERT(bytes.size() == kHeaderBytes);
  const Buffer context = context_of(bytes, point.name);
  // Labels on a disk may hold any bytes; the document is UTF-8.
  const std::string document =
      to_json(point, KeyMaterial::with).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  Sealer(algorithm, keys.point_key(salt)).seal_onto(as_bytes(document), context, bytes);
  return bytes;
}

Result<RecoveryPoint> open_point(ByteView bytes, const PointName& name, const KeyRing& keys, const StoreId& store,
                                 const std::string& path) {
  const auto damaged = [&](std::string because) {
    return fail(ErrorCode::point_damaged, "read recovery point", path, std::move(because));
  };
  if (bytes.size() < kHeaderBytes + kSealTagBytes) return damaged("the file is too short");
  if (as_text(bytes.first(8)) != kMagic) return damaged("it does not start as a recovery point does");
  const auto version = get_le<std::uint32_t>(bytes.subspan(8));
  if (version != kPointFileVersion)
    return fail(ErrorCode::store_too_new, "read recovery point", path,
                "it has version " + std::to_string(version) + ", this is 1");
  const auto algorithm = get_le<std::uint32_t>(bytes.subspan(12));
  if (algorithm < 1 || algorithm > 2) return damaged("its header names an unknown algorithm");
  if (std::memcmp(bytes.data() + 16, store.data(), store.size()) != 0) return damaged("it belongs to another store");
  if (!is_available(static_cast<SealAlgorithm>(algorithm)))
    return fail(ErrorCode::not_supported_yet, "read recovery point", path, "this CPU has no AES instructions");
  const Opener opener(static_cast<SealAlgorithm>(algorithm), keys.point_key(bytes.subspan(32, kSaltBytes)));
  const ByteView sealed = bytes.subspan(kHeaderBytes);
  Buffer document(sealed.size() - kSealTagBytes);
  if (!opener.open(0, sealed, context_of(bytes.first(kHeaderBytes), name), document))
    return damaged("it does not authenticate: it was altered, or lies under another point's name");
  const auto parsed = nlohmann::json::parse(as_text(document), nullptr, false);
  if (parsed.is_discarded()) return damaged("its document is not JSON");
  CAIRN_TRY(RecoveryPoint point, point_from_json(parsed, path));
  if (point.name != name) return damaged("it is that of another point");
  return point;
}

}  // namespace cairn
