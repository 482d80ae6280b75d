// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/pack/pack.h"

#include <sodium.h>
#include <zstd.h>

#include <algorithm>

#include "fs/file/direct_io.h"

namespace cairn {
namespace {

constexpr std::string_view kHeaderMagic = "CAIRNPK\n";
constexpr std::string_view kTrailerMagic = "CAIRNEND";
constexpr std::uint32_t kPackVersion = 2;
constexpr std::uint32_t kOldestPackVersion = 1;  // had no records in sections

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
  if (kind < 1 || kind > 2 || encoding > kLastEncoding || record.name.is_zero()) return false;
  record.place.kind = static_cast<RecordKind>(kind);
  record.place.encoding = static_cast<RecordEncoding>(encoding);
  return true;
}

}  // namespace

static_assert(kFooterEntryBytes == sizeof(RecordContext));

std::string pack_object(std::string_view pack_name) {
  return "packs/" + std::string(pack_name.substr(0, 2)) + "/" + std::string(pack_name);
}

std::optional<std::string> pack_name_of(const std::string& object) {
  std::string name = object.substr(object.rfind('/') + 1);
  if (!ChunkName::parse(name) || object != pack_object(name)) return std::nullopt;
  return name;
}

std::vector<std::string> pack_names_of(const std::vector<std::string>& objects) {
  std::vector<std::string> names;
  for (const std::string& object : objects)
    if (auto name = pack_name_of(object)) names.push_back(*std::move(name));
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

SealAlgorithm write_pack_frame(MutableBytes pack, const StoreId& store, std::uint32_t records) {
  CAIRN_ASSERT(pack.size() >= kPackHeaderBytes + kPackTrailerBytes);
  std::memcpy(pack.data(), kHeaderMagic.data(), kHeaderMagic.size());
  put_le(pack.subspan(8), kPackVersion);
  std::memcpy(pack.data() + 16, store.data(), store.size());
  const std::uint64_t footer_bytes = std::uint64_t{records} * kFooterEntryBytes + kSealTagBytes;
  if (records != 0 && kPackHeaderBytes + footer_bytes + kPackTrailerBytes <= pack.size()) {
    const MutableBytes trailer = pack.last(kPackTrailerBytes);
    put_le(trailer, pack.size() - kPackTrailerBytes - footer_bytes);
    put_le(trailer.subspan(8), static_cast<std::uint32_t>(footer_bytes));
    put_le(trailer.subspan(12), records);
    std::memcpy(trailer.data() + 16, kTrailerMagic.data(), kTrailerMagic.size());
  }
  const auto algorithm = get_le<std::uint32_t>(ByteView(pack).subspan(12));
  return algorithm == 1 || algorithm == 2 ? static_cast<SealAlgorithm>(algorithm) : best_seal_algorithm();
}

PackBuilder::PackBuilder(const KeyRing& keys, SealAlgorithm algorithm, const StoreId& store, BulkBuffer room)
    : bytes_(std::move(room)), sealer_(algorithm, start_pack(keys, algorithm, store, bytes_)) {}

void PackBuilder::add(const ChunkName& name, RecordKind kind, RecordEncoding encoding, std::uint32_t raw_bytes,
                      ByteView stored) {
  PackRecord record{name, {}};
  record.place.number = sealer_.next_number();
  record.place.offset = static_cast<std::uint32_t>(bytes_.size());
  const bool in_sections = encoding == RecordEncoding::sections;
  record.place.sealed_bytes =
      static_cast<std::uint32_t>(in_sections ? sealed_in_sections(stored.size()) : stored.size() + kSealTagBytes);
  record.place.raw_bytes = raw_bytes;
  record.place.kind = kind;
  record.place.encoding = encoding;
  const RecordContext context = context_of(name, record.place);
  bytes_.resize(bytes_.size() + record.place.sealed_bytes);
  const MutableBytes room = MutableBytes(bytes_).last(record.place.sealed_bytes);
  if (in_sections)
    sealer_.seal_sections(stored, context, room);
  else
    sealer_.seal(stored, context, room);
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
  CAIRN_TRY(auto object, backend.open(pack_object(pack_name)));
  return open(std::move(object), backend.location() + "/" + pack_object(pack_name), keys, store);
}

Result<std::unique_ptr<PackReader>> PackReader::open(std::unique_ptr<ObjectReader> object, std::string path,
                                                     const KeyRing& keys, const StoreId& store) {
  const auto damaged = [&](std::string because) {
    return fail(ErrorCode::pack_damaged, "open pack", path, std::move(because));
  };
  if (object->size() < kPackHeaderBytes + kPackTrailerBytes + kSealTagBytes || object->size() > kMaxPackBytes)
    return damaged("its size of " + std::to_string(object->size()) + " bytes is impossible");
  std::array<std::uint8_t, kPackHeaderBytes> header{};
  CAIRN_CHECK(object->read(0, header));
  const ByteView bytes(header);
  if (as_text(bytes.first(8)) != kHeaderMagic) return damaged("it does not start as a pack does");
  const auto version = get_le<std::uint32_t>(bytes.subspan(8));
  if (version < kOldestPackVersion || version > kPackVersion)
    return fail(ErrorCode::store_too_new, "open pack", path,
                "it has version " + std::to_string(version) + ", this is " + std::to_string(kPackVersion));
  const auto algorithm = get_le<std::uint32_t>(bytes.subspan(12));
  if (algorithm < 1 || algorithm > 2) return damaged("its header names an unknown algorithm");
  if (std::memcmp(bytes.data() + 16, store.data(), store.size()) != 0) return damaged("it belongs to another store");
  if (!is_available(static_cast<SealAlgorithm>(algorithm)))
    return fail(ErrorCode::not_supported_yet, "open pack", path, "this CPU has no AES instructions",
                "read this store on a machine whose CPU has AES instructions");
  Opener opener(static_cast<SealAlgorithm>(algorithm), keys.pack_key(bytes.subspan(32, kSaltBytes)));
  return std::unique_ptr<PackReader>(new PackReader(std::move(object), std::move(opener), std::move(path)));
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

std::vector<std::span<const WantedRecord>> cut_into_runs(std::span<const WantedRecord> records, std::uint64_t max_bytes,
                                                         std::uint64_t max_gap) {
  std::vector<std::span<const WantedRecord>> runs;
  std::size_t first = 0;
  std::uint64_t end = 0;  // of the run so far, in the pack
  for (std::size_t i = 0; i < records.size(); ++i) {
    const RecordPlace& place = records[i].place;
    const std::uint64_t record_end = std::uint64_t{place.offset} + place.sealed_bytes;
    if (i > first && (place.offset > end + max_gap || record_end > records[first].place.offset + max_bytes)) {
      runs.push_back(records.subspan(first, i - first));
      first = i;
      end = 0;
    }
    end = std::max(end, record_end);
  }
  if (first < records.size()) runs.push_back(records.subspan(first));
  return runs;
}

std::unexpected<Error> PackReader::damaged(const ChunkName& name, std::string because) const {
  return fail(ErrorCode::chunk_damaged, "read chunk " + name.hex().substr(0, 16) + " of pack", path_,
              std::move(because));
}

Result<void> PackReader::check_place(const WantedRecord& record) const {
  const RecordPlace& place = record.place;
  if (place.sealed_bytes < kSealTagBytes || place.raw_bytes > kMaxRawBytes ||
      std::uint64_t{place.offset} + place.sealed_bytes > object_->size())
    return damaged(record.name, "the index says an impossible place for it");
  const std::size_t whole = place.raw_bytes + kSealTagBytes;
  bool possible = false;
  switch (place.encoding) {
    case RecordEncoding::plain:
      possible = place.sealed_bytes == whole;
      break;
    case RecordEncoding::zstd:
      possible = place.sealed_bytes <= whole;
      break;
    case RecordEncoding::sections:
      possible = place.sealed_bytes == sealed_in_sections(place.raw_bytes);
      break;
  }
  if (!possible) return damaged(record.name, "its length is not what the index says");
  return {};
}

Result<void> PackReader::open_record(const WantedRecord& record, ByteView sealed, MutableBytes to) const {
  const RecordPlace& place = record.place;
  const auto context = context_of(record.name, place);
  const char* const unauthentic = "its bytes do not authenticate";
  if (place.encoding == RecordEncoding::plain) {
    if (!opener_.open(place.number, sealed, context, to)) return damaged(record.name, unauthentic);
    return {};
  }
  if (place.encoding == RecordEncoding::sections) {
    if (!opener_.open_sections(place.number, 0, sealed, context, to)) return damaged(record.name, unauthentic);
    return {};
  }
  // Each thread keeps one buffer for compressed bytes.
  thread_local BulkBuffer buffer;
  const MutableBytes stored = room_in(buffer, sealed.size() - kSealTagBytes);
  if (!opener_.open(place.number, sealed, context, stored)) return damaged(record.name, unauthentic);
  const std::size_t got = ZSTD_decompress(to.data(), to.size(), stored.data(), stored.size());
  if (ZSTD_isError(got) != 0 || got != to.size()) return damaged(record.name, "it does not decompress");
  return {};
}

Result<void> PackReader::read_alone(const WantedRecord& record, MutableBytes to) const {
  // Each thread keeps one buffer for a record's sealed bytes; runs have another, which may be in use here.
  thread_local BulkBuffer buffer;
  const MutableBytes sealed = room_in(buffer, record.place.sealed_bytes);
  CAIRN_CHECK(object_->read(record.place.offset, sealed));
  return open_record(record, sealed, to);
}

Result<SharedBuffer> PackReader::read_record(const ChunkName& name, const RecordPlace& place) const {
  const WantedRecord record{0, 0, name, place};
  CAIRN_CHECK(check_place(record));
  auto bytes = std::make_shared<ChunkBytes>(place.raw_bytes);
  CAIRN_CHECK(read_alone(record, bytes->room()));
  return SharedBuffer(std::move(bytes));
}

Result<void> PackReader::read_part(const ChunkName& name, const RecordPlace& place, std::uint32_t offset,
                                   MutableBytes to) const {
  if (place.encoding != RecordEncoding::sections) {
    CAIRN_TRY(const SharedBuffer whole, read_record(name, place));
    CAIRN_ASSERT(offset <= whole->size() && to.size() <= whole->size() - offset);
    std::ranges::copy(whole->view().subspan(offset, to.size()), to.begin());
    return {};
  }
  CAIRN_CHECK(check_place({0, 0, name, place}));
  CAIRN_ASSERT(offset <= place.raw_bytes && to.size() <= place.raw_bytes - offset);
  if (to.empty()) return {};
  const std::size_t first = offset / kSectionBytes;
  const std::size_t from = first * kSectionBytes;  // in the record, opened
  const std::size_t end =
      std::min<std::size_t>(place.raw_bytes, (offset + to.size() + kSectionBytes - 1) / kSectionBytes * kSectionBytes);
  // Each thread keeps one buffer for the sealed sections, and one for those of which not all is wanted.
  thread_local BulkBuffer sealed_buffer;
  thread_local BulkBuffer opened_buffer;
  const MutableBytes sealed = room_in(sealed_buffer, sealed_in_sections(end - from));
  CAIRN_CHECK(object_->read(place.offset + first * kSealedSectionBytes, sealed));
  const bool exact = from == offset && end - from == to.size();
  const MutableBytes opened = exact ? to : room_in(opened_buffer, end - from);
  if (!opener_.open_sections(place.number, static_cast<std::uint32_t>(first), sealed, context_of(name, place), opened))
    return damaged(name, "its bytes do not authenticate");
  if (!exact) std::ranges::copy(opened.subspan(offset - from, to.size()), to.begin());
  return {};
}

void PackReader::read_run(std::span<const WantedRecord> run, ChunkReceiver& to) const {
  std::uint64_t from = UINT64_MAX;
  std::uint64_t end = 0;
  for (const WantedRecord& record : run) {
    if (!check_place(record)) continue;
    from = std::min<std::uint64_t>(from, record.place.offset);
    end = std::max(end, std::uint64_t{record.place.offset} + record.place.sealed_bytes);
  }
  // Each thread keeps one buffer for the sealed bytes of runs.
  thread_local BulkBuffer buffer;
  Result<ByteView> sealed = ByteView();
  if (from < end) sealed = object_->read_run(ByteOffset(from), ByteCount(end - from), buffer);
  for (const WantedRecord& record : run) {
    const RecordPlace& place = record.place;
    auto outcome = check_place(record);
    if (outcome) {
      const MutableBytes room = to.room(record.index, place.raw_bytes);
      if (room.size() != place.raw_bytes) continue;
      // A sector that cannot be read must not cost the others of the run: what is good is got one by one.
      outcome = sealed ? open_record(record, sealed->subspan(place.offset - from, place.sealed_bytes), room)
                       : read_alone(record, room);
    }
    if (outcome)
      to.opened(record.index);
    else
      to.failed(record.index, std::move(outcome).error());
  }
}

}  // namespace cairn
