// SPDX-License-Identifier: GPL-3.0-or-later
// StoreKeys: who can open a store (its key slots), and who can open what is in escrow in its points. Any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/base/guarded.h"
#include "config/base/result.h"
#include "crypto/escrow.h"
#include "crypto/key_ring.h"
#include "crypto/key_slots.h"
#include "crypto/secret_bytes.h"
#include "fs/io/backend.h"
#include "fs/store/store_document.h"
#include "fs/store/store_places.h"

namespace cairn {

class StoreKeys {
 public:
  // `document`: as it was opened. `backend`, `places` and `keys` must outlive this.
  StoreKeys(Backend& backend, const StorePlaces& places, StoreDocument document, SecretBytes master_key,
            const KeyRing& keys)
      : backend_(backend),
        places_(places),
        master_key_(std::move(master_key)),
        keys_(keys),
        document_(std::move(document)) {}

  [[nodiscard]] Result<std::vector<KeySlotFactsRow>> slots();
  // Errors: key_slot_exists (label), too_many_key_slots, store_locked.
  Result<void> add_slot(const NewKeySlot& slot);
  // Errors: no_such_key_slot, last_key_slot, store_locked.
  Result<void> remove_slot(std::string_view id_or_label);

  // Whoever may open what is in escrow in the points: the master key's own pair first, then the recovery keys.
  [[nodiscard]] std::vector<EscrowOwner> escrow_owners();
  // The master key's own pair.
  [[nodiscard]] const EscrowKeys& escrow_keys() const;
  // Hex; see KeyRing::fingerprint.
  [[nodiscard]] std::string fingerprint(const SecretBytes& volume_key) const;

 private:
  // Another process may have changed the slots: takes them over. Errors: store_missing, not_a_store, store_too_new,
  // store_damaged.
  Result<void> reload(StoreDocument& document);

  Backend& backend_;
  const StorePlaces& places_;
  const SecretBytes master_key_;
  const KeyRing& keys_;
  Guarded<StoreDocument> document_;  // only its slots change; locked while they are
};

}  // namespace cairn
