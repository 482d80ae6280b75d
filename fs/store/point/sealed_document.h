// SPDX-License-Identifier: GPL-3.0-or-later
// Sealed documents: small files of the store that are read whole: points, what is recorded about points, known damage.
// Bytes: fs/store/FORMAT.md "Sealed document". Any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "config/base/bytes.h"
#include "config/base/result.h"
#include "crypto/key_ring.h"
#include "crypto/sealer.h"
#include "fs/io/backend.h"
#include "fs/store/pack/pack.h"

namespace cairn {

inline constexpr std::string_view kPointMagic = "CAIRNPT\n";
inline constexpr std::string_view kRecordMagic = "CAIRNDC\n";  // everything that is not a point

struct DocumentSeal {
  const KeyRing& keys;
  SealAlgorithm algorithm;  // of new documents; old ones say their own
  const StoreId& store;
};

// `magic`: 8 bytes. `object`: the name under which the document is put; it opens under no other.
Buffer seal_document(std::string_view magic, std::string_view object, ByteView text, const DocumentSeal& seal);
// `path` names the file in errors. Errors: `damaged` (too short, another magic or object, another store's, altered),
// store_too_new, not_supported_yet (this CPU has no AES instructions).
Result<Buffer> open_document(std::string_view magic, std::string_view object, ByteView bytes, const DocumentSeal& seal,
                             ErrorCode damaged, const std::string& path);

// The document with kRecordMagic under `object`; nothing: there is no such object. `limit`: bytes.
// Errors: store_damaged (larger than `limit` too) and the others of open_document, io_error.
Result<std::optional<Buffer>> get_document(Backend& backend, const std::string& object, std::uint64_t limit,
                                           const DocumentSeal& seal);
// Replaces the one that is there; durable on return. Errors: no_space, io_error.
Result<void> put_document(Backend& backend, const std::string& object, std::string_view text, const DocumentSeal& seal);

}  // namespace cairn
