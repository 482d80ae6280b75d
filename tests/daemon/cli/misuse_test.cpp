// SPDX-License-Identifier: GPL-3.0-or-later
// The program's exit codes, --json purity and completion, where no store is needed.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "config/base/error.h"
#include "tests/daemon/cli/program.h"

namespace cairn::cli {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class Misuse : public ProgramTest {};

TEST_F(Misuse, EndsWithTwoAndSaysWhere) {
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {}, {"frobnicate"}, {"backup"}, {"backup", "--alll"}, {"store"}, {"mount"}, {"jobs", "--limit", "x"}}) {
    std::vector<std::string> argv{program_};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    const Ended ended = execute(argv);
    EXPECT_EQ(ended.code, 2) << ended.err;
    EXPECT_EQ(ended.out, "");
    EXPECT_TRUE(ended.err.starts_with("cairn: ")) << ended.err;
    EXPECT_THAT(ended.err, HasSubstr("[used-wrongly]\nsee \"cairn explain used-wrongly\"\n"));
  }
}

TEST_F(Misuse, WithJsonTheErrorIsTheOneDocument) {
  const Ended ended = execute({program_, "bakcup", "--json"});
  EXPECT_EQ(ended.code, 2);
  const json document = json_of(ended);
  EXPECT_EQ(document["error"]["name"], "used-wrongly");
  EXPECT_THAT(document["error"]["message"].get<std::string>(), HasSubstr("did you mean \"backup\"?"));
  EXPECT_TRUE(document["error"].contains("resolution"));
}

TEST_F(Misuse, AMissingSettingsFileIsAnErrorOfItsOwn) {
  const Ended text = cairn({"points"});
  EXPECT_EQ(text.code, 1);
  EXPECT_THAT(text.err, HasSubstr("[settings-missing]"));
  const Ended ended = cairn({"points", "--json"});
  EXPECT_EQ(ended.code, 1);
  EXPECT_EQ(json_of(ended)["error"]["name"], "settings-missing");
}

TEST_F(Misuse, ConfigCheckListsEveryProblem) {
  write("cairn.yaml", "store: { path: store, key_fil: x }\nmachines: { a: { disks: 7 } }\n");
  const Ended text = cairn({"config", "check"});
  EXPECT_EQ(text.code, 1);
  EXPECT_THAT(text.err, HasSubstr("cairn.yaml:1:"));
  EXPECT_THAT(text.err, HasSubstr("cairn.yaml:2:"));
  EXPECT_THAT(text.err, HasSubstr("[settings-invalid]"));
  const json document = json_of(cairn({"--json", "config", "check"}));
  EXPECT_EQ(document["error"]["name"], "settings-invalid");
  EXPECT_GE(document["problems"].size(), 2U);
  EXPECT_EQ(document["problems"][0]["line"], 1);
}

class Explain : public ProgramTest {};

TEST_F(Explain, HasWordsForEveryError) {
  const json all = json_of(execute({program_, "explain", "--json"}));
  EXPECT_EQ(all.size(), error_catalogue().size());
  for (const CatalogueEntry& entry : error_catalogue()) {
    const Ended ended = execute({program_, "explain", std::string(entry.name)});
    EXPECT_EQ(ended.code, 0) << entry.name;
    EXPECT_THAT(ended.out, HasSubstr(std::string(entry.title)));
    EXPECT_THAT(ended.out, HasSubstr("What to do:\n"));
  }
  const Ended former = execute({program_, "explain", "machine-busy"});
  EXPECT_THAT(former.out, testing::StartsWith("job-conflict: "));
  EXPECT_THAT(former.out, HasSubstr("Earlier versions called it machine-busy.\n"));
  EXPECT_EQ(json_of(execute({program_, "--json", "explain", "point-exists"}))["formerly"], "point-exists");
  const json one = json_of(execute({program_, "--json", "explain", "[wrong-key]"}));
  EXPECT_EQ(one["name"], "wrong-key");
  EXPECT_FALSE(one["detail"].get<std::string>().empty());
}

TEST_F(Explain, ANearNameIsSuggested) {
  const Ended ended = execute({program_, "explain", "wrong-kye"});
  EXPECT_EQ(ended.code, 2);
  EXPECT_THAT(ended.err, HasSubstr("did you mean \"wrong-key\"?"));
}

TEST_F(Explain, VersionAndHelpGoToStandardOutput) {
  EXPECT_TRUE(execute({program_, "--version"}).out.starts_with("cairn "));
  EXPECT_TRUE(json_of(execute({program_, "version", "--json"})).contains("version"));
  EXPECT_THAT(execute({program_, "backup", "--help"}).out, HasSubstr("cairn backup --all"));
  EXPECT_EQ(execute({program_, "backup", "--help"}).code, 0);
  EXPECT_TRUE(json_of(execute({program_, "--json", "help", "backup"})).contains("help"));
}

TEST_F(Explain, WhatIsWrongWithAnOptionIsSaidInOurWords) {
  const auto said = [&](std::vector<std::string> words) {
    words.insert(words.begin(), program_);
    const Ended ended = execute(words);
    EXPECT_EQ(ended.code, 2);
    return ended.err;
  };
  EXPECT_THAT(said({"verify", "--rate"}), HasSubstr("--rate needs a value: --rate SIZE"));
  EXPECT_THAT(said({"jobs", "--limit", "1", "--limit=2"}), HasSubstr("--limit is given more than once"));
  EXPECT_THAT(said({"restore", "web@latest", "--force=x"}), HasSubstr("--force takes no value"));
  EXPECT_THAT(said({"verify", "--rate", "5"}), HasSubstr("\"5\" has no unit"));
}

TEST_F(Explain, HelpShowsWhatIsRequired) {
  EXPECT_THAT(execute({program_, "restore", "--help"}).out,
              ::testing::AllOf(HasSubstr("Usage: cairn restore [OPTIONS] MACHINE@POINT\n"), HasSubstr("(required)")));
  EXPECT_THAT(execute({program_, "points", "--help"}).out, HasSubstr("Usage: cairn points [OPTIONS] [MACHINE]\n"));
  EXPECT_THAT(execute({program_, "key", "import", "--help"}).out,
              HasSubstr("Usage: cairn key import [OPTIONS] --from FILE MACHINE/DISK\n"));
}

class BashCompletion : public ProgramTest {
 protected:
  // What bash offers for `line` with the cursor at its end.
  std::string complete(const std::string& line, const std::string& program = {}) {
    const char* script = std::getenv("CAIRN_COMPLETION");
    if (script == nullptr) return "no CAIRN_COMPLETION";
    // bash offers completions for the word before the cursor as COMP_WORDBREAKS cuts it.
    const std::string typed = (program.empty() ? program_ : program) + line.substr(5);
    const Ended ended = execute({"bash", "--norc", "-c",
                                 R"(. "$1"; COMP_LINE=$2 COMP_POINT=${#2}
                                    read -ra COMP_WORDS <<<"$2"; COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
                                    [[ $(complete -p cairn) == *"-F _cairn "* ]] || exit 1
                                    _cairn cairn; (IFS=' '; echo "${COMPREPLY[*]}"))",
                                 "bash", script, typed});
    EXPECT_EQ(ended.err, "");
    return ended.out;
  }
};

TEST_F(BashCompletion, CompletesCommandsOptionsMachinesAndErrors) {
  write_settings("web-01: { disks: { root: { image: x } } }, web-02: { disks: { root: { image: x } } }");
  const std::string config = " --config " + path("cairn.yaml").string();
  EXPECT_EQ(complete("cairn ba"), "backup\n");
  EXPECT_EQ(complete("cairn store keys "), "list add remove\n");
  EXPECT_EQ(complete("cairn restore --di"), "--disk\n");
  EXPECT_EQ(complete("cairn" + config + " backup w"), "web-01 web-02\n");
  EXPECT_EQ(complete("cairn explain store-lo"), "store-locked\n");
  EXPECT_EQ(complete("cairn --config /nowhere backup w"), "\n");
  EXPECT_EQ(complete("cairn" + config + " key import web-02/"), "web-02/root\n");
  EXPECT_EQ(complete("cairn" + config + " restore web-01@latest --disk r"), "root\n");
  EXPECT_EQ(complete("cairn jobs --state com"), "completed completed-with-warnings\n");
  EXPECT_EQ(complete("cairn jobs --kind "), "backup restore prune verify\n");
  EXPECT_EQ(complete("cairn" + config + " jobs 2"), "\n") << "there are none";
}

TEST_F(BashCompletion, KnowsTheCommandsEvenWithoutTheProgram) {
  EXPECT_EQ(complete("cairn ba", "/nowhere/cairn"), "backup\n");
  // The script's own list is that of the program.
  const std::string all = complete("cairn ", "/nowhere/cairn");
  EXPECT_EQ(all, complete("cairn "));
}

}  // namespace
}  // namespace cairn::cli
