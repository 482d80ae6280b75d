// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/store_keys.h"

#include <algorithm>

#include "fs/store/document_pair.h"
#include "fs/store/writer_lock.h"

namespace cairn {

Result<void> StoreKeys::reload() {
  CAIRN_TRY(StoreDocument now, reload_store_document(backend_, directory_, keys_));
  document_.slots = std::move(now.slots);
  return {};
}

Result<std::vector<KeySlotFactsRow>> StoreKeys::slots() {
  const std::lock_guard lock(mutex_);
  CAIRN_CHECK(reload());
  std::vector<KeySlotFactsRow> rows;
  for (const KeySlot& slot : document_.slots) rows.push_back(slot.facts);
  return rows;
}

Result<void> StoreKeys::add_slot(const NewKeySlot& slot) {
  const std::lock_guard lock(mutex_);
  CAIRN_TRY(const WriterLock writer_lock, WriterLock::take(directory_, "store keys add"));
  CAIRN_CHECK(reload());
  for (const KeySlot& other : document_.slots)
    if (other.facts.label == slot.label)
      return fail(ErrorCode::key_slot_exists, "add key slot", slot.label, "slot " + other.facts.id + " has that label");
  CAIRN_TRY(KeySlot made, make_key_slot(master_key_, slot, system_clock().now()));
  StoreDocument changed = document_;
  changed.slots.push_back(std::move(made));
  CAIRN_CHECK(write_store_documents(backend_, changed, keys_, DocumentChange::adds));
  document_.slots = std::move(changed.slots);
  return {};
}

Result<void> StoreKeys::remove_slot(std::string_view id_or_label) {
  const std::lock_guard lock(mutex_);
  CAIRN_TRY(const WriterLock writer_lock, WriterLock::take(directory_, "store keys remove"));
  CAIRN_CHECK(reload());
  StoreDocument changed = document_;
  const auto is_meant = [&](const KeySlot& slot) {
    return slot.facts.id == id_or_label || slot.facts.label == id_or_label;
  };
  const auto meant = std::find_if(changed.slots.begin(), changed.slots.end(), is_meant);
  if (meant == changed.slots.end())
    return fail(ErrorCode::no_such_key_slot, "remove key slot", std::string(id_or_label));
  changed.slots.erase(meant);
  if (changed.slots.empty()) return fail(ErrorCode::last_key_slot, "remove key slot", std::string(id_or_label));
  CAIRN_CHECK(write_store_documents(backend_, changed, keys_, DocumentChange::removes));
  document_.slots = std::move(changed.slots);
  return {};
}

std::vector<EscrowOwner> StoreKeys::escrow_owners() {
  const std::lock_guard lock(mutex_);
  // A recovery key that another process has just added matters, but not enough to fail a backup for it.
  static_cast<void>(reload());
  std::vector<EscrowOwner> owners = {keys_.escrow_keys().public_half};
  for (const KeySlot& slot : document_.slots)
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
