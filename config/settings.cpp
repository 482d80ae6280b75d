// SPDX-License-Identifier: GPL-3.0-or-later
// Settings: reading the file, and questions to what was read.
#include "config/settings.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "config/base/unique_fd.h"
#include "config/yaml_reader.h"

namespace cairn {
namespace {

// The file's text, at most a little more than the largest that is allowed. Never waits on a FIFO.
Result<std::string> read_text(const std::filesystem::path& file) {
  static constexpr const char* kDoing = "read settings";
  const UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd) {
    const int error = errno;
    const ErrorCode code =
        error == ENOENT || error == ENOTDIR ? ErrorCode::settings_missing : ErrorCode::settings_unreadable;
    return fail_errno(error, kDoing, file.string(), code);
  }
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) return fail_errno(errno, kDoing, file.string(), ErrorCode::settings_unreadable);
  if (S_ISDIR(status.st_mode))
    return fail(ErrorCode::settings_unreadable, kDoing, file.string(), "it is a directory",
                "name the file in it, such as " + (file / "cairn.yaml").string());
  if (!S_ISREG(status.st_mode))
    return fail(ErrorCode::settings_unreadable, kDoing, file.string(), "it is not a regular file",
                "name a regular file");
  std::string text;
  while (text.size() <= kLargestSettingsFile) {
    char part[16 * 1024];
    const ssize_t got = ::read(fd.get(), part, sizeof part);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(errno, kDoing, file.string(), ErrorCode::settings_unreadable);
    if (got == 0) break;
    text.append(part, static_cast<std::size_t>(got));
  }
  return text;
}

}  // namespace

Result<const MachineSettings*> Settings::machine(std::string_view name) const {
  if (const auto found = machines.find(std::string(name)); found != machines.end()) return &found->second;
  std::vector<std::string> names;
  for (const auto& [known, machine] : machines) names.push_back(known);
  const auto nearest = nearest_name(name, names);
  return fail(ErrorCode::no_such_machine, "find machine", std::string(name),
              "it is not in the settings " + file.string(),
              nearest ? fmt::format("did you mean \"{}\"?", *nearest) : "");
}

const Policy& Settings::policy_of(const MachineSettings& machine) const {
  const auto found = policies.find(machine.policy);
  CAIRN_ASSERT(found != policies.end());
  return found->second;
}

std::string describe(const SettingsProblem& problem, const std::filesystem::path& file) {
  std::string text = file.string();
  if (problem.line != 0) text += fmt::format(":{}:{}", problem.line, problem.column);
  if (!problem.key.empty()) text += ": " + problem.key;
  return text + fmt::format(": found {}, expected {}", problem.found, problem.expected);
}

Result<Settings> load_settings(const std::filesystem::path& file) {
  CAIRN_TRY(const std::string text, read_text(file));
  SettingsReport report = parse_settings(text, file);
  if (report.settings) return *std::move(report.settings);
  const std::size_t count = report.problems.size();
  std::string because = count == 1 ? "there is a problem in it:\n" : "there are problems in it:\n";
  for (const SettingsProblem& problem : report.problems) because += describe(problem, file) + '\n';
  because += count == 1 ? "1 problem" : fmt::format("{} problems", count);
  return fail(ErrorCode::settings_invalid, "use settings", file.string(), std::move(because));
}

}  // namespace cairn
