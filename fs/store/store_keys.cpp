// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/store_keys.h"

#include <algorithm>

#include "fs/store/document_pair.h"
#include "fs/store/writer_lock.h"

namespace cairn {

Result<void> StoreKeys::reload(StoreDocument& document) {
  CAIRN_TRY(StoreDocument now, reload_store_document(backend_, places_.objects.path, keys_));
  document.slots = std::move(now.slots);
  return {};
}

Result<std::vector<KeySlotFactsRow>> StoreKeys::slots() {
  const auto document = document_.lock();
  CAIRN_CHECK(reload(*document));
  std::vector<KeySlotFactsRow> rows;
  for (const KeySlot& slot : document->slots) rows.push_back(slot.facts);
  return rows;
}

Result<void> StoreKeys::add_slot(const NewKeySlot& slot) {
  const auto document = document_.lock();
  CAIRN_TRY(const WriterLock writer_lock, WriterLock::take(places_, "store keys add"));
  CAIRN_CHECK(reload(*document));
  for (const KeySlot& other : document->slots)
    if (other.facts.label == slot.label)
      return fail(ErrorCode::key_slot_exists, "add key slot", slot.label, "slot " + other.facts.id + " has that label");
  if (document->slots.size() >= kMaxKeySlots)
    return fail(ErrorCode::too_many_key_slots, "add key slot", slot.label,
                "the store has " + std::to_string(document->slots.size()) + " already",
                "remove one that nobody needs first: \"cairn store keys list\"");
  CAIRN_TRY(KeySlot made, make_key_slot(master_key_, slot, system_clock().now()));
  StoreDocument changed = *document;
  changed.slots.push_back(std::move(made));
  CAIRN_CHECK(write_store_documents(backend_, changed, keys_, DocumentChange::adds));
  document->slots = std::move(changed.slots);
  return {};
}

Result<void> StoreKeys::remove_slot(std::string_view id_or_label) {
  const auto document = document_.lock();
  CAIRN_TRY(const WriterLock writer_lock, WriterLock::take(places_, "store keys remove"));
  CAIRN_CHECK(reload(*document));
  StoreDocument changed = *document;
  const auto is_meant = [&](const KeySlot& slot) {
    return slot.facts.id == id_or_label || slot.facts.label == id_or_label;
  };
  const auto meant = std::find_if(changed.slots.begin(), changed.slots.end(), is_meant);
  if (meant == changed.slots.end())
    return fail(ErrorCode::no_such_key_slot, "remove key slot", std::string(id_or_label));
  changed.slots.erase(meant);
  if (changed.slots.empty()) return fail(ErrorCode::last_key_slot, "remove key slot", std::string(id_or_label));
  CAIRN_CHECK(write_store_documents(backend_, changed, keys_, DocumentChange::removes));
  document->slots = std::move(changed.slots);
  return {};
}

std::vector<EscrowOwner> StoreKeys::escrow_owners() {
  const auto document = document_.lock();
  // A recovery key that another process has just added matters, but not enough to fail a backup for it.
  static_cast<void>(reload(*document));
  std::vector<EscrowOwner> owners = {keys_.escrow_keys().public_half};
  for (const KeySlot& slot : document->slots)
    if (slot.facts.type == KeySlotType::recovery) owners.push_back(slot.recovery_public);
  return owners;
}

const EscrowKeys& StoreKeys::escrow_keys() const {
  return keys_.escrow_keys();
}

std::string StoreKeys::fingerprint(const SecretBytes& volume_key) const {
  return to_hex(keys_.fingerprint(volume_key));
}

}  // namespace cairn
