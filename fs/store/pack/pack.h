// SPDX-License-Identifier: GPL-3.0-or-later
// Packs: sealed records as they lie in the store. Bytes: fs/store/FORMAT.md "Pack".
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "crypto/chunk_name.h"
#include "crypto/key_ring.h"
#include "crypto/sealer.h"
#include "fs/io/backend.h"
#include "fs/store/pack/chunk_source.h"

namespace cairn {

using StoreId = std::array<std::uint8_t, 16>;

// On disk: never renumber.
// `sections`: the bytes themselves, sealed in sections (crypto/sealer.h): chunks that do not compress.
enum class RecordEncoding : std::uint8_t { plain = 0, zstd = 1, sections = 2 };
inline constexpr std::uint8_t kLastEncoding = 2;

inline constexpr std::size_t kPackHeaderBytes = 64;
inline constexpr std::size_t kPackTrailerBytes = 32;
inline constexpr std::size_t kFooterEntryBytes = 48;
inline constexpr std::uint64_t kMaxPackBytes = 256ULL * 1024 * 1024;
inline constexpr std::uint32_t kMaxRawBytes = 4 * 1024 * 1024;  // the largest chunk; nodes are smaller

// Where one record lies and how to open it.
struct RecordPlace {
  std::uint32_t number = 0;        // in its pack, from 0
  std::uint32_t offset = 0;        // bytes from the pack's start
  std::uint32_t sealed_bytes = 0;  // with the tag
  std::uint32_t raw_bytes = 0;     // opened and decompressed
  RecordKind kind = RecordKind::chunk;
  RecordEncoding encoding = RecordEncoding::plain;
};

struct PackRecord {
  ChunkName name;
  RecordPlace place;
};

struct FinishedPack {
  std::string name;  // 64 hex digits: BLAKE3 of `bytes`
  BulkBuffer bytes;
  std::vector<PackRecord> records;
  [[nodiscard]] std::string object() const;  // "packs/ab/<name>"
};

std::string pack_object(std::string_view pack_name);
// The name of the pack that this object is; nothing: it is none.
std::optional<std::string> pack_name_of(const std::string& object);
// The names of the packs among `objects`; files that are no packs are passed over.
std::vector<std::string> pack_names_of(const std::vector<std::string>& objects);

// Writes into `pack` what its header and trailer must be, but for the salt and the algorithm, which only the file
// knows: for packs in which these were damaged. `records`: how many it has; 0: not known, the trailer stays. Returns
// the algorithm that stands there, or the best one when that is none.
SealAlgorithm write_pack_frame(MutableBytes pack, const StoreId& store, std::uint32_t records);

// Builds one pack in memory. One thread at a time.
class PackBuilder {
 public:
  // `room`: a buffer to build in, so that its memory is used again; its bytes are dropped.
  PackBuilder(const KeyRing& keys, SealAlgorithm algorithm, const StoreId& store, BulkBuffer room = {});
  // Seals `stored` (already encoded; `raw_bytes` when decoded) as the next record.
  void add(const ChunkName& name, RecordKind kind, RecordEncoding encoding, std::uint32_t raw_bytes, ByteView stored);
  [[nodiscard]] std::size_t size() const { return bytes_.size(); }
  [[nodiscard]] bool empty() const { return records_.empty(); }
  // Adds footer and trailer. The builder is spent.
  FinishedPack finish();

 private:
  BulkBuffer bytes_;
  std::vector<PackRecord> records_;
  Sealer sealer_;
};

// A record that is to be opened, and what the caller knows it by.
struct WantedRecord {
  std::size_t index = 0;  // as ChunkReceiver gets it
  std::size_t pack = 0;   // the caller's number for its pack
  ChunkName name;
  RecordPlace place;
};

inline constexpr std::uint64_t kMaxRunBytes = 4ULL * 1024 * 1024;  // of sealed bytes in one request
inline constexpr std::uint64_t kMaxRunGap = 128ULL * 1024;         // read and dropped rather than asked around

// Cuts records of one pack, sorted by offset, into runs that are worth one request each: neighbours with at most
// `max_gap` bytes between them, up to `max_bytes` together (more only where a single record is larger).
std::vector<std::span<const WantedRecord>> cut_into_runs(std::span<const WantedRecord> records,
                                                         std::uint64_t max_bytes = kMaxRunBytes,
                                                         std::uint64_t max_gap = kMaxRunGap);

// Reads one pack. Any thread.
class PackReader {
 public:
  // Reads the header. Errors: object_missing, pack_damaged, io_error.
  static Result<std::unique_ptr<PackReader>> open(Backend& backend, const std::string& pack_name, const KeyRing& keys,
                                                  const StoreId& store);
  // The same of an object that is open already; `path` names it in errors.
  static Result<std::unique_ptr<PackReader>> open(std::unique_ptr<ObjectReader> object, std::string path,
                                                  const KeyRing& keys, const StoreId& store);
  // The records as the footer lists them. Errors: pack_damaged, io_error.
  Result<std::vector<PackRecord>> read_footer() const;
  // Opens and decodes one record: `place.raw_bytes` bytes.
  // Errors: chunk_damaged  altered, moved from another place, or not of this name
  //         io_error, object_missing
  Result<SharedBuffer> read_record(const ChunkName& name, const RecordPlace& place) const;
  // to.size() bytes from `offset` of the decoded record; they must lie in it. Of a record in sections only those are
  // read and opened that are needed. Errors: as read_record().
  Result<void> read_part(const ChunkName& name, const RecordPlace& place, std::uint32_t offset, MutableBytes to) const;
  // Opens the records of one run, as cut_into_runs() gives it, from one request, past the page cache. A record that is
  // damaged, or in the way of which something else stands, fails alone. Errors to `to`: as read_record().
  void read_run(std::span<const WantedRecord> run, ChunkReceiver& to) const;
  [[nodiscard]] std::uint64_t size() const { return object_->size(); }
  [[nodiscard]] bool is_removed() const { return object_->is_removed(); }

 private:
  PackReader(std::unique_ptr<ObjectReader> object, Opener opener, std::string path)
      : object_(std::move(object)), opener_(std::move(opener)), path_(std::move(path)) {}
  [[nodiscard]] std::unexpected<Error> damaged(const ChunkName& name, std::string because) const;
  [[nodiscard]] Result<void> check_place(const WantedRecord& record) const;
  // `to` is as long as the record when decoded.
  Result<void> open_record(const WantedRecord& record, ByteView sealed, MutableBytes to) const;
  Result<void> read_alone(const WantedRecord& record, MutableBytes to) const;
  std::unique_ptr<ObjectReader> object_;
  Opener opener_;
  std::string path_;  // for messages
};

}  // namespace cairn
