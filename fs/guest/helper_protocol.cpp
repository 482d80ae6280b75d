// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/guest/helper_protocol.h"

#include <nlohmann/json.hpp>

#include "config/base/enum_words.h"
#include "config/base/error_catalogue.h"
#include "config/base/json.h"

namespace cairn {
namespace {

using nlohmann::json;

constexpr EnumWords<Hold, 3> kHolds{{{Hold::none, "none"}, {Hold::freeze, "freeze"}, {Hold::pause, "pause"}}};

}  // namespace

std::string_view to_string(Hold hold) {
  return word_of(kHolds, hold);
}

json to_json(const GuestSettings& guest) {
  return {{"libvirt", guest.kind == GuestSettings::Kind::libvirt},
          {"domain", guest.domain},
          {"uri", guest.uri},
          {"monitor", guest.monitor.string()},
          {"agent", guest.agent.string()}};
}

GuestSettings guest_from_json(const json& document) {
  GuestSettings guest;
  guest.kind = document.at("libvirt").get<bool>() ? GuestSettings::Kind::libvirt : GuestSettings::Kind::qmp;
  guest.domain = document.at("domain").get<std::string>();
  guest.uri = document.at("uri").get<std::string>();
  guest.monitor = document.at("monitor").get<std::string>();
  guest.agent = document.at("agent").get<std::string>();
  return guest;
}

json to_json(const HoldWish& wish) {
  return {{"freeze", wish.freeze}, {"pause", wish.pause}, {"longest_ms", wish.longest.count()}, {"hooks", wish.hooks}};
}

HoldWish wish_from_json(const json& document) {
  HoldWish wish;
  wish.freeze = document.at("freeze").get<bool>();
  wish.pause = document.at("pause").get<bool>();
  wish.longest = std::chrono::milliseconds(whole_number<std::int64_t>(document.at("longest_ms")));
  wish.hooks = document.at("hooks").get<bool>();
  return wish;
}

json to_json(const Held& held) {
  return {{"held", to_string(held.hold)},
          {"file_systems", held.file_systems},
          {"hooks", held.hooks},
          {"because", held.because},
          {"state", held.state}};
}

Held held_from_json(const json& document) {
  const auto hold = value_of_word(kHolds, document.at("held").get<std::string>());
  if (!hold) throw BadDocument{"it names no kind of hold"};
  return {*hold, whole_number<int>(document.at("file_systems")), document.at("hooks").get<bool>(),
          document.at("because").get<std::string>(), document.at("state").get<std::string>()};
}

json to_json(const Released& released) {
  return {{"seen", released.seen}, {"whole", released.whole}, {"ms", released.ms}, {"because", released.because}};
}

Released released_from_json(const json& document) {
  return {document.at("seen").get<bool>(), document.at("whole").get<bool>(),
          whole_number<std::uint64_t>(document.at("ms")), document.at("because").get<std::string>()};
}

json to_json(const GuestLook& look) {
  return {{"state", look.state},           {"agent", look.agent},
          {"agent_says", look.agent_says}, {"frozen", look.frozen},
          {"system", look.system},         {"version", look.version},
          {"definition", look.definition}, {"definition_now", look.definition_now}};
}

GuestLook look_from_json(const json& document) {
  GuestLook look;
  look.state = document.at("state").get<std::string>();
  look.agent = document.at("agent").get<bool>();
  look.agent_says = document.at("agent_says").get<std::string>();
  look.frozen = document.at("frozen").get<bool>();
  look.system = document.at("system").get<std::string>();
  look.version = document.at("version").get<std::string>();
  look.definition = document.at("definition").get<std::string>();
  look.definition_now = document.at("definition_now").get<std::string>();
  return look;
}

json error_answer(const Error& error) {
  return {{"error",
           {{"name", error.name()},
            {"doing", error.doing},
            {"object", error.object},
            {"because", error.because},
            {"errno", error.sys_errno},
            {"resolution", error.resolution}}}};
}

Error error_from_answer(const json& answer) {
  const json& error = answer.at("error");
  const CatalogueEntry* const entry = find_catalogue_entry(error.at("name").get<std::string>());
  return {entry == nullptr ? ErrorCode::internal : entry->code,
          error.at("doing").get<std::string>(),
          error.at("object").get<std::string>(),
          error.at("because").get<std::string>(),
          whole_number<int>(error.at("errno")),
          error.at("resolution").get<std::string>()};
}

}  // namespace cairn
