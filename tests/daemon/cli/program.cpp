// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/daemon/cli/program.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

namespace cairn::cli {

void ProgramTest::SetUp() {
  const char* program = std::getenv("CAIRN_BIN");
  if (program == nullptr) GTEST_SKIP() << "CAIRN_BIN does not name the built program";
  program_ = program;
  std::string name = (std::filesystem::temp_directory_path() / "cairn-cli-test.XXXXXX").string();
  ASSERT_NE(::mkdtemp(name.data()), nullptr);
  directory_ = name;
}

void ProgramTest::TearDown() {
  if (!directory_.empty()) std::filesystem::remove_all(directory_);
}

Ended ProgramTest::execute(const std::vector<std::string>& argv, const std::string& input) {
  write("stdin", input);
  const std::string in = path("stdin"), out = path("stdout"), err = path("stderr");
  const pid_t child = ::fork();
  if (child == 0) {
    const int fds[] = {::open(in.c_str(), O_RDONLY), ::open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600),
                       ::open(err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600)};
    for (int i = 0; i < 3; ++i) ::dup2(fds[i], i);
    std::vector<char*> arguments;
    for (const std::string& argument : argv) arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);
    ::execvp(arguments[0], arguments.data());
    ::_exit(127);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), read(out), read(err)};
}

Ended ProgramTest::cairn(std::vector<std::string> arguments, const std::string& input) {
  std::vector<std::string> argv{program_, "--config", path("cairn.yaml")};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return execute(argv, input);
}

nlohmann::json ProgramTest::json_of(const Ended& ended) {
  nlohmann::json document = nlohmann::json::parse(ended.out, nullptr, false);
  EXPECT_FALSE(document.is_discarded()) << "stdout: " << ended.out << "\nstderr: " << ended.err;
  EXPECT_EQ(ended.err, "") << "with --json everything is in the document";
  return document;
}

void ProgramTest::write(const std::string& name, const std::string& text, std::filesystem::perms mode) {
  std::ofstream(path(name), std::ios::binary) << text;
  std::filesystem::permissions(path(name), mode);
}

std::string ProgramTest::read(const std::filesystem::path& file) const {
  std::ostringstream text;
  text << std::ifstream(file, std::ios::binary).rdbuf();
  return text.str();
}

void ProgramTest::write_settings(const std::string& machines, const std::string& key) {
  write("cairn.yaml", "store: { path: store, " + key +
                          " }\nstate_dir: state\nsocket: cairnd.sock\nmount: { path: points }\nmachines: {" + machines +
                          "}\n");
}

}  // namespace cairn::cli
