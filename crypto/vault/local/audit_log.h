// SPDX-License-Identifier: GPL-3.0-or-later
// The audit log of a local vault: JSON lines, each chained to the one before by a MAC under a key of the vault's, so
// that no line can be changed, added, removed or moved by whoever lacks the vault's key; and the vault's file keeps a
// mark (number and MAC of the last entry when it was written), so that nothing up to there can be cut off.
// Bytes: crypto/vault/VAULT.md "audit.log".
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "crypto/vault/local/audit_entry.h"
#include "crypto/vault/local/vault_contents.h"
#include "crypto/vault/local/vault_directory.h"

namespace cairn {

inline constexpr const char* kAuditName = "audit.log";
inline constexpr const char* kAuditTemporary = "audit.log.tmp";

// Operations of the log's own.
inline constexpr const char* kAuditBegin = "audit:begin";    // the log before is gone; this one begins
inline constexpr const char* kAuditUndone = "vault:undone";  // changes that the log has as done are not in the vault

// Operations whose entry, when it is done, comes with a new vault file.
bool is_change(std::string_view operation);

// `entry` as a line, newline included, after an entry with MAC `before` (zeros: it is the first of its file); its own
// MAC goes to `mac`. Long texts are cut.
std::string write_audit_line(const AuditEntry& entry, ByteView before, const SecretBytes& key, Buffer& mac);

// How far a log has been checked.
struct AuditState {
  std::uint64_t first = 0;        // number of the first entry; 0: there is none
  AuditMark last;                 // the last entry
  std::uint64_t last_change = 0;  // the last entry after the mark that changed the vault; 0: none
  std::uint64_t last_undone = 0;  // the last entry that says that changes did not come about; 0: none
};

// Checks a log line by line, from its first or from where `from` had come with the same mark. Any thread, one at a
// time.
class AuditReader {
 public:
  // `key` must outlive this; `object` is the file.
  AuditReader(const SecretBytes& key, AuditMark mark, std::string object, AuditState from = {});
  // A line without its newline. Errors: audit_damaged.
  Result<void> next(std::string_view line);
  // After the last line: has it come as far as the vault knows? Errors: audit_damaged.
  Result<void> finish() const;
  [[nodiscard]] const AuditState& state() const { return state_; }

 private:
  [[nodiscard]] std::unexpected<Error> damaged(std::string because) const;

  const SecretBytes& key_;
  AuditMark mark_;
  std::string object_;
  AuditState state_;
};

// The entry in a line that AuditReader has checked. Errors: audit_damaged.
Result<AuditEntry> parse_audit_line(std::string_view line, const std::string& object);

// The log's file, open, checked and ready for more; only while the vault's lock is held.
class AuditLog {
 public:
  // What one open vault remembers of the file between its calls, to check only what came since. It notices a log that
  // became shorter, too.
  struct Memory {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::uint64_t size = 0;  // of whole lines
    AuditMark mark;          // that it was checked with
    AuditState state;
  };

  // Opens and checks it. A missing log is begun anew, and says so; changes that the log has and the vault has not
  // (interrupted, or an older vault was put back) are noted. `from_first`: nothing remembered is believed. The last
  // `keep` lines go to `kept`. `memory`, `directory`, `key` and `clock` must outlive this.
  // Errors: audit_damaged, vault_permissions, io_error, no_space.
  static Result<AuditLog> open(const VaultDirectory& directory, VaultSystem& system, const SecretBytes& key,
                               const AuditMark& mark, Memory& memory, const Clock& clock, bool from_first = false,
                               std::size_t keep = 0, std::deque<std::string>* kept = nullptr);

  // What the next entry will be: `mark` is what a vault must hold that is written with it.
  struct Prepared {
    AuditEntry entry;
    std::string line;
    AuditMark mark;
  };
  [[nodiscard]] Prepared prepare(AuditEntry entry) const;
  // Durable on return; at an error it is not there.
  Result<void> append(const Prepared& prepared);
  // The vault has been written with this mark.
  void marked(const AuditMark& mark);

 private:
  AuditLog(const VaultDirectory& directory, VaultSystem& system, const SecretBytes& key, Memory& memory,
           const Clock& clock)
      : directory_(&directory), system_(&system), key_(&key), memory_(&memory), clock_(&clock) {}
  Result<void> begin_anew(const AuditMark& mark);
  Result<void> check(const AuditMark& mark, bool from_first, std::size_t keep, std::deque<std::string>* kept);
  Result<void> note_undone(const AuditMark& mark);

  const VaultDirectory* directory_;
  VaultSystem* system_;
  const SecretBytes* key_;
  Memory* memory_;
  const Clock* clock_;
  UniqueFd file_;
};

}  // namespace cairn
