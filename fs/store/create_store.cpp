// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/create_store.h"

#include <sodium.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>

#include "config/base/units.h"
#include "fs/file/folder.h"
#include "fs/io/open_backend.h"
#include "fs/store/document_pair.h"
#include "fs/store/index/index.h"
#include "fs/store/store_places.h"
#include "fs/store/writer_lock.h"

namespace cairn {
namespace {

// What an init makes before the store.json that makes it a store.
constexpr std::array kFoldersOfInit = {"packs", "points", "tmp"};
constexpr std::array kMadeByInit = {"index", "packs", "points", "tmp"};

bool holds_files(const Folder& folder, unsigned depth = 0) {
  const auto entries = folder.entries();
  if (!entries || depth > 8) return true;
  return std::ranges::any_of(*entries, [&](const Folder::Entry& entry) {
    const auto below = folder.folder(entry.name);
    return !below || holds_files(*below, depth + 1);
  });
}

// An existing directory may be used when nothing is in it but what mkfs, the lock and an interrupted init make.
Result<void> check_empty(const Folder& store) {
  CAIRN_TRY(const auto entries, store.entries());
  for (const auto& [name, kind] : entries) {
    if (name == kStoreDocument) return fail(ErrorCode::store_exists, "make store", store.path().string());
    if (name == "lost+found" || name == "lock" || name == "tmp" || name == "index") continue;
    const auto folder = store.folder(name);
    if ((name != "packs" && name != "points") || !folder || holds_files(*folder))
      return fail(ErrorCode::store_exists, "make store", store.path().string(),
                  "the directory is not empty: it holds " + name);
  }
  return {};
}

Result<Folder> prepare_directory(const std::filesystem::path& path) {
  if (::mkdir(path.c_str(), 0700) != 0) {
    if (errno == ENOENT)
      return fail(ErrorCode::target_missing, "make store", path.string(), "its parent directory is not there");
    if (errno != EEXIST) return fail_errno(errno, "make store", path.string());
  }
  CAIRN_TRY(Folder store, Folder::open(path));
  CAIRN_CHECK(check_empty(store));
  // Durable, whoever made it. A parent that we may not read cannot be synced.
  CAIRN_TRY(const Folder above, Folder::open(std::filesystem::weakly_canonical(path).parent_path()));
  if (auto synced = above.sync(); !synced && synced.error().code != ErrorCode::permission_denied)
    return pass_on(std::move(synced).error());
  return store;
}

}  // namespace

Result<void> create_store(const std::filesystem::path& path, const StoreParameters& parameters,
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

  CAIRN_TRY(const Folder store, prepare_directory(path));
  const StorePlaces places = places_of(path);
  CAIRN_TRY(const WriterLock lock, WriterLock::take(places, "store init"));
  CAIRN_CHECK(check_empty(store));  // again: another init may have been quicker
  const auto backend = open_backend(places.objects);
  const auto make_everything = [&]() -> Result<void> {
    for (const char* made_here : kMadeByInit) CAIRN_CHECK(store.remove_all(made_here));  // of an interrupted init
    for (const char* folder : kFoldersOfInit) CAIRN_CHECK(store.make_folder(folder));
    CAIRN_CHECK(Index::create(places.index_folder, document.id));
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
    // Nothing half-made stays; the error that counts is the one we have.
    for (const char* made_here : kMadeByInit) static_cast<void>(store.remove_all(made_here).has_value());
    static_cast<void>(store.remove_file(StorePlaces::kLockName).has_value());
    return pass_on(std::move(made).error());
  }
  return {};
}

}  // namespace cairn
