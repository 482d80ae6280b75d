// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/stored_chunks.h"

#include <algorithm>
#include <vector>

namespace cairn {

Result<std::optional<Index::Located>> StoredChunks::locate_listed(const ChunkName& name) {
  CAIRN_TRY(auto open_index, index_.get());
  CAIRN_TRY(auto entry, open_index->locate(name));
  if (!entry && open_index->replaced()) {
    index_.forget();
    CAIRN_TRY(open_index, index_.get());
    CAIRN_TRY(entry, open_index->locate(name));
  }
  return entry;
}

// Whether a name that the index does not find may be in its packs all the same.
bool StoredChunks::index_lost_it(const ChunkName& name) {
  // A store that lost a pack is asked for many such names, while others write: a twentieth of the time goes to this.
  const auto next = next_check_.lock();  // held meanwhile: others would find the same
  const auto start = std::chrono::steady_clock::now();
  if (start < *next) return false;
  const auto index = index_.get();
  if (!index) return false;  // it was not asked
  const auto checked = (*index)->check_absent({&name, 1});
  const auto end = std::chrono::steady_clock::now();
  *next = end + 20 * (end - start);
  return !checked && checked.error().code == ErrorCode::index_damaged;
}

Result<Index::Located> StoredChunks::locate(RecordKind kind, const ChunkName& name) {
  CAIRN_ASSERT(!name.is_zero());
  auto entry = locate_listed(name);
  if (!entry || !*entry) {
    auto unlisted = unlisted_.locate(name);
    if (!unlisted) return pass_on(std::move(unlisted).error());
    entry = std::move(unlisted);
  }
  if (!*entry && index_lost_it(name)) {
    CAIRN_TRY(*entry, unlisted_.locate(name));
  }
  if (!*entry)
    return fail(ErrorCode::chunk_missing, "find chunk", name.hex().substr(0, 16) + " in store " + store_,
                "no pack that is there has it");
  if ((*entry)->place.kind != kind)
    return fail(ErrorCode::map_damaged, "read chunk", name.hex().substr(0, 16),
                "it is of another kind than its place in the map says");
  return **std::move(entry);
}

Result<StoredChunks::OpenRecord> StoredChunks::open_record(RecordKind kind, const ChunkName& name) {
  std::string last_pack;
  for (;;) {
    CAIRN_TRY(auto entry, locate(kind, name));
    auto pack = packs_.open(entry.pack_name);
    if (pack) return OpenRecord{*std::move(pack), entry.place};
    if (pack.error().code != ErrorCode::object_missing) return pass_on(std::move(pack).error());
    if (entry.pack_name != last_pack) {
      last_pack = entry.pack_name;
      continue;
    }
    // An index of before a collection: what was needed of the pack is in one that it does not know.
    const auto moved = unlisted_.locate_anew(name);
    if (!moved && moved.error().code == ErrorCode::cancelled) return pass_on(moved.error());
    if (!moved || !*moved || (*moved)->pack_name == last_pack || (*moved)->place.kind != kind)
      return pass_on(std::move(pack).error());
    CAIRN_TRY(auto other, packs_.open((*moved)->pack_name));
    return OpenRecord{std::move(other), (*moved)->place};
  }
}

Result<SharedBuffer> StoredChunks::fetch(RecordKind kind, const ChunkName& name) {
  CAIRN_TRY(const auto record, open_record(kind, name));
  return record.pack->read_record(name, record.place);
}

Result<void> StoredChunks::fetch_part(const ChunkName& name, std::uint32_t chunk_bytes, std::uint32_t offset,
                                      MutableBytes to) {
  CAIRN_TRY(const auto record, open_record(RecordKind::chunk, name));
  CAIRN_CHECK(check_chunk_length(record.place.raw_bytes, name, chunk_bytes));
  return record.pack->read_part(name, record.place, offset, to);
}

void StoredChunks::fetch_into(RecordKind kind, std::span<const ChunkName> names, ChunkReceiver& to) {
  struct OpenPack {
    std::string name;
    Result<OpenPacks::SharedPack> pack;
  };
  std::vector<OpenPack> packs;  // in the order in which they are needed first
  std::vector<WantedRecord> wanted;
  wanted.reserve(names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    auto entry = locate(kind, names[i]);
    if (!entry) {
      to.failed(i, std::move(entry).error());
      continue;
    }
    auto pack = std::ranges::find(packs, entry->pack_name, &OpenPack::name);
    if (pack == packs.end()) pack = packs.insert(pack, {entry->pack_name, packs_.open(entry->pack_name)});
    wanted.push_back({i, static_cast<std::size_t>(pack - packs.begin()), names[i], entry->place});
  }
  std::ranges::sort(wanted, {}, [](const WantedRecord& record) { return std::pair(record.pack, record.place.offset); });
  for (std::span<const WantedRecord> rest = wanted; !rest.empty();) {
    const std::size_t number = rest.front().pack;
    const auto end = std::ranges::find_if(rest, [&](const WantedRecord& record) { return record.pack != number; });
    const auto of_pack = rest.first(static_cast<std::size_t>(end - rest.begin()));
    rest = rest.subspan(of_pack.size());
    const auto& pack = packs[number].pack;
    if (pack) {
      for (const auto run : cut_into_runs(of_pack)) (*pack)->read_run(run, to);
      continue;
    }
    // Perhaps it was removed since it was looked up, and what is needed of it has moved.
    for (const WantedRecord& record : of_pack) {
      auto moved = open_record(kind, record.name);
      if (!moved) {
        to.failed(record.index, std::move(moved).error());
        continue;
      }
      const WantedRecord found{record.index, 0, record.name, moved->place};
      moved->pack->read_run({&found, 1}, to);
    }
  }
}

void StoredChunks::fetch_all(RecordKind kind, std::span<const ChunkName> names, const Deliver& deliver) {
  class Receiver : public ChunkReceiver {
   public:
    explicit Receiver(const Deliver& deliver) : deliver_(deliver) {}
    MutableBytes room(std::size_t, std::size_t bytes) override {
      opening_ = std::make_shared<ChunkBytes>(bytes);
      return opening_->room();
    }
    void opened(std::size_t index) override { deliver_(index, SharedBuffer(std::move(opening_))); }
    void failed(std::size_t index, Error error) override { deliver_(index, pass_on(std::move(error))); }

   private:
    const Deliver& deliver_;
    std::shared_ptr<ChunkBytes> opening_;
  };
  Receiver receiver(deliver);
  fetch_into(kind, names, receiver);
}

}  // namespace cairn
