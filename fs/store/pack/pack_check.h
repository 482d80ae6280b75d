// SPDX-License-Identifier: GPL-3.0-or-later
// Pack check: is a pack file, byte for byte, what was written? It is read once, in one large request past the page
// cache, and hashed: that needs no key. With keys its footer and every record are opened too, and each record's name is
// made again from its bytes: a check doubts the writer as well. Any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/result.h"
#include "fs/file/rate_limit.h"
#include "fs/io/backend.h"
#include "fs/store/pack/pack.h"

namespace cairn {

enum class PackState {
  whole,
  damaged,     // its bytes are not those that were written; reading again does not help
  missing,     // there is no such file
  unreadable,  // it cannot be read for the moment (EIO, EMFILE): nothing is known about its bytes
};
std::string_view to_string(PackState state);  // "whole", "damaged", "missing", "unreadable"
std::optional<PackState> parse_pack_state(std::string_view text);

// What is needed to look inside.
struct PackKeys {
  const KeyRing& keys;
  const StoreId& store;
};

struct PackVerdict {
  PackState state = PackState::whole;
  std::uint64_t bytes = 0;  // read
  std::string because;      // what is wrong; empty when whole
  // With keys. A reader gets a record when the header is good and the record is.
  bool header_good = false;
  bool footer_good = false;         // as it stands in the file
  std::vector<PackRecord> records;  // as the footer lists them, also when only header or trailer had to be guessed
  std::vector<bool> good;           // for each record: its bytes authenticate and are what its name says
  [[nodiscard]] std::size_t bad_records() const;
};

// `pack_name` may be any text: a file whose name is no pack's is damaged. `keys`: null: the name alone is checked.
// `records`: how many records the index says the pack has, to find them behind a damaged trailer; 0: not known.
// `buffer` is used again from pack to pack: as large as the largest pack, 21 MiB as packs are written (below 256 MiB in
// any case); without keys 4 MiB. What was read stays in it, when there are keys: `verdict.bytes` bytes.
PackVerdict check_pack(Backend& backend, const std::string& pack_name, const PackKeys* keys, std::uint32_t records,
                       BulkBuffer& buffer);

// Opens records of a pack that lies in memory; where header or trailer are damaged it goes by what they must have been.
// `bytes` is changed to that. Nothing: not even that helps.
class PackSalvage {
 public:
  static std::optional<PackSalvage> open(MutableBytes bytes, const PackKeys& keys, std::uint32_t records);
  // As the footer lists them; empty when it does not authenticate.
  [[nodiscard]] const std::vector<PackRecord>& records() const { return records_; }
  // The record's bytes, authenticated, decoded and of its name; nothing: it is damaged.
  [[nodiscard]] std::optional<SharedBuffer> read(const PackRecord& record) const;

 private:
  explicit PackSalvage(const ChunkNamer& namer) : namer_(&namer) {}
  std::vector<std::unique_ptr<PackReader>> readers_;  // one for each algorithm that it may have been
  const ChunkNamer* namer_;
  std::vector<PackRecord> records_;
};

struct PackToCheck {
  std::string name;
  std::uint32_t records = 0;  // 0: not known
  std::size_t index = 0;      // the caller's
};

struct PackCheckOptions {
  unsigned threads = 0;            // 0: as many as cores, at most 4. Memory: a buffer each
  const PackKeys* keys = nullptr;  // null: keyless
  RateLimit* rate = nullptr;       // null: as fast as it goes
  std::stop_token stop;
};
// Checks packs on several threads, in about the order given. `done` is called for each, from one thread at a time; what
// it returns ends the work. Errors: cancelled, those of `done`.
Result<void> check_packs(Backend& backend, std::span<const PackToCheck> packs, const PackCheckOptions& options,
                         const std::function<Result<void>(const PackToCheck&, PackVerdict)>& done);

}  // namespace cairn
