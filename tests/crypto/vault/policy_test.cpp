// SPDX-License-Identifier: GPL-3.0-or-later
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crypto/vault/access_policy.h"

namespace cairn {
namespace {

using ::testing::HasSubstr;

TEST(AccessPolicyRights, HaveNamesThatComeBack) {
  EXPECT_EQ(all_rights().size(), 16U);
  std::set<std::string_view> names;
  for (const Right right : all_rights()) {
    EXPECT_EQ(parse_right(to_string(right)), right);
    names.insert(to_string(right));
  }
  EXPECT_EQ(names.size(), 16U);
  EXPECT_EQ(to_string(Right::keys_unwrap), "keys:unwrap");
  EXPECT_FALSE(parse_right("keys:Unwrap"));
  EXPECT_FALSE(parse_right(""));
}

TEST(AccessPolicyTemplates, BackupChangesNothingAndAdminMayDoAll) {
  const Rights backup = rights_of(RightsTemplate::backup);
  EXPECT_EQ(backup, (Rights{Right::keys_get, Right::keys_list, Right::keys_backup, Right::keys_unwrap,
                            Right::secrets_get, Right::secrets_list, Right::secrets_backup}));
  const Rights restore = rights_of(RightsTemplate::restore);
  for (const Right right : backup) EXPECT_TRUE(restore.contains(right));
  for (const Right right :
       {Right::keys_create, Right::keys_wrap, Right::keys_restore, Right::secrets_set, Right::secrets_restore})
    EXPECT_TRUE(restore.contains(right) && !backup.contains(right)) << to_string(right);
  EXPECT_EQ(restore.size(), backup.size() + 5);
  EXPECT_EQ(rights_of(RightsTemplate::admin).size(), all_rights().size());
  for (const auto which : {RightsTemplate::backup, RightsTemplate::restore, RightsTemplate::admin})
    EXPECT_EQ(parse_rights_template(to_string(which)), which);
  EXPECT_FALSE(parse_rights_template("root"));
}

TEST(AccessPolicyOfAVault, AllowsWhatWasGrantedAndNothingElse) {
  AccessPolicy policy;
  EXPECT_FALSE(policy.allows("a", Right::keys_get));
  policy.grant("a", {Right::keys_get});
  policy.grant("a", {Right::keys_list});
  EXPECT_TRUE(policy.allows("a", Right::keys_get));
  EXPECT_TRUE(policy.allows("a", Right::keys_list));
  EXPECT_FALSE(policy.allows("a", Right::keys_wrap));
  EXPECT_FALSE(policy.allows("b", Right::keys_get));
  EXPECT_FALSE(policy.allows("", Right::keys_get));
  policy.grant("b", {});
  EXPECT_EQ(policy.principals().size(), 1U);
}

TEST(AccessPolicyOfAVault, RevokesAndForgetsPrincipalsWithoutRights) {
  AccessPolicy policy;
  policy.grant("admin", rights_of(RightsTemplate::admin));
  policy.grant("a", {Right::keys_get, Right::keys_list});
  ASSERT_TRUE(policy.revoke("a", {Right::keys_get, Right::keys_wrap}));
  EXPECT_FALSE(policy.allows("a", Right::keys_get));
  EXPECT_TRUE(policy.allows("a", Right::keys_list));
  ASSERT_TRUE(policy.revoke("a", {Right::keys_list}));
  EXPECT_FALSE(policy.principals().contains("a"));
  const auto refused = policy.revoke("admn", {Right::keys_get});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::no_such_principal);
  EXPECT_THAT(refused.error().message(), HasSubstr("did you mean admin?"));
}

TEST(AccessPolicyOfAVault, KeepsItsLastAdministrator) {
  AccessPolicy policy;
  policy.grant("a", rights_of(RightsTemplate::admin));
  policy.grant("b", rights_of(RightsTemplate::admin));
  ASSERT_TRUE(policy.revoke("a", {Right::policy_set}));
  const AccessPolicy before = policy;
  EXPECT_EQ(policy.revoke("b", rights_of(RightsTemplate::admin)).error().code, ErrorCode::last_administrator);
  EXPECT_EQ(policy.principals(), before.principals());
  EXPECT_TRUE(policy.revoke("b", {Right::keys_get}));
  EXPECT_TRUE(policy.allows("b", Right::policy_set));
}

TEST(AccessPolicyOfAVault, ARefusalNamesRightObjectPrincipalAndCommand) {
  const Error error = denied("main", "cairn-backup", Right::keys_unwrap, "key main/backup");
  EXPECT_EQ(error.code, ErrorCode::vault_denied);
  EXPECT_EQ(error.message(),
            "cannot unwrap with key main/backup: principal cairn-backup has no right keys:unwrap in key vault main; "
            "\"cairn vault grant cairn-backup --template backup --vault main\" grants what backups need");
}

}  // namespace
}  // namespace cairn
