// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/api/request_text.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>

#include "daemon/api/api_requests.h"

namespace cairn {
namespace {

constexpr std::string_view kLineEnd = "\r\n";
constexpr std::string_view kHeadEnd = "\r\n\r\n";

bool equal_but_for_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

std::string_view without_spaces(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// The value of a header field; nothing: there is none.
std::optional<std::string_view> field_of(std::string_view head, std::string_view name) {
  auto at = head.find(kLineEnd);
  while (at != std::string_view::npos) {
    head.remove_prefix(at + kLineEnd.size());
    at = head.find(kLineEnd);
    const std::string_view line = head.substr(0, at);
    const auto colon = line.find(':');
    if (colon != std::string_view::npos && equal_but_for_case(without_spaces(line.substr(0, colon)), name))
      return without_spaces(line.substr(colon + 1));
  }
  return std::nullopt;
}

Urgency urgency_of(std::string_view head) {
  const std::string_view line = head.substr(0, head.find(kLineEnd));
  const auto space = line.find(' ');
  if (space == std::string_view::npos) return Urgency::usual;
  const std::string_view method = line.substr(0, space);
  const std::string_view target = line.substr(space + 1, line.find(' ', space + 1) - space - 1);
  const std::string_view path = target.substr(0, target.find('?'));
  // Every command asks for the version first: it must never wait for those that look.
  if (path == "/v1/version" || (method == "POST" && path.starts_with("/v1/jobs/") && path.ends_with("/cancel")))
    return Urgency::cancel;
  const bool waits = target.find("wait_ms=") != std::string_view::npos;
  if (method == "GET" && !waits && (path == "/v1/status" || path.starts_with("/v1/jobs"))) return Urgency::look;
  return Urgency::usual;
}

RequestShape refused(int status, const char* because) {
  RequestShape shape;
  shape.state = RequestShape::State::refused;
  shape.status = status;
  shape.because = because;
  return shape;
}

}  // namespace

RequestShape shape_of(std::string_view received) {
  const auto end = received.substr(0, kMaxHead).find(kHeadEnd);
  if (end == std::string_view::npos) {
    if (received.size() >= kMaxHead) return refused(431, "its header is larger than 16 KiB");
    return {};
  }
  const std::string_view head = received.substr(0, end + kLineEnd.size());
  RequestShape shape;
  shape.urgency = urgency_of(head);
  if (field_of(head, "Transfer-Encoding")) return refused(411, "its body has no Content-Length");
  std::size_t body = 0;
  if (const auto length = field_of(head, "Content-Length")) {
    const auto [stop, problem] = std::from_chars(length->data(), length->data() + length->size(), body);
    if (problem == std::errc::result_out_of_range)
      body = kMaxBody + 1;
    else if (problem != std::errc() || stop != length->data() + length->size())
      return refused(400, "its Content-Length is not a number");
  }
  const std::size_t there = received.size() - (end + kHeadEnd.size());
  const bool whole = there >= body || body > kMaxBody;
  shape.state = whole ? RequestShape::State::whole : RequestShape::State::incomplete;
  const auto expects = field_of(head, "Expect");
  shape.wants_continue = !whole && expects && equal_but_for_case(*expects, "100-continue");
  return shape;
}

}  // namespace cairn
