// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/guest/qmp.h"

#include <fmt/core.h>

#include <cstdint>
#include <nlohmann/json.hpp>

namespace cairn {
namespace {

using nlohmann::json;

std::string text_at(const json& object, const char* member) {
  const auto found = object.find(member);
  return found != object.end() && found->is_string() ? shown(found->get<std::string>()) : std::string();
}

std::string version_from(const json& greeting) {
  const json nothing = json::object();
  const json* at = &greeting;
  for (const char* member : {"QMP", "version", "qemu"}) {
    const auto found = at->find(member);
    at = found != at->end() && found->is_object() ? &*found : &nothing;
  }
  const auto part = [&](const char* member) {
    const auto found = at->find(member);
    return found != at->end() && found->is_number_unsigned() ? std::to_string(found->get<std::uint64_t>())
                                                             : std::string("?");
  };
  return fmt::format("{}.{}.{}", part("major"), part("minor"), part("micro"));
}

}  // namespace

std::unexpected<Error> refused(const json& answer, std::string_view command, const std::string& object) {
  const auto error = answer.find("error");
  std::string words = error != answer.end() && error->is_object() ? text_at(*error, "desc") : std::string();
  if (words.empty()) words = "it gave no reason";
  return fail(ErrorCode::guest_refused, fmt::format("run {} in", command), object, words);
}

Result<Qmp> Qmp::connect(const std::filesystem::path& path, std::chrono::milliseconds within) {
  const Deadline until = in(within);
  CAIRN_TRY(MessageSocket socket, MessageSocket::connect(path, "the monitor " + path.string(), until));
  Qmp qmp(std::move(socket));
  auto greeting = qmp.socket_.message(until);
  if (!greeting) {
    if (greeting.error().code != ErrorCode::guest_silent) return pass_on(std::move(greeting).error());
    return fail(ErrorCode::guest_busy, "speak with", qmp.object(),
                "it takes one client at a time, and another one has it");
  }
  if (!greeting->contains("QMP"))
    return fail(ErrorCode::guest_bad_answer, "speak with", qmp.object(), "it did not greet as a QEMU monitor does");
  qmp.version_ = version_from(*greeting);
  CAIRN_TRY(const json ready, qmp.execute("qmp_capabilities", json::object(), within));
  return qmp;
}

Result<json> Qmp::execute(std::string_view command, const json& arguments, std::chrono::milliseconds within) {
  const Deadline until = in(within);
  const unsigned number = ++number_;
  json message{{"execute", command}, {"id", number}};
  if (!arguments.empty()) message["arguments"] = arguments;
  CAIRN_CHECK(socket_.send(message, until));
  while (true) {
    CAIRN_TRY(const json answer, socket_.message(until));
    // An event, or the answer to a command that was given up.
    if (answer.contains("event") || answer.value("id", json()) != json(number)) continue;
    if (answer.contains("error")) return refused(answer, command, object());
    const auto value = answer.find("return");
    if (value == answer.end())
      return fail(ErrorCode::guest_bad_answer, fmt::format("run {} in", command), object(),
                  "the answer has neither a result nor an error");
    return *value;
  }
}

}  // namespace cairn
