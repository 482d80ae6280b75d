// SPDX-License-Identifier: GPL-3.0-or-later
// The store's document and its copy: store.json and store.json.copy, so that one bad sector does not lose the keys to
// everything. Order of writing and rules: fs/store/FORMAT.md "store.json". Internal to fs/store. Writing: only for
// whoever holds the writer lock.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "crypto/key_slots.h"
#include "fs/io/backend.h"
#include "fs/store/store_document.h"

namespace cairn {

inline constexpr const char* kStoreDocument = "store.json";
inline constexpr const char* kStoreDocumentCopy = "store.json.copy";

struct OpenedDocument {
  StoreDocument document;
  SecretBytes master_key;
  std::optional<Error> trouble;  // what is wrong with store.json, when its copy was used
};
// Opens store.json with the key, or else its copy: only when store.json cannot be read or does not authenticate, never
// when it is authentic and has no slot for the key. `path` is the store's, for messages.
// Errors: those of store.json: store_missing, not_a_store, store_too_new, store_damaged, wrong_key, io_error.
Result<OpenedDocument> open_store_document(Backend& backend, const std::filesystem::path& path, const UnlockKey& key);
// The same with the keys that were opened before. Errors: as above but wrong_key.
Result<StoreDocument> reload_store_document(Backend& backend, const std::filesystem::path& path, const KeyRing& keys);

// A slot comes: store.json first, for a key that is not yet said to open must not be the only one that does. A slot
// goes: the copy first, so that a key that is said to be removed opens neither.
enum class DocumentChange { adds, removes };
Result<void> write_store_documents(Backend& backend, const StoreDocument& document, const KeyRing& keys,
                                   DocumentChange change);

// Why each of the two is not what it must be; both empty: all is well.
struct DocumentPairState {
  std::optional<Error> document;
  std::optional<Error> copy;  // also when it is authentic and another than store.json
};
DocumentPairState check_store_documents(Backend& backend, const std::filesystem::path& path, const KeyRing& keys);
// Makes the copy what store.json is, when that is authentic and the copy is not the same. For a new writer: a change
// may have been cut off between the two.
Result<void> renew_document_copy(Backend& backend, const std::filesystem::path& path, const KeyRing& keys);
// Writes whichever is bad from the other one; what was there goes to quarantine (aside/). True: something was written.
// Errors: those of store.json when neither is good.
Result<bool> repair_store_documents(Backend& backend, const std::filesystem::path& path, const KeyRing& keys);

}  // namespace cairn
