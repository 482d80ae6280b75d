// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/slots_in_use.h"

#include <span>

#include "fs/io/local_backend.h"
#include "fs/store/document_pair.h"

namespace cairn {

Result<std::vector<std::string>> slots_opened_by(const std::filesystem::path& store, const UnlockKey& key) {
  LocalBackend backend(store);
  CAIRN_TRY(const OpenedDocument opened, open_store_document(backend, store, key));
  std::vector<std::string> ids;
  for (const KeySlot& slot : opened.document.slots)
    if (open_key_slots(std::span(&slot, 1), key, store.string())) ids.push_back(slot.facts.id);
  return ids;
}

}  // namespace cairn
