// SPDX-License-Identifier: GPL-3.0-or-later
// Access policies: which principal may do what in a vault. Values and decisions only; the local vault keeps them
// (local_vault.h). What they protect against on one host, and what not: crypto/THREATS.md. Pure. Any thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/result.h"

namespace cairn {

// Never renumber: the names are stored, the order is what lists show.
enum class Right : std::uint8_t {
  keys_get,
  keys_list,
  keys_create,
  keys_backup,
  keys_restore,
  keys_wrap,
  keys_unwrap,
  keys_delete,
  secrets_get,
  secrets_list,
  secrets_set,
  secrets_backup,
  secrets_restore,
  secrets_delete,
  policy_get,
  policy_set,
};
std::span<const Right> all_rights();
std::string_view to_string(Right right);  // "keys:get"
std::optional<Right> parse_right(std::string_view text);

using Rights = std::set<Right>;

enum class RightsTemplate { backup, restore, admin };
std::string_view to_string(RightsTemplate which);
std::optional<RightsTemplate> parse_rights_template(std::string_view text);
// backup: keys get, list, backup, unwrap (proving a point reads the BEK); secrets get, list, backup. Nothing that
// changes anything. restore: the same, and keys create, wrap, restore; secrets set, restore. admin: all.
Rights rights_of(RightsTemplate which);

class AccessPolicy {
 public:
  [[nodiscard]] bool allows(const std::string& principal, Right right) const;
  [[nodiscard]] const std::map<std::string, Rights>& principals() const { return principals_; }
  void grant(const std::string& principal, const Rights& rights);
  // Errors: no_such_principal (with the nearest), last_administrator. A principal without rights is gone.
  Result<void> revoke(const std::string& principal, const Rights& rights);

 private:
  std::map<std::string, Rights> principals_;
};

// The error of a call that was refused. `object`: "key main/backup", "secrets of main".
Error denied(const std::string& vault, const std::string& principal, Right right, const std::string& object);

}  // namespace cairn
