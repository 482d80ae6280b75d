// SPDX-License-Identifier: GPL-3.0-or-later
// Errors: messages, the catalogue, exit codes, near names.
#include "config/base/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <set>

#include "config/base/result.h"

namespace cairn {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

TEST(Error, SaysWhatFailedOnWhichObjectWhyAndWhatToDo) {
  const Error error{ErrorCode::store_locked, "open store", "/srv/s", "locked by backup (pid 812)", 0,
                    "wait until it ends"};
  EXPECT_EQ(error.message(), "cannot open store /srv/s: locked by backup (pid 812); wait until it ends");
  EXPECT_EQ(error.name(), "store-locked");
}

TEST(Error, TakesReasonAndResolutionFromTheCatalogueWhenThereIsNoOther) {
  const Error error{ErrorCode::no_space, "write pack", "/srv/s/packs/ab", {}, 0, {}};
  const CatalogueEntry& entry = catalogue_entry(ErrorCode::no_space);
  EXPECT_EQ(error.message(),
            "cannot write pack /srv/s/packs/ab: " + std::string(entry.title) + "; " + std::string(entry.hint));
}

TEST(Error, NamesTheSystemsReason) {
  const Error error = fail_errno(ENOENT, "open image", "/x", ErrorCode::image_missing).error();
  EXPECT_EQ(error.code, ErrorCode::image_missing);
  EXPECT_EQ(error.sys_errno, ENOENT);
  EXPECT_THAT(error.message(), HasSubstr("No such file or directory"));
}

TEST(Error, GivesFullDisksAndMissingRightsTheirOwnCodes) {
  EXPECT_EQ(fail_errno(ENOSPC, "write", "x").error().code, ErrorCode::no_space);
  EXPECT_EQ(fail_errno(EDQUOT, "write", "x").error().code, ErrorCode::no_space);
  EXPECT_EQ(fail_errno(EACCES, "write", "x").error().code, ErrorCode::permission_denied);
  EXPECT_EQ(fail_errno(EMFILE, "open", "x").error().code, ErrorCode::too_many_open_files);
  EXPECT_EQ(fail_errno(ENFILE, "open", "x").error().code, ErrorCode::too_many_open_files);
  EXPECT_EQ(fail_errno(EFBIG, "write", "x").error().code, ErrorCode::file_size_limit);
  EXPECT_EQ(fail_errno(EIO, "write", "x").error().code, ErrorCode::io_error);
}

TEST(ErrorCatalogue, HasACompleteEntryForEveryCode) {
  const auto catalogue = error_catalogue();
  // The last code of the enumeration; a new one at the end belongs here.
  const auto codes = static_cast<std::size_t>(ErrorCode::less_consistent) + 1;
  EXPECT_EQ(catalogue.size(), codes);
  std::set<ErrorCode> seen;
  for (const CatalogueEntry& entry : catalogue) {
    SCOPED_TRACE(entry.name);
    EXPECT_TRUE(seen.insert(entry.code).second) << "a code twice";
    EXPECT_LT(static_cast<std::size_t>(entry.code), codes);
    EXPECT_EQ(&catalogue_entry(entry.code), &entry);
    EXPECT_EQ(find_catalogue_entry(entry.name), &entry);
    for (const std::string_view text : {entry.title, entry.detail, entry.resolution, entry.hint}) {
      EXPECT_FALSE(text.empty());
      EXPECT_EQ(text.find('\n'), std::string_view::npos);
    }
    EXPECT_THAT(std::string(entry.detail), EndsWith("."));
    EXPECT_NE(entry.hint.back(), '.');
    EXPECT_GT(to_errno(Error{entry.code, "", "", "", 0, ""}), 0);
  }
  EXPECT_EQ(seen.size(), codes);
}

TEST(ErrorCatalogue, NamesAreUniqueKebabCase) {
  std::set<std::string_view> names;
  for (const CatalogueEntry& entry : error_catalogue()) {
    EXPECT_TRUE(names.insert(entry.name).second) << entry.name;
    EXPECT_THAT(std::string(entry.name), testing::MatchesRegex("[a-z]+(-[a-z0-9]+)*"));
  }
  EXPECT_EQ(find_catalogue_entry("no-such-name"), nullptr);
  EXPECT_EQ(find_catalogue_entry("machine-busy"), &catalogue_entry(ErrorCode::job_conflict)) << "its former name";
  EXPECT_EQ(find_catalogue_entry("point-exists"), &catalogue_entry(ErrorCode::object_exists));
  EXPECT_EQ(find_catalogue_entry(""), nullptr);
}

TEST(ErrorCatalogue, KnowsFormerNames) {
  ASSERT_NE(find_catalogue_entry("machine-busy"), nullptr);
  EXPECT_EQ(find_catalogue_entry("machine-busy")->code, ErrorCode::job_conflict);
  ASSERT_NE(find_catalogue_entry("point-exists"), nullptr);
  EXPECT_EQ(find_catalogue_entry("point-exists")->code, ErrorCode::object_exists);
  for (const FormerErrorName& name : former_error_names()) {
    ASSERT_NE(find_catalogue_entry(name.former), nullptr) << name.former;
    EXPECT_EQ(find_catalogue_entry(name.former), find_catalogue_entry(name.name)) << name.former;
    for (const CatalogueEntry& entry : error_catalogue()) EXPECT_NE(entry.name, name.former) << "a name in use";
  }
}

TEST(ErrorCatalogue, SaysWhatInterfacesMakeOfACode) {
  const auto error = [](ErrorCode code) { return Error{code, "", "", "", 0, ""}; };
  EXPECT_EQ(to_errno(error(ErrorCode::out_of_memory)), ENOMEM);
  EXPECT_EQ(to_errno(error(ErrorCode::chunk_damaged)), EIO);
  EXPECT_EQ(to_http_status(error(ErrorCode::no_such_point)), 404);
  EXPECT_EQ(to_http_status(error(ErrorCode::chunk_damaged)), 500);
  for (const CatalogueEntry& entry : error_catalogue())
    EXPECT_TRUE(entry.http_status >= 400 && entry.http_status < 600) << entry.name;
}

TEST(ErrorCatalogue, DamageIsWhatAnotherTryFindsAgain) {
  std::set<ErrorCode> damage;
  for (const CatalogueEntry& entry : error_catalogue())
    if (is_damage_error(Error{entry.code, "", "", "", 0, ""})) damage.insert(entry.code);
  using enum ErrorCode;
  EXPECT_EQ(damage, (std::set<ErrorCode>{object_missing, pack_damaged, chunk_damaged, chunk_missing, map_damaged,
                                         point_damaged, point_missing, store_damaged, store_too_new, not_a_store}));
}

TEST(Error, EndsTheProcessWithTwoOnlyWhenItWasUsedWrongly) {
  EXPECT_EQ(to_exit_code(Error{ErrorCode::used_wrongly, "", "", "", 0, ""}), ExitCode::used_wrongly);
  EXPECT_EQ(to_exit_code(Error{ErrorCode::wrong_key, "", "", "", 0, ""}), ExitCode::failed);
  EXPECT_EQ(to_exit_code(Error{ErrorCode::internal, "", "", "", 0, ""}), ExitCode::failed);
}

TEST(NearestName, FindsASlipOfTheFingers) {
  const std::vector<std::string> names{"schedule", "timezone", "retention", "jitter"};
  EXPECT_EQ(nearest_name("schedul", names), "schedule");
  EXPECT_EQ(nearest_name("shcedule", names), "schedule");
  EXPECT_EQ(nearest_name("retension", names), "retention");
  EXPECT_EQ(nearest_name("jiter", names), "jitter");
}

TEST(NearestName, StaysSilentWhenNothingIsNear) {
  const std::vector<std::string> names{"schedule", "timezone"};
  EXPECT_EQ(nearest_name("colour", names), std::nullopt);
  EXPECT_EQ(nearest_name("", names), std::nullopt);
  EXPECT_EQ(nearest_name("x", {}), std::nullopt);
  EXPECT_EQ(nearest_name(std::string(100'000, 's'), names), std::nullopt);
}

Result<int> half(int value) {
  if (value % 2 != 0) return fail(ErrorCode::used_wrongly, "halve", std::to_string(value), "it is odd");
  return value / 2;
}
Result<int> quarter(int value) {
  CAIRN_TRY(const int halved, half(value));
  CAIRN_TRY(const int result, half(halved));
  return result;
}

TEST(Result, PassesTheFirstErrorOn) {
  ASSERT_TRUE(quarter(8));
  EXPECT_EQ(*quarter(8), 2);
  ASSERT_FALSE(quarter(6));
  EXPECT_EQ(quarter(6).error().object, "3");
}

}  // namespace
}  // namespace cairn
