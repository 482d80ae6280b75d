// SPDX-License-Identifier: GPL-3.0-or-later
// StoredChunks: the chunks and map nodes of a store, read from its packs through its index, uncached. What the index
// does not know, or when it cannot be used, is looked for in the packs themselves (unlisted_packs.h). Never waits for
// the writer. Any thread.
#pragma once

#include <chrono>
#include <span>
#include <string>

#include "config/base/guarded.h"
#include "config/base/result.h"
#include "fs/store/index/index.h"
#include "fs/store/open_index.h"
#include "fs/store/pack/chunk_source.h"
#include "fs/store/pack/open_packs.h"
#include "fs/store/unlisted_packs.h"

namespace cairn {

class StoredChunks final : public ChunkSource {
 public:
  // `store` names it in errors. The others must outlive this.
  StoredChunks(OpenIndex& index, OpenPacks& packs, UnlistedPacks& unlisted, std::string store)
      : index_(index), packs_(packs), unlisted_(unlisted), store_(std::move(store)) {}

  // The name is authenticated with the bytes. Errors: as ChunkSource.
  Result<SharedBuffer> fetch(RecordKind kind, const ChunkName& name) override;
  Result<void> fetch_part(const ChunkName& name, std::uint32_t chunk_bytes, std::uint32_t offset,
                          MutableBytes to) override;
  // Sealed bytes that lie near each other in a pack are read together, up to 4 MiB at a time, past the page cache.
  void fetch_all(RecordKind kind, std::span<const ChunkName> names, const Deliver& deliver) override;
  // The same, straight into the receiver's memory. Errors: as fetch().
  void fetch_into(RecordKind kind, std::span<const ChunkName> names, ChunkReceiver& to);
  // Closes packs that are kept open and were removed meanwhile, so that their space comes back. Cheap: for whoever
  // keeps a store open for long, now and then.
  void let_go_of_removed_packs() { packs_.drop_removed(); }

 private:
  // The record's place and its pack, open. A pack that garbage collection removes between the two is looked for again:
  // what is needed of it is elsewhere by then. Errors: as locate() and PackReader::open.
  struct OpenRecord {
    OpenPacks::SharedPack pack;
    RecordPlace place;
  };
  Result<OpenRecord> open_record(RecordKind kind, const ChunkName& name);
  // Where the record lies. Errors: chunk_missing, map_damaged (another kind), as Index::open and
  // UnlistedPacks::locate.
  Result<Index::Located> locate(RecordKind kind, const ChunkName& name);
  Result<std::optional<Index::Located>> locate_listed(const ChunkName& name);

  bool index_lost_it(const ChunkName& name);

  OpenIndex& index_;
  OpenPacks& packs_;
  UnlistedPacks& unlisted_;
  const std::string store_;
  Guarded<std::chrono::steady_clock::time_point> next_check_;  // of the index, when it misses a name
};

}  // namespace cairn
