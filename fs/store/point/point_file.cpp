// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/point/point_file.h"

#include <nlohmann/json.hpp>

#include "config/base/json.h"
#include "fs/store/point/sealed_document.h"

namespace cairn {

std::string point_object(const PointName& name) {
  return "points/" + name.text();
}

Buffer seal_point(const RecoveryPoint& point, const KeyRing& keys, SealAlgorithm algorithm, const StoreId& store) {
  // Labels on a disk may hold any bytes; the document is UTF-8.
  const std::string document = json_text(to_json(point, KeyMaterial::with));
  return seal_document(kPointMagic, point_object(point.name), as_bytes(document), {keys, algorithm, store});
}

Result<RecoveryPoint> open_point(ByteView bytes, const PointName& name, const KeyRing& keys, const StoreId& store,
                                 const std::string& path) {
  CAIRN_TRY(const Buffer document, open_document(kPointMagic, point_object(name), bytes,
                                                 {keys, best_seal_algorithm(), store}, ErrorCode::point_damaged, path));
  const auto damaged = [&](const char* because) {
    return fail(ErrorCode::point_damaged, "read recovery point", path, because);
  };
  const auto parsed = parse_json(as_text(document));
  if (!parsed) return damaged("its document is not JSON");
  CAIRN_TRY(RecoveryPoint point, point_from_json(*parsed, path));
  if (point.name != name) return damaged("it is that of another point");
  return point;
}

}  // namespace cairn
