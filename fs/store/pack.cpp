// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/pack.h"

#include <sodium.h>
#include <zstd.h>

namespace cairn {
namespace {

constexpr std::string_view kHeaderMagic = "CAIRNPK\n";
constexpr std::string_view kTrailerMagic = "CAIRNEND";
constexpr std::uint32_t kPackVersion = 1;

// What is authenticated with a record besides its bytes. The record's number is the nonce, the pack is in the key.
using RecordContext = std::array<std::uint8_t, 48>;
RecordContext context_of(const ChunkName& name, const RecordPlace& place) {
  RecordContext context{};
  const MutableBytes bytes(context);
  std::memcpy(context.data(), name.bytes.data(), kChunkNameBytes);
  put_le(bytes.subspan(32), place.offset);
  put_le(bytes.subspan(36), place.sealed_bytes);
  put_le(bytes.subspan(40), place.raw_bytes);
  context[44] = static_cast<std::uint8_t>(place.kind);
  context[45] = static_cast<std::uint8_t>(place.encoding);
  return context;
}

constexpr std::string_view kFooterContext = "cairn pack footer";

void append_entry(Buffer& to, const PackRecord& record) {
  const RecordContext entry = context_of(record.name, record.place);  // the same fields, by design
  append(to, entry);
}

bool parse_entry(ByteView bytes, PackRecord& record) {
  record.name = ChunkName::of(bytes.first(kChunkNameBytes));
  record.place.offset = get_le<std::uint32_t>(bytes.subspan(32));
  record.place.sealed_bytes = get_le<std::uint32_t>(bytes.subspan(36));
  record.place.raw_bytes = get_le<std::uint32_t>(bytes.subspan(40));
  const std::uint8_t kind = bytes[44];
  const std::uint8_t encoding = bytes[45];
  if (kind < 1 || kind > 2 || encoding > 1 || record.name.is_zero()) return false;
  record.place.kind = static_cast<RecordKind>(kind);
  record.place.encoding = static_cast<RecordEncoding>(encoding);
  return true;
}

}  // namespace

static_assert(kFooterEntryBytes == sizeof(RecordContext));

std::string pack_object(std::string_view pack_name) {
  return "packs/" + std::string(pack_name.substr(0, 2)) + "/" + std::string(pack_name);
}

std::vector<std::string> pack_names_of(const std::vector<std::string>& objects) {
  std::vector<std::string> names;
  for (const std::string& object : objects) {
    std::string name = object.substr(object.rfind('/') + 1);
    if (ChunkName::parse(name) && object == pack_object(name)) names.push_back(std::move(name));
  }
  return names;
}

std::string FinishedPack::object() const {
  return pack_object(name);
}

namespace {
// Header: magic, version, algorithm, store, salt. Returns the pack's key.
SecretBytes start_pack(const KeyRing& keys, SealAlgorithm algorithm, const StoreId& store, BulkBuffer& bytes) {
  bytes.clear();
  Buffer salt(kSaltBytes);
  randombytes_buf(salt.data(), salt.size());
  append(bytes, as_bytes(kHeaderMagic));
  append_le(bytes, kPackVersion);
  append_le(bytes, static_cast<std::uint32_t>(algorithm));
  append(bytes, store);
  append(bytes, salt);
  CAIRN_ASSERT(bytes.size() == kPackHeaderBytes);
  return keys.pack_key(salt);
}
}  // namespace

PackBuilder::PackBuilder(const KeyRing& keys, SealAlgorithm algorithm, const StoreId& store, BulkBuffer room)
    : bytes_(std::move(room)), sealer_(algorithm, start_pack(keys, algorithm, store, bytes_)) {}

void PackBuilder::add(const ChunkName& name, RecordKind kind, RecordEncoding encoding, std::uint32_t raw_bytes,
                      ByteView stored) {
  PackRecord record{name, {}};
  record.place.number = sealer_.next_number();
  record.place.offset = static_cast<std::uint32_t>(bytes_.size());
  record.place.sealed_bytes = static_cast<std::uint32_t>(stored.size() + kSealTagBytes);
  record.place.raw_bytes = raw_bytes;
  record.place.kind = kind;
  record.place.encoding = encoding;
  sealer_.seal_onto(stored, context_of(name, record.place), bytes_);
  CAIRN_ASSERT(bytes_.size() < kMaxPackBytes);
  records_.push_back(record);
}

FinishedPack PackBuilder::finish() {
  Buffer footer;
  footer.reserve(records_.size() * kFooterEntryBytes);
  for (const PackRecord& record : records_) append_entry(footer, record);
  const std::uint64_t footer_offset = bytes_.size();
  sealer_.seal_onto(footer, as_bytes(kFooterContext), bytes_);
  append_le(bytes_, footer_offset);
  append_le(bytes_, static_cast<std::uint32_t>(footer.size() + kSealTagBytes));
  append_le(bytes_, static_cast<std::uint32_t>(records_.size()));
  append(bytes_, as_bytes(kTrailerMagic));
  append_le(bytes_, std::uint64_t{0});
  FinishedPack pack;
  pack.name = Blake3::hex_of(bytes_);
  pack.bytes = std::move(bytes_);
  pack.records = std::move(records_);
  return pack;
}

Result<std::unique_ptr<PackReader>> PackReader::open(Backend& backend, const std::string& pack_name,
                                                     const KeyRing& keys, const StoreId& store) {
  const std::string path = backend.location() + "/" + pack_object(pack_name);
  const auto damaged = [&](std::string because) {
    return fail(ErrorCode::pack_damaged, "open pack", path, std::move(because));
  };
  CAIRN_TRY(auto object, backend.open(pack_object(pack_name)));
  if (object->size() < kPackHeaderBytes + kPackTrailerBytes + kSealTagBytes || object->size() > kMaxPackBytes)
    return damaged("its size of " + std::to_string(object->size()) + " bytes is impossible");
  std::array<std::uint8_t, kPackHeaderBytes> header{};
  CAIRN_CHECK(object->read(0, header));
  const ByteView bytes(header);
  if (as_text(bytes.first(8)) != kHeaderMagic) return damaged("it does not start as a pack does");
  const auto version = get_le<std::uint32_t>(bytes.subspan(8));
  if (version != kPackVersion)
    return fail(ErrorCode::store_too_new, "open pack", path,
                "it has version " + std::to_string(version) + ", this is 1");
  const auto algorithm = get_le<std::uint32_t>(bytes.subspan(12));
  if (algorithm < 1 || algorithm > 2) return damaged("its header names an unknown algorithm");
  if (std::memcmp(bytes.data() + 16, store.data(), store.size()) != 0) return damaged("it belongs to another store");
  if (!is_available(static_cast<SealAlgorithm>(algorithm)))
    return fail(ErrorCode::not_supported_yet, "open pack", path, "this CPU has no AES instructions",
                "read this store on a machine whose CPU has AES instructions");
  Opener opener(static_cast<SealAlgorithm>(algorithm), keys.pack_key(bytes.subspan(32, kSaltBytes)));
  return std::unique_ptr<PackReader>(new PackReader(std::move(object), std::move(opener), path));
}

Result<std::vector<PackRecord>> PackReader::read_footer() const {
  const auto damaged = [&](std::string because) {
    return fail(ErrorCode::pack_damaged, "read footer of pack", path_, std::move(because));
  };
  std::array<std::uint8_t, kPackTrailerBytes> trailer{};
  CAIRN_CHECK(object_->read(object_->size() - kPackTrailerBytes, trailer));
  const ByteView bytes(trailer);
  const auto footer_offset = get_le<std::uint64_t>(bytes);
  const auto footer_bytes = get_le<std::uint32_t>(bytes.subspan(8));
  const auto count = get_le<std::uint32_t>(bytes.subspan(12));
  if (as_text(bytes.subspan(16, 8)) != kTrailerMagic) return damaged("it does not end as a pack does");
  if (footer_bytes != std::uint64_t{count} * kFooterEntryBytes + kSealTagBytes || footer_offset < kPackHeaderBytes ||
      footer_offset > object_->size() || footer_offset + footer_bytes + kPackTrailerBytes != object_->size())
    return damaged("its trailer does not fit its size");
  Buffer sealed(footer_bytes);
  CAIRN_CHECK(object_->read(footer_offset, sealed));
  Buffer footer(footer_bytes - kSealTagBytes);
  if (!opener_.open(count, sealed, as_bytes(kFooterContext), footer))
    return damaged("its footer does not authenticate");
  std::vector<PackRecord> records(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    if (!parse_entry(ByteView(footer).subspan(std::size_t{i} * kFooterEntryBytes, kFooterEntryBytes), records[i]))
      return damaged("its footer has an impossible entry");
    records[i].place.number = i;
  }
  return records;
}

Result<Buffer> PackReader::read_record(const ChunkName& name, const RecordPlace& place) const {
  const auto damaged = [&](std::string because) {
    return fail(ErrorCode::chunk_damaged, "read chunk " + name.hex().substr(0, 16) + " of pack", path_,
                std::move(because));
  };
  if (place.sealed_bytes < kSealTagBytes || place.raw_bytes > kMaxRawBytes ||
      place.sealed_bytes > place.raw_bytes + kSealTagBytes ||
      std::uint64_t{place.offset} + place.sealed_bytes > object_->size())
    return damaged("the index says an impossible place for it");
  // Each thread keeps one buffer for sealed bytes.
  thread_local Buffer sealed;
  sealed.resize(place.sealed_bytes);
  CAIRN_CHECK(object_->read(place.offset, sealed));
  const std::size_t stored_bytes = place.sealed_bytes - kSealTagBytes;
  Buffer stored(stored_bytes);
  if (!opener_.open(place.number, sealed, context_of(name, place), stored))
    return damaged("its bytes do not authenticate");
  if (place.encoding == RecordEncoding::plain) {
    if (stored_bytes != place.raw_bytes) return damaged("its length is not what the index says");
    return stored;
  }
  Buffer raw(place.raw_bytes);
  const std::size_t got = ZSTD_decompress(raw.data(), raw.size(), stored.data(), stored.size());
  if (ZSTD_isError(got) != 0 || got != raw.size()) return damaged("it does not decompress");
  return raw;
}

}  // namespace cairn
