// SPDX-License-Identifier: GPL-3.0-or-later
// Point files: a recovery point's document as it is sealed in the store. Bytes: fs/store/FORMAT.md "Recovery point".
#pragma once

#include <string>

#include "config/base/result.h"
#include "crypto/key_ring.h"
#include "crypto/sealer.h"
#include "fs/store/pack/pack.h"
#include "fs/store/point/recovery_point.h"

namespace cairn {

inline constexpr std::uint64_t kMaxPointBytes = 64ULL * 1024 * 1024;

std::string point_object(const PointName& name);  // "points/web-01@20261121T020000Z"
Buffer seal_point(const RecoveryPoint& point, const KeyRing& keys, SealAlgorithm algorithm, const StoreId& store);
// `path` names the file in errors. Errors: point_damaged (also when it lies under another point's name), store_too_new.
Result<RecoveryPoint> open_point(ByteView bytes, const PointName& name, const KeyRing& keys, const StoreId& store,
                                 const std::string& path);

}  // namespace cairn
