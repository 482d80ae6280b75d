// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/create_store.h"

#include <sodium.h>
#include <sys/stat.h>

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
      return fail(ErrorCode::target_missing, "make store", path.string(), "its parent directory is not there",
                  "is its file system mounted? if it is: mkdir -p " + path.parent_path().string());
    if (errno != EEXIST) return fail_errno(errno, "make store", path.string());
    CAIRN_CHECK(check_empty(path));
  }
  // Durable, whoever made it. A parent that we may not read cannot be synced.
  auto synced = sync_folder(std::filesystem::weakly_canonical(path).parent_path());
  if (!synced && synced.error().code == ErrorCode::permission_denied) return {};
  return synced;
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

  CAIRN_CHECK(prepare_directory(path));
  const StorePlaces places = places_of(path);
  CAIRN_TRY(const WriterLock lock, WriterLock::take(places, "store init"));
  CAIRN_CHECK(check_empty(path));  // again: another init may have been quicker
  const auto backend = open_backend(places.objects);
  std::vector<std::filesystem::path> made_here = {places.index_folder};
  for (const char* folder : kFoldersOfInit) made_here.push_back(path / folder);
  const auto make_everything = [&]() -> Result<void> {
    for (const std::filesystem::path& folder : made_here) {  // of an interrupted init
      std::error_code problem;
      std::filesystem::remove_all(folder, problem);
      if (problem) return fail_errno(problem.value(), "empty folder", folder.string());
    }
    for (const char* folder : kFoldersOfInit) {
      const std::filesystem::path made = path / folder;
      if (::mkdir(made.c_str(), 0700) != 0 && errno != EEXIST) return fail_errno(errno, "make folder", made.string());
    }
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
    std::error_code ignored;  // nothing half-made stays; the error that counts is the one we have
    for (const std::filesystem::path& folder : made_here) std::filesystem::remove_all(folder, ignored);
    std::filesystem::remove(places.lock_file(), ignored);
    return pass_on(std::move(made).error());
  }
  return {};
}

}  // namespace cairn
