// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/document_pair.h"

#include "config/base/log.h"

namespace cairn {
namespace {

constexpr std::uint64_t kMaxDocumentBytes = 1024 * 1024;

struct ReadDocument {
  std::string text;
  StoreDocument document;
};

Result<std::string> read_text(Backend& backend, const char* name, const std::filesystem::path& path) {
  auto bytes = backend.get(name, kMaxDocumentBytes);
  if (bytes) return std::string(as_text(*bytes));
  if (bytes.error().code != ErrorCode::object_missing) return pass_on(std::move(bytes).error());
  std::error_code ignored;
  return fail(ErrorCode::store_missing, "open store", path.string(),
              std::filesystem::is_directory(path, ignored) ? "the directory holds no store.json"
                                                           : "the directory is not there");
}

Result<ReadDocument> read_document(Backend& backend, const char* name, const std::filesystem::path& path) {
  ReadDocument read;
  CAIRN_TRY(read.text, read_text(backend, name, path));
  CAIRN_TRY(read.document, read_store_document(read.text, path.string()));
  return read;
}

Result<ReadDocument> read_authentic(Backend& backend, const char* name, const std::filesystem::path& path,
                                    const KeyRing& keys) {
  CAIRN_TRY(ReadDocument read, read_document(backend, name, path));
  CAIRN_CHECK(check_store_document(read.text, read.document, keys, path.string()));
  return read;
}

Result<OpenedDocument> open_one(Backend& backend, const char* name, const std::filesystem::path& path,
                                const UnlockKey& key) {
  CAIRN_TRY(ReadDocument read, read_document(backend, name, path));
  if (!is_available(read.document.algorithm))
    return fail(ErrorCode::not_supported_yet, "open store", path.string(),
                "it is sealed with AES and this CPU has no AES instructions",
                "use a machine whose CPU has AES instructions");
  OpenedDocument opened;
  CAIRN_TRY(opened.master_key, open_key_slots(read.document.slots, key, path.string()));
  CAIRN_CHECK(check_store_document(read.text, read.document, KeyRing(opened.master_key), path.string()));
  opened.document = std::move(read.document);
  return opened;
}

// Wrong key: a slot may be what is damaged.
bool copy_may_help(const Error& error) {
  return error.code == ErrorCode::store_damaged || error.code == ErrorCode::not_a_store ||
         error.code == ErrorCode::store_missing || error.code == ErrorCode::wrong_key ||
         error.code == ErrorCode::store_too_new || error.code == ErrorCode::io_error ||
         error.code == ErrorCode::too_many_key_slots;
}

void warn_of(const Error& error) {
  log_event(LogLevel::warning, "store-document-damaged", error.object,
            {{"because", error.because},
             {"effect", "store.json.copy is used"},
             {"resolution", "\"cairn verify --repair\" writes it anew"}});
}

Result<void> put_text(Backend& backend, const char* name, std::string_view text) {
  return backend.put(name, as_bytes(text), IfExists::replace);
}

Result<void> quarantine(Backend& backend, const char* name) {
  const auto bytes = backend.get(name, kMaxDocumentBytes);
  if (!bytes) return {};  // missing, or unreadable to the last byte: nothing to keep
  return backend.put(std::string("aside/") + name, *bytes, IfExists::replace);
}

}  // namespace

Result<OpenedDocument> open_store_document(Backend& backend, const std::filesystem::path& path, const UnlockKey& key) {
  auto opened = open_one(backend, kStoreDocument, path, key);
  if (opened || !copy_may_help(opened.error())) return opened;
  auto copy = open_one(backend, kStoreDocumentCopy, path, key);
  if (!copy) return opened;
  // A store.json that is authentic and does not open with this key has lost the slot on purpose.
  if (read_authentic(backend, kStoreDocument, path, KeyRing(copy->master_key))) return opened;
  warn_of(opened.error());
  copy->trouble = opened.error();
  return copy;
}

Result<StoreDocument> reload_store_document(Backend& backend, const std::filesystem::path& path, const KeyRing& keys) {
  auto read = read_authentic(backend, kStoreDocument, path, keys);
  if (read) return std::move(read->document);
  if (copy_may_help(read.error()))
    if (auto copy = read_authentic(backend, kStoreDocumentCopy, path, keys)) return std::move(copy->document);
  return pass_on(std::move(read).error());
}

Result<void> write_store_documents(Backend& backend, const StoreDocument& document, const KeyRing& keys,
                                   DocumentChange change) {
  const std::string text = write_store_document(document, keys);
  const bool copy_first = change == DocumentChange::removes;
  CAIRN_CHECK(put_text(backend, copy_first ? kStoreDocumentCopy : kStoreDocument, text));
  return put_text(backend, copy_first ? kStoreDocument : kStoreDocumentCopy, text);
}

DocumentPairState check_store_documents(Backend& backend, const std::filesystem::path& path, const KeyRing& keys) {
  DocumentPairState state;
  const auto document = read_authentic(backend, kStoreDocument, path, keys);
  const auto copy = read_authentic(backend, kStoreDocumentCopy, path, keys);
  if (!document) state.document = document.error();
  if (!copy) state.copy = copy.error();
  if (state.copy) state.copy->object = (path / kStoreDocumentCopy).string();
  if (document && copy && document->text != copy->text)
    state.copy = Error{ErrorCode::store_damaged,        "read", (path / kStoreDocumentCopy).string(),
                       "it is another than store.json", 0,      {}};
  return state;
}

Result<void> renew_document_copy(Backend& backend, const std::filesystem::path& path, const KeyRing& keys) {
  const auto document = read_authentic(backend, kStoreDocument, path, keys);
  if (!document) return {};  // a verify says so, and repair writes it from the copy
  const auto copy = read_text(backend, kStoreDocumentCopy, path);
  if (copy && *copy == document->text) return {};
  return put_text(backend, kStoreDocumentCopy, document->text);
}

Result<bool> repair_store_documents(Backend& backend, const std::filesystem::path& path, const KeyRing& keys) {
  const DocumentPairState state = check_store_documents(backend, path, keys);
  if (!state.document && !state.copy) return false;
  if (state.document && state.copy) return pass_on(*state.document);
  const char* const bad = state.document ? kStoreDocument : kStoreDocumentCopy;
  CAIRN_TRY(const std::string text, read_text(backend, state.document ? kStoreDocumentCopy : kStoreDocument, path));
  CAIRN_CHECK(quarantine(backend, bad));
  CAIRN_CHECK(put_text(backend, bad, text));
  return true;
}

}  // namespace cairn
