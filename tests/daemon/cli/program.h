// SPDX-License-Identifier: GPL-3.0-or-later
// Program: runs the built `cairn` (its path is in $CAIRN_BIN) in a directory of its own, as a user would.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace cairn::cli {

struct Ended {
  int code = -1;  // 128 + number: ended by a signal
  std::string out;
  std::string err;
};

// A fixture with an empty directory, taken away at the end; tests skip where there is no $CAIRN_BIN.
class ProgramTest : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  // Without a shell. Standard input is `input`.
  Ended execute(const std::vector<std::string>& argv, const std::string& input = {});
  // cairn --config DIRECTORY/cairn.yaml ARGUMENT...
  Ended cairn(std::vector<std::string> arguments, const std::string& input = {});
  // Standard output must be exactly one document.
  nlohmann::json json_of(const Ended& ended);

  [[nodiscard]] std::filesystem::path path(const std::string& name) const { return directory_ / name; }
  void write(const std::string& name, const std::string& text,
             std::filesystem::perms mode = std::filesystem::perms(0644));
  [[nodiscard]] std::string read(const std::filesystem::path& file) const;
  // Settings with a store, a key file and these machines (YAML flow, may be empty).
  void write_settings(const std::string& machines = {}, const std::string& key = "key_file: store.key");

  std::filesystem::path directory_;
  std::string program_;
};

}  // namespace cairn::cli
