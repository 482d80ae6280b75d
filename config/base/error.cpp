// SPDX-License-Identifier: GPL-3.0-or-later
#include "config/base/error.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <system_error>
#include <vector>

#include "config/base/result.h"

namespace cairn {

std::string Error::message() const {
  std::string text = "cannot " + doing;
  if (!object.empty()) text += " " + object;
  std::string why = because;
  if (sys_errno != 0) {
    if (!why.empty()) why += ": ";
    why += std::generic_category().message(sys_errno);
  }
  if (why.empty()) why = catalogue_entry(code).title;
  text += ": " + why;
  const std::string_view what_to_do = resolution.empty() ? catalogue_entry(code).hint : std::string_view(resolution);
  if (!what_to_do.empty()) text.append("; ").append(what_to_do);
  return text;
}

std::string_view Error::name() const {
  return catalogue_entry(code).name;
}

int to_errno(const Error& error) {
  return catalogue_entry(error.code).fuse_errno;
}

int to_http_status(const Error& error) {
  return catalogue_entry(error.code).http_status;
}

bool is_damage_error(const Error& error) {
  return catalogue_entry(error.code).tells == Tells::damage;
}

ExitCode to_exit_code(const Error& error) {
  return error.code == ErrorCode::used_wrongly || error.code == ErrorCode::unknown_error_name ? ExitCode::used_wrongly
                                                                                              : ExitCode::failed;
}

ErrorCode code_of_errno(int sys_errno) {
  switch (sys_errno) {
    case ENOSPC:
    case EDQUOT:
      return ErrorCode::no_space;
    case EACCES:
    case EPERM:
      return ErrorCode::permission_denied;
    case ENOMEM:
      return ErrorCode::out_of_memory;
    case EMFILE:
    case ENFILE:
      return ErrorCode::too_many_open_files;
    case EFBIG:
      return ErrorCode::file_size_limit;
    default:
      return ErrorCode::io_error;
  }
}

namespace {
// Optimal string alignment distance: insert, delete, replace, swap neighbours.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> cost(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) cost[i][0] = i;
  for (std::size_t j = 0; j <= b.size(); ++j) cost[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = cost[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      cost[i][j] = std::min({cost[i - 1][j] + 1, cost[i][j - 1] + 1, replaced});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
    }
  }
  return cost[a.size()][b.size()];
}
}  // namespace

std::optional<std::string> nearest_name(std::string_view wanted, std::span<const std::string> names) {
  static constexpr std::size_t kLongestName = 128;  // a name longer than this was not a slip of the fingers
  if (wanted.empty() || wanted.size() > kLongestName) return std::nullopt;
  std::optional<std::string> best;
  std::size_t best_distance = std::max<std::size_t>(1, wanted.size() / 3) + 1;
  for (const std::string& name : names) {
    if (name.size() > kLongestName) continue;
    const std::size_t distance = edit_distance(wanted, name);
    if (distance < best_distance) {
      best_distance = distance;
      best = name;
    }
  }
  return best;
}

void broken_promise(const char* what, const char* file, int line) {
  std::fprintf(stderr, "cairn: internal error: %s does not hold (%s:%d); please report it\n", what, file, line);
  std::abort();
}

}  // namespace cairn
