// SPDX-License-Identifier: GPL-3.0-or-later
// Store: an opened store: its points, its disks, and (through begin_writing) its one writer. Bytes and lock order:
// fs/store/FORMAT.md. Reading never takes the writer lock and never waits for the writer. Any thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "config/base/clock.h"
#include "config/base/result.h"
#include "crypto/escrow.h"
#include "crypto/key_slots.h"
#include "crypto/sealer.h"
#include "fs/io/backend.h"
#include "fs/store/map/disk_reader.h"
#include "fs/store/point/point_marks.h"
#include "fs/store/point/recovery_point.h"
#include "fs/store/point/trusted_clock.h"

namespace cairn {

class Index;
class StoreWriter;
struct WriterCore;

inline constexpr std::uint32_t kMinChunkSize = 64 * 1024;
inline constexpr std::uint32_t kMaxChunkSize = 4 * 1024 * 1024;
inline constexpr std::uint32_t kDefaultChunkSize = 64 * 1024;

struct StoreParameters {
  std::uint32_t chunk_size = kDefaultChunkSize;  // bytes; a power of two from kMinChunkSize to kMaxChunkSize
  SealAlgorithm algorithm = best_seal_algorithm();
};

// What is known about a store without counting anything.
struct StoreInfo {
  std::string id;  // 32 hex digits
  std::uint32_t format = 1;
  std::uint32_t chunk_size = 0;
  SealAlgorithm algorithm{};
  UtcTime created;
};

struct StoreUsage {
  std::uint64_t packs = 0;
  std::uint64_t stored_bytes = 0;  // in pack files
  std::uint64_t chunks = 0;        // distinct chunks and nodes in the index
  std::uint64_t points = 0;
  std::uint64_t logical_bytes = 0;  // sum of all disks of all points
};

struct RebuildReport {
  std::uint64_t packs = 0;
  std::uint64_t records = 0;
  std::vector<std::string> damaged_packs;
};

class Store : public ChunkSource {
 public:
  // Makes the store in the empty or new directory `path`, with a slot for each key. Nothing half-made stays on failure.
  // Errors: store_exists, target_missing (the parent), permission_denied, used_wrongly (chunk size, no key).
  static Result<void> create(const std::filesystem::path& path, const StoreParameters& parameters,
                             std::span<const NewKeySlot> slots);

  // Errors: store_missing, not_a_store, store_too_new, store_damaged, wrong_key.
  static Result<std::unique_ptr<Store>> open(const std::filesystem::path& path, const UnlockKey& key);
  // The same with another backend for packs, points and store.json; lock and index stay in the directory `path`.
  static Result<std::unique_ptr<Store>> open(const std::filesystem::path& path, std::shared_ptr<Backend> backend,
                                             const UnlockKey& key);

  ~Store() override;

  [[nodiscard]] const StoreInfo& info() const;
  [[nodiscard]] const std::filesystem::path& path() const;
  // What is wrong with store.json, when its copy had to be used to open the store.
  [[nodiscard]] const std::optional<Error>& document_trouble() const;
  // Counts by listing packs and points and asking the index.
  Result<StoreUsage> usage();

  [[nodiscard]] Result<std::vector<KeySlotFactsRow>> key_slots();
  // Errors: key_slot_exists (label), store_locked.
  Result<void> add_key_slot(const NewKeySlot& slot);
  // Errors: no_such_key_slot, last_key_slot, store_locked.
  Result<void> remove_key_slot(std::string_view id_or_label);

  // Whoever may open what is in escrow in the points: the master key's own pair first, then the recovery keys.
  [[nodiscard]] std::vector<EscrowOwner> escrow_owners();
  // The master key's own pair.
  [[nodiscard]] const EscrowKeys& escrow_keys() const;
  // Hex; see KeyRing::fingerprint.
  [[nodiscard]] std::string fingerprint(const SecretBytes& volume_key) const;

  // Names of all committed points that are not deleted, sorted. Reads names only; objects with other names are passed
  // over.
  Result<std::vector<PointName>> list_points();
  // Deleted ones as well: everything that is in points/.
  Result<std::vector<PointName>> list_stored_points();
  // Points that are deleted and can still be brought back, sorted by name.
  Result<std::vector<PointName>> list_deleted_points();
  // Errors: point_not_deleted; store_damaged when its document is not readable.
  Result<Deletion> deletion_of(const PointName& name);
  // Nothing: it is not protected. Errors: store_damaged.
  Result<std::optional<Protection>> protection_of(const PointName& name);
  // Points with a protection, be it over already; sorted.
  Result<std::vector<PointName>> list_protected_points();
  // Errors: store_damaged.
  Result<std::vector<Tombstone>> tombstones();
  // Keeps the point, and with it every byte of its disks, from being removed as long as the hold lives, in this and
  // every other process of the host. Errors: point_missing.
  Result<std::unique_ptr<ObjectHold>> hold_point(const PointName& name);
  // Changes when points came or went; nothing: cannot tell, list again.
  Result<std::optional<std::uint64_t>> points_token();
  // Closes packs that are kept open and were removed meanwhile, so that their space comes back. Cheap: for whoever
  // keeps a store open for long, now and then.
  void let_go_of_removed_packs();
  // What was kept of the clock; nothing: no prune has looked at it yet. Errors: store_damaged.
  Result<std::optional<ClockRecord>> clock_record();
  // judge_clock() with the record and the newest point of this store. Errors: clock_jumped (also when the record cannot
  // be read and `accept` is false), io_error.
  Result<ClockVerdict> check_clock(const ClockReading& reading, bool accept);
  // Whether packs wait for a garbage collection that could not remove them yet. Errors: those of the index.
  Result<bool> garbage_waiting();
  // Errors: point_missing, point_damaged.
  Result<RecoveryPoint> load_point(const PointName& name);
  // BLAKE3, hex, of the point as stored: what the next point's `previous` will say. Errors: point_missing, io_error.
  Result<std::string> point_hash(const PointName& name);
  // `text`: MACHINE@POINT with POINT a full stamp, a unique prefix of one, or "latest".
  // Errors: used_wrongly, no_such_machine, no_such_point (both with the nearest), ambiguous_point, point_deleted.
  Result<PointName> find_point(std::string_view text);
  // The same among the deleted ones. Errors: used_wrongly, point_not_deleted, ambiguous_point.
  Result<PointName> find_deleted_point(std::string_view text);

  // From the packs, uncached. The name is authenticated with the bytes. Errors: as ChunkSource.
  Result<SharedBuffer> fetch(RecordKind kind, const ChunkName& name) override;
  Result<void> fetch_part(const ChunkName& name, std::uint32_t chunk_bytes, std::uint32_t offset,
                          MutableBytes to) override;
  // Sealed bytes that lie near each other in a pack are read together, up to 4 MiB at a time, past the page cache.
  void fetch_all(RecordKind kind, std::span<const ChunkName> names, const Deliver& deliver) override;
  // The same, straight into the receiver's memory. Errors: as fetch().
  void fetch_into(RecordKind kind, std::span<const ChunkName> names, ChunkReceiver& to);
  // Reads a disk through `source` (a cache in front of this store) or directly.
  std::unique_ptr<DiskReader> open_disk(const MapRecord& map, std::string object, ChunkSource* source = nullptr);

  // A small sealed document of the store's own, for figures that are costly to find. Nothing: there is none, or it is
  // damaged. Errors: io_error; write_record: no_space too.
  Result<std::optional<Buffer>> read_record(const std::string& object);
  Result<void> write_record(const std::string& object, std::string_view text);
  // What the packs' footers say, as it stands. Errors: index_missing, index_damaged.
  Result<std::shared_ptr<Index>> index();
  // Takes the writer lock (or shares it with another writer of this very Store object), removes what an interrupted
  // writer left in tmp/, and makes the index fit the packs that are there. The store must outlive the writer. `purpose`
  // is shown to whoever is locked out: "backup". Errors: store_locked (says by whom), index_damaged, io_error.
  Result<std::shared_ptr<StoreWriter>> begin_writing(const std::string& purpose);
  // Takes the writer lock; replaces the index by what the packs' footers say. Damaged packs are named and left alone.
  Result<RebuildReport> rebuild_index();
  // For a store whose own index is gone, or that cannot be written, such as one on read-only media: makes an index in
  // the new directory `folder`, and reads through that from now on. This Store object cannot write then.
  Result<RebuildReport> use_private_index(const std::filesystem::path& folder);

 private:
  // An index of what the packs' footers say, less what is known to be damaged.
  Result<RebuildReport> build_index(const std::filesystem::path& folder);
  struct State;
  explicit Store(std::unique_ptr<State> state);
  friend class StoreWriter;
  friend struct WriterCore;
  friend struct StoreAccess;  // fs/store/store_state.h
  std::unique_ptr<State> state_;
};

}  // namespace cairn
