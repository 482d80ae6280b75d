// SPDX-License-Identifier: GPL-3.0-or-later
// What command lines ask for, what is refused, and what can be completed.
#include "daemon/cli/grammar/arguments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cairn::cli {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Words = std::vector<std::string>;

template <class C>
C parsed(const Words& words) {
  const auto arguments = parse_arguments(words, nullptr);
  EXPECT_TRUE(arguments.has_value()) << (arguments ? "" : arguments.error().message());
  if (!arguments) return {};
  EXPECT_TRUE(std::holds_alternative<C>(arguments->command));
  const C* command = std::get_if<C>(&arguments->command);
  return command != nullptr ? *command : C{};
}

std::string refused(const Words& words) {
  const auto arguments = parse_arguments(words, nullptr);
  EXPECT_FALSE(arguments.has_value());
  if (arguments) return {};
  EXPECT_EQ(arguments.error().code, ErrorCode::used_wrongly);
  return arguments.error().message();
}

TEST(Arguments, BackupTakesMachinesOrAll) {
  EXPECT_THAT(parsed<BackupCommand>({"backup", "web-01", "db-01"}).machines, ElementsAre("web-01", "db-01"));
  EXPECT_TRUE(parsed<BackupCommand>({"backup", "--all"}).all);
  EXPECT_FALSE(parsed<BackupCommand>({"backup", "--all"}).full_read);
  EXPECT_TRUE(parsed<BackupCommand>({"backup", "--full-read", "web-01"}).full_read);
  EXPECT_THAT(refused({"backup"}), HasSubstr("no machine is named"));
  EXPECT_THAT(refused({"backup", "--all", "web-01"}), HasSubstr("both --all"));
}

TEST(Arguments, PruneTakesAMachineAndHowItIsDone) {
  const auto all = parsed<PruneCommand>({"prune"});
  EXPECT_EQ(all.machine, "");
  EXPECT_FALSE(all.dry_run || all.accept_clock || all.accept_damage);
  EXPECT_EQ(all.rate, 0U);
  const auto one =
      parsed<PruneCommand>({"prune", "web-01", "--dry-run", "--accept-clock", "--accept-damage", "--rate", "50MiB"});
  EXPECT_EQ(one.machine, "web-01");
  EXPECT_TRUE(one.dry_run && one.accept_clock && one.accept_damage);
  EXPECT_EQ(one.rate, 50U * 1024 * 1024);
  for (const char* rate : {"fast", "0", "-1"})
    EXPECT_THAT(refused({"prune", std::string("--rate=") + rate}), HasSubstr("is no size")) << rate;
}

TEST(Arguments, DeleteAndUndeleteTakePoints) {
  const auto command = parsed<DeleteCommand>({"delete", "web@1", "web@2", "--yes"});
  EXPECT_THAT(command.points, ElementsAre("web@1", "web@2"));
  EXPECT_TRUE(command.yes);
  EXPECT_FALSE(parsed<DeleteCommand>({"delete", "web@1"}).yes);
  EXPECT_THAT(refused({"delete"}), HasSubstr("MACHINE@POINT is missing"));
  EXPECT_THAT(parsed<UndeleteCommand>({"undelete", "web@1", "web@2"}).points, ElementsAre("web@1", "web@2"));
  EXPECT_THAT(refused({"undelete"}), HasSubstr("MACHINE@POINT is missing"));
}

TEST(Arguments, ProtectTakesADateOrATimeOrAnEnd) {
  EXPECT_FALSE(parsed<ProtectCommand>({"protect", "web@1"}).until);
  EXPECT_EQ(parsed<ProtectCommand>({"protect", "web@1", "--until", "2027-12-31"}).until,
            parse_iso_time("2027-12-31T00:00:00Z"));
  EXPECT_EQ(parsed<ProtectCommand>({"protect", "web@1", "--until", "2027-12-31T12:00:00Z"}).until,
            parse_iso_time("2027-12-31T12:00:00Z"));
  EXPECT_TRUE(parsed<ProtectCommand>({"protect", "web@1", "--off"}).off);
  EXPECT_THAT(refused({"protect"}), HasSubstr("MACHINE@POINT is missing"));
  EXPECT_THAT(refused({"protect", "web@1", "--off", "--until", "2027-12-31"}), HasSubstr("both --off and --until"));
  for (const char* date : {"tomorrow", "2027-02-30", "31.12.2027"})
    EXPECT_THAT(refused({"protect", "web@1", "--until", date}), HasSubstr("is no date")) << date;
}

TEST(Arguments, PointsListsDeletedOnes) {
  EXPECT_TRUE(parsed<PointsCommand>({"points", "--deleted"}).deleted);
  EXPECT_EQ(parsed<PointsCommand>({"points", "web", "--deleted"}).what, "web");
  EXPECT_THAT(refused({"points", "web@latest", "--deleted"}), HasSubstr("a single point"));
}

TEST(Arguments, DeletedPointsCompleteForUndelete) {
  EXPECT_EQ(completion_of({"undelete", "web@"}).kind, Completion::Kind::deleted_points);
  EXPECT_EQ(completion_of({"undelete", "web@1", "web@"}).kind, Completion::Kind::deleted_points);
  EXPECT_EQ(completion_of({"delete", "web@1", "web@"}).kind, Completion::Kind::points);
  EXPECT_EQ(completion_of({"protect", "web@"}).kind, Completion::Kind::points);
  EXPECT_EQ(completion_of({"prune", "w"}).kind, Completion::Kind::machines);
}

TEST(Arguments, AMachineMayHaveTheNameOfACommand) {
  EXPECT_THAT(parsed<BackupCommand>({"backup", "status", "points"}).machines, ElementsAre("status", "points"));
  EXPECT_EQ(parsed<PointsCommand>({"points", "store"}).what, "store");
}

TEST(Arguments, GlobalOptionsStandBeforeOrBehindTheCommand) {
  for (const Words& words :
       {Words{"--json", "--config", "/x.yaml", "points"}, Words{"points", "--json", "--config=/x.yaml"},
        Words{"--json", "points", "web", "--config", "/x.yaml"}}) {
    const auto arguments = parse_arguments(words, "/environment.yaml");
    ASSERT_TRUE(arguments.has_value());
    EXPECT_TRUE(arguments->globals.json);
    EXPECT_EQ(arguments->globals.settings_file, "/x.yaml");
  }
  const auto keys = parse_arguments({"store", "keys", "list", "--json", "--no-daemon", "--recovery-key", "-"}, nullptr);
  ASSERT_TRUE(keys.has_value());
  EXPECT_TRUE(keys->globals.json);
  EXPECT_TRUE(keys->globals.no_daemon);
  EXPECT_EQ(keys->globals.recovery_key, "-");
}

TEST(Arguments, TheSettingsFileComesFromTheOptionThenTheEnvironmentThenTheDefault) {
  EXPECT_EQ(parse_arguments({"status"}, "/environment.yaml")->globals.settings_file, "/environment.yaml");
  EXPECT_EQ(parse_arguments({"status"}, "")->globals.settings_file, "/etc/cairn/cairn.yaml");
  EXPECT_EQ(parse_arguments({"status"}, nullptr)->globals.settings_file, "/etc/cairn/cairn.yaml");
}

TEST(Arguments, StoreInitReadsTheChunkSize) {
  const auto command = parsed<StoreInitCommand>(
      {"store", "init", "--chunk-size", "256KiB", "--create-key-file", "--recovery-key-out", "-"});
  EXPECT_EQ(command.chunk_size, 256U * 1024);
  EXPECT_TRUE(command.create_key_file);
  EXPECT_EQ(command.recovery_key_out, "-");
  EXPECT_THAT(refused({"store", "init", "--chunk-size", "big"}), HasSubstr("\"big\" is no size"));
}

TEST(Arguments, KeysAddTakesExactlyOneKey) {
  EXPECT_EQ(parsed<KeysAddCommand>({"store", "keys", "add", "--recovery"}).recovery_key_out, "-");
  EXPECT_EQ(parsed<KeysAddCommand>({"store", "keys", "add", "--key-file", "f", "--label", "l"}).file, "f");
  EXPECT_THAT(refused({"store", "keys", "add"}), HasSubstr("no key is named"));
  EXPECT_THAT(refused({"store", "keys", "add", "--passphrase", "--recovery"}), HasSubstr("more than one key"));
  EXPECT_THAT(refused({"store", "keys", "add", "--passphrase", "--recovery-key-out", "x"}),
              HasSubstr("--recovery only"));
}

TEST(Arguments, JobsListsShowsAndCancels) {
  EXPECT_EQ(parsed<JobsCommand>({"jobs", "--limit", "7"}).limit, 7U);
  EXPECT_EQ(parsed<JobsCommand>({"jobs", "20261121T020000Z-3f9a1c"}).id, "20261121T020000Z-3f9a1c");
  EXPECT_EQ(parsed<JobsCancelCommand>({"jobs", "cancel", "x"}).id, "x");
  EXPECT_EQ(parsed<JobsCommand>({"jobs", "--limit", "1000"}).limit, 1000U);
  EXPECT_THAT(refused({"jobs", "--limit", "1001"}), HasSubstr("no number from 1 to 1000"));
  for (const char* limit : {"0", "-3", "x", "", "99999999999999999999"})
    EXPECT_FALSE(parse_arguments({"jobs", std::string("--limit=") + limit}, nullptr).has_value()) << limit;
}

TEST(Arguments, LabelsOfKeysAreShortUtf8Text) {
  for (const Words& command : {Words{"store", "init"}, Words{"store", "keys", "add", "--recovery"}}) {
    const auto with = [&](const std::string& label) {
      Words words = command;
      words.push_back("--label=" + label);
      return words;
    };
    EXPECT_TRUE(parse_arguments(with(std::string(64, 'x')), nullptr).has_value());
    EXPECT_TRUE(parse_arguments(with("n\xc3\xb8kkel \xe2\x82\xac"), nullptr).has_value());
    EXPECT_THAT(refused(with(std::string(65, 'x'))), HasSubstr("is 65 bytes long"));
    EXPECT_THAT(refused(with("a\xff")), HasSubstr("is not UTF-8 text"));
    EXPECT_THAT(refused(with("a\xe2\x82")), HasSubstr("is not UTF-8 text"));
    for (const char* control : {"a\nb", "\x1b[2J", "a\x7f", "a\xc2\x9b"})
      EXPECT_THAT(refused(with(control)), HasSubstr("has control characters"));
    Words empty = command;
    empty.insert(empty.end(), {"--label", ""});
    EXPECT_THAT(refused(empty), HasSubstr("its label is empty"));
  }
}

TEST(Arguments, SalvageIsForWholeDisks) {
  EXPECT_TRUE(parsed<RestoreCommand>({"restore", "a@b", "--to", "/x", "--salvage"}).salvage);
  EXPECT_FALSE(parsed<RestoreCommand>({"restore", "a@b", "--to", "/x"}).salvage);
  EXPECT_TRUE(parsed<StoreRecoverCommand>({"store", "recover", "a@b", "--to", "/x", "--salvage"}).salvage);
  const std::string header = refused({"restore", "a@b", "--to", "/x", "--salvage", "--header-only"});
  EXPECT_THAT(header, HasSubstr("a header with holes opens nothing; leave it out"));
  EXPECT_EQ(refused({"restore", "a@b", "--in-place", "/dev/x", "--salvage", "--header-only"}), header);
  EXPECT_THAT(refused({"store", "recover", "--salvage"}), HasSubstr("name MACHINE@POINT, and add --to DIR"));
  EXPECT_THAT(completion_of({"restore", "--sal"}).words, ElementsAre("--salvage"));
  EXPECT_THAT(completion_of({"store", "recover", "--sal"}).words, ElementsAre("--salvage"));
}

TEST(Arguments, WhatIsMissingIsNamed) {
  EXPECT_THAT(refused({}), HasSubstr("no command is given"));
  EXPECT_THAT(refused({"store"}), HasSubstr("the rest of the command is missing"));
  EXPECT_THAT(refused({"store", "keys"}), HasSubstr("cairn store keys --help"));
  EXPECT_THAT(refused({"mount"}), HasSubstr("DIR is missing"));
  EXPECT_THAT(refused({"restore", "web@latest"}), HasSubstr("--to DIR is missing"));
  EXPECT_THAT(refused({"restore", "--to", "/x"}), HasSubstr("MACHINE@POINT is missing"));
  EXPECT_THAT(refused({"points", "--config"}), HasSubstr("--config"));
}

TEST(Arguments, ANearMissIsAnsweredWithTheRightWord) {
  EXPECT_THAT(refused({"bakcup", "web-01"}), HasSubstr("did you mean \"backup\"?"));
  EXPECT_THAT(refused({"store", "inti"}), HasSubstr("did you mean \"init\"?"));
  EXPECT_THAT(refused({"store", "keys", "remvoe", "x"}), HasSubstr("did you mean \"remove\"?"));
  EXPECT_THAT(refused({"mount", "/mnt", "--forground"}), HasSubstr("did you mean \"--foreground\"?"));
  EXPECT_THAT(refused({"points", "--jsno"}), HasSubstr("did you mean \"--json\"?"));
  EXPECT_THAT(refused({"restore", "a@b", "--to", "/x", "--dsik=root"}), HasSubstr("did you mean \"--disk\"?"));
  EXPECT_THAT(refused({"help", "bakcup"}), HasSubstr("did you mean \"backup\"?"));
}

TEST(Arguments, WhatIsUnlikeAnythingIsAnsweredWithTheHelp) {
  EXPECT_THAT(refused({"frobnicate"}), HasSubstr("cairn --help"));
  EXPECT_THAT(refused({"mount", "/mnt", "/other"}), HasSubstr("one word too many: \"/other\""));
  EXPECT_THAT(refused({"-x"}), HasSubstr("there is no option -x"));
}

TEST(Arguments, EveryCommandHasHelpWithAnExample) {
  for (const std::string& name : command_names()) {
    if (name == "version") continue;
    Words words;
    for (std::size_t at = 0; at < name.size();) {
      const std::size_t end = std::min(name.find(' ', at), name.size());
      words.push_back(name.substr(at, end - at));
      at = end + 1;
    }
    words.emplace_back("--help");
    const auto by_option = parsed<HelpCommand>(words);
    EXPECT_THAT(by_option.text, HasSubstr("cairn " + name));
    EXPECT_THAT(by_option.text, HasSubstr("Example")) << name;
    words.pop_back();
    if (name == "help") continue;
    words.insert(words.begin(), "help");
    EXPECT_EQ(parsed<HelpCommand>(words).text, by_option.text) << name;
  }
  EXPECT_THAT(command_names(), Contains("store keys add"));
  EXPECT_THAT(parsed<HelpCommand>({"--help"}).text, HasSubstr("restore"));
  EXPECT_THAT(parsed<HelpCommand>({"help"}).text, Not(HasSubstr("__complete")));
}

TEST(Arguments, VersionIsACommandAndAnOption) {
  (void)parsed<VersionCommand>({"version"});
  (void)parsed<VersionCommand>({"--version"});
}

TEST(Arguments, JsonIsSeenInWordsThatCannotBeParsed) {
  EXPECT_TRUE(asks_for_json({"bakcup", "--json"}));
  EXPECT_FALSE(asks_for_json({"explain", "--", "--json"}));
}

TEST(Completion, OffersCommandsAndOptions) {
  EXPECT_THAT(completion_of({"ba"}).words, ElementsAre("backup"));
  EXPECT_THAT(completion_of({"store", ""}).words, ElementsAre("init", "info", "rebuild-index", "recover", "keys"));
  EXPECT_THAT(completion_of({"--json", "store", "keys", "re"}).words, ElementsAre("remove"));
  EXPECT_THAT(completion_of({"restore", "--d"}).words, ElementsAre("--disk"));
  EXPECT_THAT(completion_of({"restore", "--"}).words, Contains("--json"));
  EXPECT_THAT(completion_of({"help", "sta"}).words, ElementsAre("status"));
  EXPECT_THAT(completion_of({"__"}).words, IsEmpty());
}

TEST(Completion, KnowsWhatStandsWhere) {
  using Kind = Completion::Kind;
  EXPECT_EQ(completion_of({"backup", ""}).kind, Kind::machines);
  EXPECT_EQ(completion_of({"backup", "a", "b"}).kind, Kind::machines);
  EXPECT_EQ(completion_of({"points", "w"}).kind, Kind::machines_or_points);
  EXPECT_EQ(completion_of({"points", "w", ""}).kind, Kind::words);
  EXPECT_EQ(completion_of({"restore", "w"}).kind, Kind::points);
  EXPECT_EQ(completion_of({"restore", "--to", ""}).kind, Kind::files);
  EXPECT_EQ(completion_of({"restore", "--to", "/x", "w"}).kind, Kind::points);
  EXPECT_EQ(completion_of({"restore", "--force", "w"}).kind, Kind::points);
  EXPECT_EQ(completion_of({"explain", "st"}).kind, Kind::error_names);
  EXPECT_EQ(completion_of({"mount", ""}).kind, Kind::files);
  EXPECT_EQ(completion_of({"--config", ""}).kind, Kind::files);
  EXPECT_EQ(completion_of({"--config", "/x.yaml", "backup", ""}).settings_file, "/x.yaml");
}

}  // namespace
}  // namespace cairn::cli
