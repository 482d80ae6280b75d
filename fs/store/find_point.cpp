// SPDX-License-Identifier: GPL-3.0-or-later
// Finding a recovery point by what somebody typed.
#include <algorithm>
#include <vector>

#include "fs/store/point_catalog.h"

namespace cairn {
namespace {

struct Wanted {
  std::string machine;
  std::string point;  // a stamp, the beginning of one, or "latest"
};

Result<Wanted> take_apart(std::string_view text) {
  const std::size_t at = text.find('@');
  if (at == std::string_view::npos || at == 0 || at + 1 == text.size())
    return fail(ErrorCode::used_wrongly, "find recovery point", std::string(text),
                "it is not of the form MACHINE@POINT", "write it like web-01@latest or web-01@20261121T020000Z");
  return Wanted{std::string(text.substr(0, at)), std::string(text.substr(at + 1))};
}

std::vector<PointName> points_of(const std::vector<PointName>& points, const std::string& machine) {
  std::vector<PointName> found;
  std::ranges::copy_if(points, std::back_inserter(found),
                       [&](const PointName& point) { return point.machine == machine; });
  return found;
}

// `points`: of the machine, in the order in which they were written.
std::vector<PointName> matching(const std::vector<PointName>& points, const std::string& wanted) {
  if (wanted == "latest") return points.empty() ? points : std::vector{points.back()};
  std::vector<PointName> found;
  std::ranges::copy_if(points, std::back_inserter(found),
                       [&](const PointName& point) { return point.stamp().starts_with(wanted); });
  return found;
}

std::unexpected<Error> ambiguous(std::string_view text, const std::vector<PointName>& found) {
  return fail(
      ErrorCode::ambiguous_point, "find recovery point", std::string(text),
      std::to_string(found.size()) + " points match, from " + found.front().stamp() + " to " + found.back().stamp());
}

}  // namespace

Result<PointName> PointCatalog::find(std::string_view text) {
  CAIRN_TRY(const Wanted wanted, take_apart(text));
  CAIRN_TRY(const auto points, list());
  CAIRN_TRY(const std::vector<PointName> of_machine, list_written(wanted.machine));
  const std::vector<PointName> found = matching(of_machine, wanted.point);
  if (found.size() > 1) return ambiguous(text, found);
  if (!found.empty()) return found.front();

  CAIRN_TRY(const auto deleted, list_deleted());
  const std::vector<PointName> hidden = matching(points_of(deleted, wanted.machine), wanted.point);
  if (hidden.size() > 1) return ambiguous(text, hidden);
  if (!hidden.empty()) {
    const auto deletion = deletion_of(hidden.front());
    return fail(ErrorCode::point_deleted, "find recovery point", std::string(text),
                hidden.front().text() + (deletion ? " can be brought back until " + iso_time(deletion->purge_after)
                                                  : " is deleted, and the record of that cannot be read"),
                "bring it back with \"cairn undelete " + hidden.front().text() + "\"");
  }
  if (of_machine.empty()) {
    std::vector<std::string> machines;
    for (const PointName& point : points)
      if (machines.empty() || machines.back() != point.machine) machines.push_back(point.machine);
    const auto near = nearest_name(wanted.machine, machines);
    return fail(ErrorCode::no_such_machine, "find recovery points of", wanted.machine,
                "the store has none of a machine of that name", near ? "did you mean " + *near + "?" : "");
  }
  std::vector<std::string> stamps;
  for (const PointName& point : of_machine) stamps.push_back(point.stamp());
  stamps.emplace_back("latest");
  const auto near = nearest_name(wanted.point, stamps);
  return fail(
      ErrorCode::no_such_point, "find recovery point", std::string(text),
      wanted.machine + " has " + std::to_string(of_machine.size()) + " points, none starts like that",
      near ? "did you mean " + wanted.machine + "@" + *near + "?" : "see \"cairn points " + wanted.machine + "\"");
}

Result<PointName> PointCatalog::find_deleted(std::string_view text) {
  CAIRN_TRY(const Wanted wanted, take_apart(text));
  CAIRN_TRY(const auto deleted, list_deleted());
  const std::vector<PointName> found = matching(points_of(deleted, wanted.machine), wanted.point);
  if (found.size() > 1) return ambiguous(text, found);
  if (!found.empty()) return found.front();
  CAIRN_TRY(const auto points, list());
  const bool there = !matching(points_of(points, wanted.machine), wanted.point).empty();
  return fail(ErrorCode::point_not_deleted, "find deleted recovery point", std::string(text),
              there ? "it is there, and not deleted" : "there is no deleted point of that name");
}

}  // namespace cairn
