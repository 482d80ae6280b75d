// SPDX-License-Identifier: GPL-3.0-or-later
// The man page and the completion scripts: they know every command and option, and their own tools accept them.
#include <gmock/gmock.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "daemon/cli/commands/registry.h"
#include "daemon/cli/grammar/manual.h"
#include "tests/daemon/cli/program.h"

namespace cairn::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// daemon/cli in the sources, where the bash completion is.
std::filesystem::path sources() {
  const char* const completion = std::getenv("CAIRN_COMPLETION");
  return completion == nullptr ? "no-CAIRN_COMPLETION" : std::filesystem::path(completion).parent_path();
}

class Manual : public ProgramTest {
 protected:
  // The page as the program makes it for the build.
  std::string page() {
    const Ended ended = execute({program_, "__man", sources() / "cairn.1.in"});
    EXPECT_EQ(ended.code, 0) << ended.err;
    return ended.out;
  }
  // True when there is such a program; PATH is the test's.
  bool has(const std::string& program) { return execute({"sh", "-c", "command -v " + program}).code == 0; }
};

std::string in_troff(std::string text) {
  for (std::size_t at = 0; (at = text.find('-', at)) != std::string::npos; at += 2) text.insert(at, 1, '\\');
  return text;
}

TEST_F(Manual, NamesEveryCommandAndOption) {
  const std::string made = page();
  for (const CommandSpec& command : all_commands()) {
    if (command.hidden || !command.run) continue;
    const std::string heading = "\n.SS " + in_troff(command.words) + "\n";
    const std::size_t begin = made.find(heading);
    ASSERT_NE(begin, std::string::npos) << command.words;
    const std::size_t end = std::min(made.find("\n.SS ", begin + 1), made.find("\n.SH ", begin + 1));
    const std::string section = made.substr(begin, end - begin);
    for (const OptionSpec& option : command.options)
      EXPECT_THAT(section, HasSubstr("\n.TP\n" + (option.is_positional() ? "\\fI" + in_troff(option.value)
                                                                         : "\\fB" + in_troff(option.names))))
          << command.words;
    for (const std::string& example : command.examples) {
      if (example.find('\'') != std::string::npos) continue;
      EXPECT_THAT(section, HasSubstr("\n" + in_troff(example) + "\n"));
    }
  }
  for (const char* option : {"--help", "--version", "--config", "--json", "--recovery-key", "--store", "--no-daemon"})
    EXPECT_THAT(made.substr(made.find(".SH OPTIONS")), HasSubstr("\\fB" + in_troff(option) + "\\fR"));
  EXPECT_THAT(made, Not(HasSubstr("__")));
  EXPECT_THAT(made, Not(HasSubstr("@COMMANDS@")));
  for (const char* heading : {"NAME", "EXIT STATUS", "ENVIRONMENT", "FILES", "SEE ALSO"})
    EXPECT_THAT(made, HasSubstr("\n.SH " + std::string(heading) + "\n"));
}

TEST_F(Manual, TextIsNeverTakenForTroff) {
  CommandSpec command;
  command.words = "odd";
  command.summary = ".TH of 'quotes' and \\backslashes";
  command.notes = ".so /etc/passwd\n'also this\n  .and this";
  command.run = [](Context&, const Values&) -> Result<ExitCode> { return ExitCode::done; };
  const auto made = manual_of({command}, "\n@COMMANDS@\n@OPTIONS@\n");
  ASSERT_TRUE(made.has_value());
  EXPECT_THAT(*made, HasSubstr("\n\\&.TH of \\(aqquotes\\(aq and \\ebackslashes.\n"));
  EXPECT_THAT(*made, HasSubstr("\n\\&.so /etc/passwd\n\\(aqalso this\n.nf\n  .and this\n.fi\n"));
  EXPECT_FALSE(manual_of({command}, "@COMMANDS@\n").has_value());
}

TEST_F(Manual, ManHasNothingToSayAgainstIt) {
  if (!has("man")) GTEST_SKIP() << "no man";
  write("cairn.1", page());
  const Ended ended = execute(
      {"sh", "-c", "LC_ALL=C.UTF-8 MANWIDTH=80 man --warnings -E UTF-8 -l \"$1\" >/dev/null", "sh", path("cairn.1")});
  EXPECT_EQ(ended.err, "");
}

TEST_F(Manual, MandocHasNothingToSayAgainstIt) {
  if (!has("mandoc")) GTEST_SKIP() << "no mandoc";
  write("cairn.1", page());
  const Ended ended = execute({"mandoc", "-T", "lint", "-W", "warning", path("cairn.1")});
  EXPECT_EQ(ended.out + ended.err, "");
}

class Scripts : public Manual {
 protected:
  void expect_accepted(const std::string& shell) {
    if (!has(shell)) GTEST_SKIP() << "no " << shell;
    const Ended ended = execute({shell, "-n", sources() / ("completion." + shell)});
    EXPECT_EQ(ended.code, 0);
    EXPECT_EQ(ended.out + ended.err, "");
  }
};

TEST_F(Scripts, BashAcceptsItsOwn) {
  expect_accepted("bash");
}
TEST_F(Scripts, ZshAcceptsItsOwn) {
  expect_accepted("zsh");
}
TEST_F(Scripts, FishAcceptsItsOwn) {
  expect_accepted("fish");
}

TEST_F(Scripts, AllAskTheProgram) {
  for (const std::string shell : {"bash", "zsh", "fish"}) {
    std::ifstream file(sources() / ("completion." + shell));
    std::ostringstream text;
    text << file.rdbuf();
    EXPECT_THAT(text.str(), HasSubstr("__complete")) << shell;
  }
}

TEST_F(Scripts, FishOffersWhatTheProgramSays) {
  if (!has("fish")) GTEST_SKIP() << "no fish";
  const Ended ended = execute({"fish", "--no-config", "-c", "source $argv[1]; complete -C \"$argv[2] ba\"",
                               sources() / "completion.fish", program_});
  EXPECT_EQ(ended.out, "backup\n") << ended.err;
}

}  // namespace
}  // namespace cairn::cli
