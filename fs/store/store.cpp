// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/store.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>

#include "config/base/log.h"
#include "config/base/units.h"
#include "fs/file/folder.h"
#include "fs/io/open_backend.h"
#include "fs/store/document_pair.h"
#include "fs/store/point/point_file.h"
#include "fs/store/point/sealed_document.h"
#include "fs/store/store_state.h"
#include "fs/store/writer_lock.h"

namespace cairn {
namespace {

constexpr std::uint64_t kMaxRecordBytes = 1024 * 1024;  // of a small document

// What an init makes before the store.json that makes it a store.
constexpr std::array kFoldersOfInit = {"packs", "points", "tmp", "index"};

bool holds_files(const std::filesystem::path& folder) {
  std::error_code problem;
  std::filesystem::recursive_directory_iterator entry(folder, problem);
  for (; !problem && entry != std::filesystem::recursive_directory_iterator(); entry.increment(problem))
    if (!entry->is_directory(problem)) return true;
  return static_cast<bool>(problem);
}

// An existing directory may be used when nothing is in it but what mkfs, the lock and an interrupted init make.
Result<void> check_empty(const std::filesystem::path& path) {
  std::error_code problem;
  std::filesystem::directory_iterator entry(path, problem);
  for (; !problem && entry != std::filesystem::directory_iterator(); entry.increment(problem)) {
    const std::string name = entry->path().filename();
    if (name == kStoreDocument) return fail(ErrorCode::store_exists, "make store", path.string());
    if (name == "lost+found" || name == "lock" || name == "tmp" || name == "index") continue;
    if ((name != "packs" && name != "points") || holds_files(entry->path()))
      return fail(ErrorCode::store_exists, "make store", path.string(), "the directory is not empty: it holds " + name);
  }
  if (problem) return fail_errno(problem.value(), "make store", path.string());
  return {};
}

Result<void> prepare_directory(const std::filesystem::path& path) {
  if (::mkdir(path.c_str(), 0700) != 0) {
    if (errno == ENOENT)
      return fail(ErrorCode::target_missing, "make store", path.string(), "its parent directory is not there");
    if (errno != EEXIST) return fail_errno(errno, "make store", path.string());
    CAIRN_CHECK(check_empty(path));
  }
  // Durable, whoever made it. A parent that we may not read cannot be synced.
  auto synced = sync_folder(std::filesystem::weakly_canonical(path).parent_path());
  if (!synced && synced.error().code == ErrorCode::permission_denied) return {};
  return synced;
}

struct RemoveAtEnd {
  std::filesystem::path path;
  ~RemoveAtEnd() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
};

}  // namespace

Result<PackCache::SharedPack> PackCache::open(const std::string& pack_name) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = by_name_.find(pack_name); found != by_name_.end()) {
      recent_.splice(recent_.begin(), recent_, found->second);
      return found->second->second;
    }
  }
  CAIRN_TRY(auto opened, PackReader::open(backend_, pack_name, keys_, store_));
  SharedPack pack = std::move(opened);
  const std::lock_guard lock(mutex_);
  if (by_name_.contains(pack_name)) return pack;
  recent_.emplace_front(pack_name, pack);
  by_name_[pack_name] = recent_.begin();
  if (recent_.size() > kOpenPacks) {
    by_name_.erase(recent_.back().first);
    recent_.pop_back();
  }
  return pack;
}

void PackCache::drop(const std::string& pack_name) {
  const std::lock_guard lock(mutex_);
  const auto found = by_name_.find(pack_name);
  if (found == by_name_.end()) return;
  recent_.erase(found->second);
  by_name_.erase(found);
}

void PackCache::drop_removed() {
  const std::lock_guard lock(mutex_);
  for (auto pack = recent_.begin(); pack != recent_.end();) {
    if (pack->second->is_removed()) {
      by_name_.erase(pack->first);
      pack = recent_.erase(pack);
    } else {
      ++pack;
    }
  }
}

void PackCache::clear() {
  const std::lock_guard lock(mutex_);
  by_name_.clear();
  recent_.clear();
}

Result<std::shared_ptr<Index>> Store::State::index() {
  const std::lock_guard lock(index_mutex);
  if (index_) return index_;
  CAIRN_TRY(index_, Index::open(index_folder(), document.id));
  return index_;
}

Result<std::optional<Buffer>> Store::read_record(const std::string& object) {
  auto text = get_document(*state_->backend, object, kMaxRecordBytes, state_->seal());
  if (text) return text;
  switch (text.error().code) {
    case ErrorCode::store_damaged:
    case ErrorCode::store_too_new:
    case ErrorCode::not_supported_yet:
      return std::optional<Buffer>();
    default:
      return text;
  }
}

Result<void> Store::write_record(const std::string& object, std::string_view text) {
  return put_document(*state_->backend, object, text, state_->seal());
}

Result<std::shared_ptr<Index>> Store::index() {
  return state_->index();
}

void Store::State::forget_index() {
  const std::lock_guard lock(index_mutex);
  index_.reset();
}

Result<void> Store::State::reload_document() {
  CAIRN_TRY(StoreDocument now, reload_store_document(*backend, directory, keys));
  document.slots = std::move(now.slots);
  return {};
}

Store::Store(std::unique_ptr<State> state) : state_(std::move(state)) {
  state_->self = this;
}
Store::~Store() = default;

Result<void> Store::create(const std::filesystem::path& path, const StoreParameters& parameters,
                           std::span<const NewKeySlot> slots) {
  if (!std::has_single_bit(parameters.chunk_size) || parameters.chunk_size < kMinChunkSize ||
      parameters.chunk_size > kMaxChunkSize)
    return fail(ErrorCode::used_wrongly, "make store", path.string(),
                "a chunk size of " + format_size(parameters.chunk_size) + " is not possible",
                "use a power of two from 64KiB to 4MiB");
  if (slots.empty()) return fail(ErrorCode::used_wrongly, "make store", path.string(), "no key was given");
  const SecretBytes master_key = SecretBytes::random(kMasterKeyBytes);
  StoreDocument document;
  randombytes_buf(document.id.data(), document.id.size());
  document.created = system_clock().now();
  document.chunk_size = parameters.chunk_size;
  document.algorithm = parameters.algorithm;
  for (const NewKeySlot& slot : slots) {
    CAIRN_TRY(KeySlot made, make_key_slot(master_key, slot, document.created));
    document.slots.push_back(std::move(made));
  }

  CAIRN_CHECK(prepare_directory(path));
  CAIRN_TRY(const WriterLock lock, WriterLock::take(path, "store init"));
  CAIRN_CHECK(check_empty(path));  // again: another init may have been quicker
  const auto backend = open_backend(path);
  const auto make_everything = [&]() -> Result<void> {
    for (const char* folder : kFoldersOfInit) {  // of an interrupted init
      std::error_code problem;
      std::filesystem::remove_all(path / folder, problem);
      if (problem) return fail_errno(problem.value(), "empty folder", (path / folder).string());
    }
    for (const char* folder : {"packs", "points", "tmp"}) {
      const std::filesystem::path made = path / folder;
      if (::mkdir(made.c_str(), 0700) != 0 && errno != EEXIST) return fail_errno(errno, "make folder", made.string());
    }
    CAIRN_CHECK(Index::create(path / "index", document.id));
    // From here on it is a store. A copy that is missing is made by the first writer.
    const std::string text = write_store_document(document, KeyRing(master_key));
    CAIRN_CHECK(backend->put(kStoreDocument, as_bytes(text), IfExists::fail));
    static_cast<void>(backend->put(kStoreDocumentCopy, as_bytes(text), IfExists::replace).has_value());
    return {};
  };
  auto made = make_everything();
  if (!made && made.error().code == ErrorCode::object_exists)
    return fail(ErrorCode::store_exists, "make store", path.string());
  if (!made) {
    std::error_code ignored;  // nothing half-made stays; the error that counts is the one we have
    for (const char* name : kFoldersOfInit) std::filesystem::remove_all(path / name, ignored);
    std::filesystem::remove(path / "lock", ignored);
    return pass_on(std::move(made).error());
  }
  return {};
}

Result<std::unique_ptr<Store>> Store::open(const std::filesystem::path& path, const UnlockKey& key) {
  return open(path, open_backend(path), key);
}

Result<std::unique_ptr<Store>> Store::open(const std::filesystem::path& path, std::shared_ptr<Backend> backend,
                                           const UnlockKey& key) {
  CAIRN_TRY(OpenedDocument opened, open_store_document(*backend, path, key));
  auto state =
      std::make_unique<State>(std::move(backend), path, std::move(opened.document), std::move(opened.master_key));
  state->document_trouble = std::move(opened.trouble);
  return std::unique_ptr<Store>(new Store(std::move(state)));
}

const StoreInfo& Store::info() const {
  return state_->info;
}
const std::optional<Error>& Store::document_trouble() const {
  return state_->document_trouble;
}
const std::filesystem::path& Store::path() const {
  return state_->directory;
}

Result<StoreUsage> Store::usage() {
  StoreUsage usage;
  CAIRN_TRY(const auto objects, state_->backend->list("packs/"));
  const std::vector<std::string> packs = pack_names_of(objects);
  usage.packs = packs.size();
  for (const std::string& pack : packs) {
    const auto object = state_->backend->open(pack_object(pack));
    if (object) usage.stored_bytes += (*object)->size();
  }
  CAIRN_TRY(const auto index, state_->index());
  CAIRN_TRY(usage.chunks, index->record_count());
  CAIRN_TRY(const auto points, list_points());
  usage.points = points.size();
  for (const PointName& name : points) {
    const auto point = load_point(name);
    if (!point) continue;  // a damaged one shows in `points`
    for (const DiskRecord& disk : point->disks) usage.logical_bytes += disk.map.size;
  }
  return usage;
}

Result<std::vector<KeySlotFactsRow>> Store::key_slots() {
  const std::lock_guard lock(state_->document_mutex);
  CAIRN_CHECK(state_->reload_document());
  std::vector<KeySlotFactsRow> rows;
  for (const KeySlot& slot : state_->document.slots) rows.push_back(slot.facts);
  return rows;
}

Result<void> Store::add_key_slot(const NewKeySlot& slot) {
  const std::lock_guard lock(state_->document_mutex);
  CAIRN_TRY(const WriterLock writer_lock, WriterLock::take(state_->directory, "store keys add"));
  CAIRN_CHECK(state_->reload_document());
  for (const KeySlot& other : state_->document.slots)
    if (other.facts.label == slot.label)
      return fail(ErrorCode::key_slot_exists, "add key slot", slot.label, "slot " + other.facts.id + " has that label");
  CAIRN_TRY(KeySlot made, make_key_slot(state_->master_key, slot, system_clock().now()));
  StoreDocument changed = state_->document;
  changed.slots.push_back(std::move(made));
  CAIRN_CHECK(write_store_documents(*state_->backend, changed, state_->keys, DocumentChange::adds));
  state_->document.slots = std::move(changed.slots);
  return {};
}

Result<void> Store::remove_key_slot(std::string_view id_or_label) {
  const std::lock_guard lock(state_->document_mutex);
  CAIRN_TRY(const WriterLock writer_lock, WriterLock::take(state_->directory, "store keys remove"));
  CAIRN_CHECK(state_->reload_document());
  StoreDocument changed = state_->document;
  const auto is_meant = [&](const KeySlot& slot) {
    return slot.facts.id == id_or_label || slot.facts.label == id_or_label;
  };
  const auto meant = std::find_if(changed.slots.begin(), changed.slots.end(), is_meant);
  if (meant == changed.slots.end())
    return fail(ErrorCode::no_such_key_slot, "remove key slot", std::string(id_or_label));
  changed.slots.erase(meant);
  if (changed.slots.empty()) return fail(ErrorCode::last_key_slot, "remove key slot", std::string(id_or_label));
  CAIRN_CHECK(write_store_documents(*state_->backend, changed, state_->keys, DocumentChange::removes));
  state_->document.slots = std::move(changed.slots);
  return {};
}

std::vector<EscrowOwner> Store::escrow_owners() {
  const std::lock_guard lock(state_->document_mutex);
  // A recovery key that another process has just added matters, but not enough to fail a backup for it.
  static_cast<void>(state_->reload_document());
  std::vector<EscrowOwner> owners = {state_->keys.escrow_keys().public_half};
  for (const KeySlot& slot : state_->document.slots)
    if (slot.facts.type == KeySlotType::recovery) owners.push_back(slot.recovery_public);
  return owners;
}

const EscrowKeys& Store::escrow_keys() const {
  return state_->keys.escrow_keys();
}

std::string Store::fingerprint(const SecretBytes& volume_key) const {
  return to_hex(state_->keys.fingerprint(volume_key));
}

Result<Buffer> Store::State::read_point_file(const PointName& name) {
  auto bytes = backend->get(point_object(name), kMaxPointBytes);
  if (!bytes && bytes.error().code == ErrorCode::object_missing)
    return fail(ErrorCode::point_missing, "read recovery point", name.text());
  if (!bytes && bytes.error().code == ErrorCode::store_damaged)
    return fail(ErrorCode::point_damaged, "read recovery point", name.text(), "its file is too large to be one");
  return bytes;
}

Result<IndexedPack> Store::State::read_footer(const std::string& pack_name) {
  CAIRN_TRY(const auto pack, PackReader::open(*backend, pack_name, keys, document.id));
  CAIRN_TRY(auto records, pack->read_footer());
  return IndexedPack{pack_name, pack->size(), std::move(records)};
}

Result<std::unique_ptr<ObjectHold>> Store::State::hold_point(const PointName& name) {
  auto hold = backend->hold(point_object(name));
  if (!hold && hold.error().code == ErrorCode::object_missing)
    return fail(ErrorCode::point_missing, "hold recovery point", name.text());
  return hold;
}

Result<std::unique_ptr<ObjectHold>> Store::hold_point(const PointName& name) {
  return state_->hold_point(name);
}

void Store::let_go_of_removed_packs() {
  state_->packs.drop_removed();
}

Result<RecoveryPoint> Store::load_point(const PointName& name) {
  CAIRN_TRY(const Buffer bytes, state_->read_point_file(name));
  return open_point(bytes, name, state_->keys, state_->document.id,
                    state_->backend->location() + "/" + point_object(name));
}

Result<std::string> Store::point_hash(const PointName& name) {
  CAIRN_TRY(const Buffer bytes, state_->read_point_file(name));
  return Blake3::hex_of(bytes);
}

Result<Index::Located> Store::State::locate(RecordKind kind, const ChunkName& name) {
  CAIRN_ASSERT(!name.is_zero());
  CAIRN_TRY(auto open_index, index());
  CAIRN_TRY(auto entry, open_index->locate(name));
  if (!entry && open_index->replaced()) {
    forget_index();
    CAIRN_TRY(open_index, index());
    CAIRN_TRY(entry, open_index->locate(name));
  }
  if (!entry)
    return fail(ErrorCode::chunk_missing, "find chunk", name.hex().substr(0, 16) + " in store " + directory.string(),
                "the index does not know it");
  if (entry->place.kind != kind)
    return fail(ErrorCode::map_damaged, "read chunk", name.hex().substr(0, 16),
                "it is of another kind than its place in the map says");
  return *std::move(entry);
}

Result<Store::State::OpenRecord> Store::State::open_record(RecordKind kind, const ChunkName& name) {
  std::string last_pack;
  for (;;) {
    CAIRN_TRY(const auto entry, locate(kind, name));
    auto pack = packs.open(entry.pack_name);
    if (pack) return OpenRecord{*std::move(pack), entry.place};
    if (pack.error().code != ErrorCode::object_missing || entry.pack_name == last_pack)
      return pass_on(std::move(pack).error());
    last_pack = entry.pack_name;
  }
}

Result<SharedBuffer> Store::fetch(RecordKind kind, const ChunkName& name) {
  CAIRN_TRY(const auto record, state_->open_record(kind, name));
  return record.pack->read_record(name, record.place);
}

Result<void> Store::fetch_part(const ChunkName& name, std::uint32_t chunk_bytes, std::uint32_t offset,
                               MutableBytes to) {
  CAIRN_TRY(const auto record, state_->open_record(RecordKind::chunk, name));
  CAIRN_CHECK(check_chunk_length(record.place.raw_bytes, name, chunk_bytes));
  return record.pack->read_part(name, record.place, offset, to);
}

void Store::fetch_into(RecordKind kind, std::span<const ChunkName> names, ChunkReceiver& to) {
  struct OpenPack {
    std::string name;
    Result<PackCache::SharedPack> pack;
  };
  std::vector<OpenPack> packs;  // in the order in which they are needed first
  std::vector<WantedRecord> wanted;
  wanted.reserve(names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    auto entry = state_->locate(kind, names[i]);
    if (!entry) {
      to.failed(i, std::move(entry).error());
      continue;
    }
    auto pack = std::ranges::find(packs, entry->pack_name, &OpenPack::name);
    if (pack == packs.end()) pack = packs.insert(pack, {entry->pack_name, state_->packs.open(entry->pack_name)});
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
      auto moved = state_->open_record(kind, record.name);
      if (!moved) {
        to.failed(record.index, std::move(moved).error());
        continue;
      }
      const WantedRecord found{record.index, 0, record.name, moved->place};
      moved->pack->read_run({&found, 1}, to);
    }
  }
}

void Store::fetch_all(RecordKind kind, std::span<const ChunkName> names, const Deliver& deliver) {
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

std::unique_ptr<DiskReader> Store::open_disk(const MapRecord& map, std::string object, ChunkSource* source) {
  return std::make_unique<DiskReader>(source != nullptr ? *source : *this, map, state_->info.chunk_size,
                                      std::move(object));
}

Result<RebuildReport> Store::rebuild_index() {
  const std::lock_guard writer_guard(state_->writer_mutex);
  CAIRN_TRY(const WriterLock lock, WriterLock::take(state_->directory, "rebuild-index"));
  CAIRN_CHECK(state_->backend->settle("packs/"));  // the index is to name what will still be there
  // Built beside the old one and then exchanged: whoever reads meanwhile keeps what it has open.
  const std::filesystem::path fresh = state_->directory / "index.new";
  std::error_code problem;
  std::filesystem::remove_all(fresh, problem);
  const RemoveAtEnd cleaner{fresh};
  CAIRN_TRY(RebuildReport report, build_index(fresh));
  state_->forget_index();
  state_->packs.clear();
  const std::string index = state_->index_folder().string();
  if (::renameat2(AT_FDCWD, fresh.c_str(), AT_FDCWD, index.c_str(), RENAME_EXCHANGE) != 0) {
    const int problem_of_exchange = errno;
    const bool cannot = problem_of_exchange == EINVAL || problem_of_exchange == ENOSYS;  // this file system
    if (!cannot && problem_of_exchange != ENOENT) return fail_errno(problem_of_exchange, "replace index", index);
    if (cannot) std::filesystem::remove_all(index, problem);
    if (::rename(fresh.c_str(), index.c_str()) != 0) return fail_errno(errno, "replace index", index);
  }
  // Before the old one's file is removed.
  CAIRN_CHECK(sync_folder(state_->directory));
  return report;
}

}  // namespace cairn
