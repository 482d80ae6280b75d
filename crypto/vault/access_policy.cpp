// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/vault/access_policy.h"

#include <algorithm>
#include <array>

namespace cairn {
namespace {

struct RightFacts {
  Right right;
  std::string_view name;
  std::string_view doing;  // before the object, in messages
};

constexpr std::array<RightFacts, 16> kRights{{
    {Right::keys_get, "keys:get", "look at"},
    {Right::keys_list, "keys:list", "list"},
    {Right::keys_create, "keys:create", "create"},
    {Right::keys_backup, "keys:backup", "back up"},
    {Right::keys_restore, "keys:restore", "restore"},
    {Right::keys_wrap, "keys:wrap", "wrap with"},
    {Right::keys_unwrap, "keys:unwrap", "unwrap with"},
    {Right::keys_delete, "keys:delete", "delete"},
    {Right::secrets_get, "secrets:get", "read"},
    {Right::secrets_list, "secrets:list", "list"},
    {Right::secrets_set, "secrets:set", "write"},
    {Right::secrets_backup, "secrets:backup", "back up"},
    {Right::secrets_restore, "secrets:restore", "restore"},
    {Right::secrets_delete, "secrets:delete", "delete"},
    {Right::policy_get, "policy:get", "read"},
    {Right::policy_set, "policy:set", "change"},
}};

const RightFacts& facts_of(Right right) {
  return kRights.at(static_cast<std::size_t>(right));
}

constexpr bool in_order() {
  for (std::size_t i = 0; i < kRights.size(); ++i)
    if (static_cast<std::size_t>(kRights[i].right) != i) return false;
  return true;
}
static_assert(in_order());

}  // namespace

std::span<const Right> all_rights() {
  static constexpr auto kAll = [] {
    std::array<Right, kRights.size()> all{};
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = kRights[i].right;
    return all;
  }();
  return kAll;
}

std::string_view to_string(Right right) {
  return facts_of(right).name;
}

std::optional<Right> parse_right(std::string_view text) {
  for (const RightFacts& facts : kRights)
    if (text == facts.name) return facts.right;
  return std::nullopt;
}

std::string_view to_string(RightsTemplate which) {
  switch (which) {
    case RightsTemplate::backup:
      return "backup";
    case RightsTemplate::restore:
      return "restore";
    case RightsTemplate::admin:
      return "admin";
  }
  return "backup";
}

std::optional<RightsTemplate> parse_rights_template(std::string_view text) {
  for (const RightsTemplate which : {RightsTemplate::backup, RightsTemplate::restore, RightsTemplate::admin})
    if (text == to_string(which)) return which;
  return std::nullopt;
}

Rights rights_of(RightsTemplate which) {
  if (which == RightsTemplate::admin) return {all_rights().begin(), all_rights().end()};
  Rights rights = {Right::keys_get,    Right::keys_list,    Right::keys_backup,   Right::keys_unwrap,
                   Right::secrets_get, Right::secrets_list, Right::secrets_backup};
  if (which == RightsTemplate::restore)
    rights.insert(
        {Right::keys_create, Right::keys_wrap, Right::keys_restore, Right::secrets_set, Right::secrets_restore});
  return rights;
}

bool AccessPolicy::allows(const std::string& principal, Right right) const {
  const auto found = principals_.find(principal);
  return found != principals_.end() && found->second.contains(right);
}

void AccessPolicy::grant(const std::string& principal, const Rights& rights) {
  if (!rights.empty()) principals_[principal].insert(rights.begin(), rights.end());
}

Result<void> AccessPolicy::revoke(const std::string& principal, const Rights& rights) {
  const auto found = principals_.find(principal);
  if (found == principals_.end()) {
    std::vector<std::string> names;
    for (const auto& [name, its_rights] : principals_) names.push_back(name);
    const auto nearest = nearest_name(principal, names);
    return fail(ErrorCode::no_such_principal, "revoke rights of", principal,
                nearest ? "the policy has no such principal; did you mean " + *nearest + "?" : "");
  }
  Rights left;
  std::ranges::set_difference(found->second, rights, std::inserter(left, left.end()));
  const bool still_administered =
      left.contains(Right::policy_set) || std::ranges::any_of(principals_, [&](const auto& other) {
        return other.first != principal && other.second.contains(Right::policy_set);
      });
  if (!still_administered && found->second.contains(Right::policy_set))
    return fail(ErrorCode::last_administrator, "revoke rights of", principal,
                "it is the last principal with the right policy:set");
  if (left.empty())
    principals_.erase(found);
  else
    found->second = std::move(left);
  return {};
}

Error denied(const std::string& vault, const std::string& principal, Right right, const std::string& object) {
  const RightFacts& facts = facts_of(right);
  const std::string name(facts.name);
  // What backups need is granted at once: who lacks one of these rights mostly lacks all.
  const bool for_backups = rights_of(RightsTemplate::backup).contains(right);
  return {ErrorCode::vault_denied,
          std::string(facts.doing),
          object,
          "principal " + principal + " has no right " + name + " in key vault " + vault,
          0,
          "\"cairn vault grant " + principal + " " + (for_backups ? "--template backup" : name) + " --vault " + vault +
              "\" grants " + (for_backups ? "what backups need" : "it")};
}

}  // namespace cairn
