// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/point/sealed_document.h"

#include <sodium.h>

#include <cstring>

namespace cairn {
namespace {
constexpr std::uint32_t kDocumentVersion = 1;
constexpr std::size_t kHeaderBytes = 64;

// The header and the object's name are authenticated with the text: a document cannot be renamed into another.
Buffer context_of(ByteView header, std::string_view object) {
  Buffer context(header.begin(), header.end());
  append(context, as_bytes(object));
  return context;
}
}  // namespace

Buffer seal_document(std::string_view magic, std::string_view object, ByteView text, const DocumentSeal& seal) {
  Buffer bytes;
  append(bytes, as_bytes(magic));
  append_le(bytes, kDocumentVersion);
  append_le(bytes, static_cast<std::uint32_t>(seal.algorithm));
  append(bytes, seal.store);
  Buffer salt(kSaltBytes);
  randombytes_buf(salt.data(), salt.size());
  append(bytes, salt);
  CAIRN_ASSERT(bytes.size() == kHeaderBytes);
  const Buffer context = context_of(bytes, object);
  Sealer(seal.algorithm, seal.keys.point_key(salt)).seal_onto(text, context, bytes);
  return bytes;
}

Result<Buffer> open_document(std::string_view magic, std::string_view object, ByteView bytes, const DocumentSeal& seal,
                             ErrorCode damaged_code, const std::string& path) {
  const auto damaged = [&](std::string because) { return fail(damaged_code, "read", path, std::move(because)); };
  if (bytes.size() < kHeaderBytes + kSealTagBytes) return damaged("the file is too short");
  if (as_text(bytes.first(8)) != magic) return damaged("it does not start as it must");
  const auto version = get_le<std::uint32_t>(bytes.subspan(8));
  if (version != kDocumentVersion)
    return fail(ErrorCode::store_too_new, "read", path,
                "it has version " + std::to_string(version) + ", this is " + std::to_string(kDocumentVersion));
  const auto algorithm = get_le<std::uint32_t>(bytes.subspan(12));
  if (algorithm < 1 || algorithm > 2) return damaged("its header names an unknown algorithm");
  if (std::memcmp(bytes.data() + 16, seal.store.data(), seal.store.size()) != 0)
    return damaged("it belongs to another store");
  if (!is_available(static_cast<SealAlgorithm>(algorithm)))
    return fail(ErrorCode::not_supported_yet, "read", path, "this CPU has no AES instructions");
  const Opener opener(static_cast<SealAlgorithm>(algorithm), seal.keys.point_key(bytes.subspan(32, kSaltBytes)));
  const ByteView sealed = bytes.subspan(kHeaderBytes);
  Buffer text(sealed.size() - kSealTagBytes);
  if (!opener.open(0, sealed, context_of(bytes.first(kHeaderBytes), object), text))
    return damaged("it does not authenticate: it was altered, or lies under another name");
  return text;
}

Result<std::optional<Buffer>> get_document(Backend& backend, const std::string& object, std::uint64_t limit,
                                           const DocumentSeal& seal) {
  const auto bytes = backend.get(object, limit);
  if (!bytes && bytes.error().code == ErrorCode::object_missing) return std::optional<Buffer>();
  if (!bytes) return pass_on(bytes.error());
  CAIRN_TRY(Buffer text, open_document(kRecordMagic, object, *bytes, seal, ErrorCode::store_damaged,
                                       backend.location() + "/" + object));
  return std::optional(std::move(text));
}

Result<void> put_document(Backend& backend, const std::string& object, std::string_view text,
                          const DocumentSeal& seal) {
  return backend.put(object, seal_document(kRecordMagic, object, as_bytes(text), seal), IfExists::replace);
}

}  // namespace cairn
