// SPDX-License-Identifier: GPL-3.0-or-later
// What command lines ask for, what is refused, and what can be completed.
#include "daemon/cli/grammar/parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "config/base/clock.h"
#include "daemon/cli/commands/registry.h"
#include "daemon/cli/grammar/completion.h"
#include "daemon/restore/restore_flags.h"

namespace cairn::cli {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Words = std::vector<std::string>;

Parsed parsed(const Words& words) {
  auto result = parse_words(all_commands(), words, nullptr);
  EXPECT_TRUE(result.has_value()) << (result ? "" : result.error().message());
  return std::move(result).value();
}
// A member of what these words ask for, by the option or positional that fills it.
bool flag_in(const Words& words, const std::string& option) {
  return parsed(words).value_of<bool>(option);
}
std::string text_in(const Words& words, const std::string& option) {
  return parsed(words).value_of<std::string>(option);
}
Words list_in(const Words& words, const std::string& option) {
  return parsed(words).value_of<Words>(option);
}

Completion completed(const Words& words) {
  return completion_of(all_commands(), words);
}

std::string refused(const Words& words) {
  const auto result = parse_words(all_commands(), words, nullptr);
  EXPECT_FALSE(result.has_value());
  if (result) return {};
  EXPECT_EQ(result.error().code, ErrorCode::used_wrongly);
  return result.error().message();
}

TEST(Arguments, BackupTakesMachinesOrAll) {
  EXPECT_THAT(list_in({"backup", "web-01", "db-01"}, "machines"), ElementsAre("web-01", "db-01"));
  EXPECT_TRUE(flag_in({"backup", "--all"}, "--all"));
  EXPECT_FALSE(flag_in({"backup", "--all"}, "--full-read"));
  EXPECT_TRUE(flag_in({"backup", "--full-read", "web-01"}, "--full-read"));
  EXPECT_THAT(refused({"backup"}), HasSubstr("no machine is named"));
  EXPECT_THAT(refused({"backup", "--all", "web-01"}), HasSubstr("both --all"));
}

TEST(Arguments, PruneTakesAMachineAndHowItIsDone) {
  const Parsed all = parsed({"prune"});
  EXPECT_EQ(all.value_of<std::string>("machine"), "");
  for (const char* option : {"--dry-run", "--accept-clock", "--accept-damage"})
    EXPECT_FALSE(all.value_of<bool>(option)) << option;
  EXPECT_EQ(all.value_of<std::uint64_t>("--rate"), 0U);
  const Parsed one = parsed({"prune", "web-01", "--dry-run", "--accept-clock", "--accept-damage", "--rate", "50MiB"});
  EXPECT_EQ(one.value_of<std::string>("machine"), "web-01");
  for (const char* option : {"--dry-run", "--accept-clock", "--accept-damage"})
    EXPECT_TRUE(one.value_of<bool>(option)) << option;
  EXPECT_EQ(one.value_of<std::uint64_t>("--rate"), 50U * 1024 * 1024);
  for (const char* rate : {"fast", "0", "-1"})
    EXPECT_THAT(refused({"prune", std::string("--rate=") + rate}), HasSubstr("is no size")) << rate;
}

TEST(Arguments, DeleteAndUndeleteTakePoints) {
  const Words both{"delete", "web@1", "web@2", "--yes"};
  EXPECT_THAT(list_in(both, "points"), ElementsAre("web@1", "web@2"));
  EXPECT_TRUE(flag_in(both, "--yes"));
  EXPECT_FALSE(flag_in({"delete", "web@1"}, "--yes"));
  EXPECT_THAT(refused({"delete"}), HasSubstr("MACHINE@POINT is missing"));
  EXPECT_THAT(list_in({"undelete", "web@1", "web@2"}, "points"), ElementsAre("web@1", "web@2"));
  EXPECT_THAT(refused({"undelete"}), HasSubstr("MACHINE@POINT is missing"));
}

TEST(Arguments, ProtectTakesADateOrATimeOrAnEnd) {
  EXPECT_FALSE(parsed({"protect", "web@1"}).value_of<std::optional<UtcTime>>("--until"));
  EXPECT_EQ(parsed({"protect", "web@1", "--until", "2027-12-31"}).value_of<std::optional<UtcTime>>("--until"),
            parse_iso_time("2027-12-31T00:00:00Z"));
  EXPECT_EQ(parsed({"protect", "web@1", "--until", "2027-12-31T12:00:00Z"}).value_of<std::optional<UtcTime>>("--until"),
            parse_iso_time("2027-12-31T12:00:00Z"));
  EXPECT_TRUE(flag_in({"protect", "web@1", "--off"}, "--off"));
  EXPECT_THAT(refused({"protect"}), HasSubstr("MACHINE@POINT is missing"));
  EXPECT_THAT(refused({"protect", "web@1", "--off", "--until", "2027-12-31"}), HasSubstr("both --off and --until"));
  for (const char* date : {"tomorrow", "2027-02-30", "31.12.2027"})
    EXPECT_THAT(refused({"protect", "web@1", "--until", date}), HasSubstr("is no date")) << date;
}

TEST(Arguments, PointsListsDeletedOnes) {
  EXPECT_TRUE(flag_in({"points", "--deleted"}, "--deleted"));
  EXPECT_EQ(text_in({"points", "web", "--deleted"}, "machine"), "web");
  EXPECT_THAT(refused({"points", "web@latest", "--deleted"}), HasSubstr("a single point"));
}

TEST(Arguments, DeletedPointsCompleteForUndelete) {
  EXPECT_EQ(completed({"undelete", "web@"}).kind, Completes::deleted_points);
  EXPECT_EQ(completed({"undelete", "web@1", "web@"}).kind, Completes::deleted_points);
  EXPECT_EQ(completed({"delete", "web@1", "web@"}).kind, Completes::points);
  EXPECT_EQ(completed({"protect", "web@"}).kind, Completes::points);
  EXPECT_EQ(completed({"prune", "w"}).kind, Completes::machines);
}

TEST(Arguments, AMachineMayHaveTheNameOfACommand) {
  EXPECT_THAT(list_in({"backup", "status", "points"}, "machines"), ElementsAre("status", "points"));
  EXPECT_EQ(text_in({"points", "store"}, "machine"), "store");
}

TEST(Arguments, GlobalOptionsStandBeforeOrBehindTheCommand) {
  for (const Words& words :
       {Words{"--json", "--config", "/x.yaml", "points"}, Words{"points", "--json", "--config=/x.yaml"},
        Words{"--json", "points", "web", "--config", "/x.yaml"}}) {
    const auto arguments = parse_words(all_commands(), words, "/environment.yaml");
    ASSERT_TRUE(arguments.has_value());
    EXPECT_TRUE(arguments->globals.json);
    EXPECT_EQ(arguments->globals.settings_file, "/x.yaml");
  }
  const auto keys =
      parse_words(all_commands(), {"store", "keys", "list", "--json", "--no-daemon", "--recovery-key", "-"}, nullptr);
  ASSERT_TRUE(keys.has_value());
  EXPECT_TRUE(keys->globals.json);
  EXPECT_TRUE(keys->globals.no_daemon);
  EXPECT_EQ(keys->globals.recovery_key, "-");
}

TEST(Arguments, TheSettingsFileComesFromTheOptionThenTheEnvironmentThenTheDefault) {
  EXPECT_EQ(parse_words(all_commands(), {"status"}, "/environment.yaml")->globals.settings_file, "/environment.yaml");
  EXPECT_EQ(parse_words(all_commands(), {"status"}, "")->globals.settings_file, "/etc/cairn/cairn.yaml");
  EXPECT_EQ(parse_words(all_commands(), {"status"}, nullptr)->globals.settings_file, "/etc/cairn/cairn.yaml");
}

TEST(Arguments, StoreInitReadsTheChunkSize) {
  const Parsed command =
      parsed({"store", "init", "--chunk-size", "256KiB", "--create-key-file", "--recovery-key-out", "-"});
  EXPECT_EQ(command.value_of<std::optional<std::uint64_t>>("--chunk-size"), 256U * 1024);
  EXPECT_TRUE(command.value_of<bool>("--create-key-file"));
  EXPECT_EQ(command.value_of<std::string>("--recovery-key-out"), "-");
  EXPECT_THAT(refused({"store", "init", "--chunk-size", "big"}), HasSubstr("\"big\" is no size"));
}

TEST(Arguments, KeysAddTakesExactlyOneKey) {
  EXPECT_EQ(text_in({"store", "keys", "add", "--recovery"}, "--recovery-key-out"), "-");
  EXPECT_EQ(text_in({"store", "keys", "add", "--key-file", "f", "--label", "l"}, "--key-file"), "f");
  EXPECT_THAT(refused({"store", "keys", "add"}), HasSubstr("no key is named"));
  EXPECT_THAT(refused({"store", "keys", "add", "--passphrase", "--recovery"}), HasSubstr("more than one key"));
  EXPECT_THAT(refused({"store", "keys", "add", "--passphrase", "--recovery-key-out", "x"}),
              HasSubstr("--recovery only"));
}

TEST(Arguments, JobsListsShowsAndCancels) {
  EXPECT_EQ(parsed({"jobs", "--limit", "7"}).value_of<std::size_t>("--limit"), 7U);
  EXPECT_EQ(text_in({"jobs", "20261121T020000Z-3f9a1c"}, "job"), "20261121T020000Z-3f9a1c");
  EXPECT_EQ(text_in({"jobs", "cancel", "x"}, "job"), "x");
  EXPECT_EQ(parsed({"jobs", "--limit", "1000"}).value_of<std::size_t>("--limit"), 1000U);
  EXPECT_THAT(refused({"jobs", "--limit", "1001"}), HasSubstr("no number from 1 to 1000"));
  for (const char* limit : {"0", "-3", "x", "", "99999999999999999999"})
    EXPECT_FALSE(parse_words(all_commands(), {"jobs", std::string("--limit=") + limit}, nullptr).has_value()) << limit;
}

TEST(Arguments, LabelsOfKeysAreShortUtf8Text) {
  for (const Words& command : {Words{"store", "init"}, Words{"store", "keys", "add", "--recovery"}}) {
    const auto with = [&](const std::string& label) {
      Words words = command;
      words.push_back("--label=" + label);
      return words;
    };
    EXPECT_TRUE(parse_words(all_commands(), with(std::string(64, 'x')), nullptr).has_value());
    EXPECT_TRUE(parse_words(all_commands(), with("n\xc3\xb8kkel \xe2\x82\xac"), nullptr).has_value());
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
  EXPECT_TRUE(flag_in({"restore", "a@b", "--to", "/x", "--salvage"}, "--salvage"));
  EXPECT_FALSE(flag_in({"restore", "a@b", "--to", "/x"}, "--salvage"));
  EXPECT_TRUE(flag_in({"store", "recover", "a@b", "--to", "/x", "--salvage"}, "--salvage"));
  const std::string header = refused({"restore", "a@b", "--to", "/x", "--salvage", "--header-only"});
  EXPECT_THAT(header, HasSubstr("a header with holes opens nothing; leave it out"));
  EXPECT_EQ(refused({"restore", "a@b", "--in-place", "/dev/x", "--salvage", "--header-only"}), header);
  EXPECT_THAT(refused({"store", "recover", "--salvage"}), HasSubstr("name MACHINE@POINT, and add --to DIR"));
  EXPECT_THAT(completed({"restore", "--sal"}).words, ElementsAre("--salvage"));
  EXPECT_THAT(completed({"store", "recover", "--sal"}).words, ElementsAre("--salvage"));
}

TEST(Arguments, RestoreTakesEveryFlagThatItsRequestHas) {
  for (const RestoreFlag& flag : kRestoreFlags) {
    std::string option = std::string("--") + flag.name;
    std::ranges::replace(option, '_', '-');
    EXPECT_TRUE(flag_in({"restore", "a@b", "--to", "/x", option}, option)) << option;
    EXPECT_FALSE(flag_in({"restore", "a@b", "--to", "/x"}, option)) << option;
    EXPECT_THAT(completed({"restore", option}).words, Contains(option));
  }
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

Words split(const std::string& name) {
  Words words;
  for (std::size_t at = 0; at < name.size();) {
    const std::size_t end = std::min(name.find(' ', at), name.size());
    words.push_back(name.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

// The text that `words`, which ask for help, are answered with.
std::string help_for(const Words& words) {
  const Parsed asked = parsed(words);
  EXPECT_EQ(asked.command->words, "help");
  const auto text = help_on(all_commands(), asked.value_of<Words>("command"));
  return text ? *text : text.error().message();
}

TEST(Arguments, EveryCommandHasHelpWithAnExample) {
  std::vector<std::string> names;
  for (const CommandSpec& command : all_commands()) {
    EXPECT_FALSE(command.words.empty() || command.summary.empty()) << command.words;
    if (!command.run) continue;  // "store" only leads to others
    EXPECT_FALSE(command.examples.empty()) << command.words;
    if (command.hidden) continue;
    const std::string& name = command.words;
    names.push_back(name);
    Words words = split(name);
    words.emplace_back("--help");
    const std::string by_option = help_for(words);
    EXPECT_THAT(by_option, HasSubstr("cairn " + name));
    EXPECT_THAT(by_option, HasSubstr("Example")) << name;
    EXPECT_THAT(by_option, HasSubstr(command.summary));
    words.pop_back();
    words.insert(words.begin(), "help");
    EXPECT_EQ(help_for(words), by_option) << name;
  }
  EXPECT_THAT(names, Contains("store keys add"));
  EXPECT_THAT(help_for({"--help"}), HasSubstr("restore"));
  EXPECT_THAT(help_for({"help"}), Not(HasSubstr("__complete")));
}

TEST(Arguments, EveryOptionFillsItsCommandsOwnStruct) {
  for (const CommandSpec& command : all_commands()) {
    for (const OptionSpec& option : command.options) {
      EXPECT_FALSE(option.help.empty()) << command.words << " " << option.names;
      EXPECT_NO_THROW((void)option.get(command.values)) << command.words << " " << option.names;
    }
  }
  for (const OptionSpec& option : global_options()) EXPECT_NO_THROW((void)option.get(Values(GlobalOptions{})));
}

TEST(Arguments, VersionIsACommandAndAnOption) {
  EXPECT_EQ(parsed({"version"}).command->words, "version");
  EXPECT_EQ(parsed({"--version"}).command->words, "version");
}

TEST(Arguments, JsonIsSeenInWordsThatCannotBeParsed) {
  EXPECT_TRUE(asks_for_json({"bakcup", "--json"}));
  EXPECT_FALSE(asks_for_json({"explain", "--", "--json"}));
}

TEST(Completion, OffersCommandsAndOptions) {
  EXPECT_THAT(completed({"ba"}).words, ElementsAre("backup"));
  EXPECT_THAT(completed({"store", ""}).words,
              ElementsAre("init", "info", "rebuild-index", "accept-rollback", "recover", "keys"));
  EXPECT_THAT(completed({"--json", "store", "keys", "re"}).words, ElementsAre("remove"));
  EXPECT_THAT(completed({"restore", "--d"}).words, ElementsAre("--disk"));
  EXPECT_THAT(completed({"restore", "--"}).words, Contains("--json"));
  EXPECT_THAT(completed({"help", "sta"}).words, ElementsAre("status"));
  EXPECT_THAT(completed({"__"}).words, IsEmpty());
}

TEST(Completion, KnowsWhatStandsWhere) {
  using Kind = Completes;
  EXPECT_EQ(completed({"backup", ""}).kind, Kind::machines);
  EXPECT_EQ(completed({"backup", "a", "b"}).kind, Kind::machines);
  EXPECT_EQ(completed({"points", "w"}).kind, Kind::machines_or_points);
  EXPECT_EQ(completed({"points", "w", ""}).kind, Kind::words);
  EXPECT_EQ(completed({"restore", "w"}).kind, Kind::points);
  EXPECT_EQ(completed({"restore", "--to", ""}).kind, Kind::files);
  EXPECT_EQ(completed({"restore", "--to", "/x", "w"}).kind, Kind::points);
  EXPECT_EQ(completed({"restore", "--force", "w"}).kind, Kind::points);
  EXPECT_EQ(completed({"explain", "st"}).kind, Kind::error_names);
  EXPECT_EQ(completed({"mount", ""}).kind, Kind::files);
  EXPECT_EQ(completed({"--config", ""}).kind, Kind::files);
  EXPECT_EQ(completed({"--config", "/x.yaml", "backup", ""}).settings_file, "/x.yaml");
}

}  // namespace
}  // namespace cairn::cli
