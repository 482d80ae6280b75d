// SPDX-License-Identifier: GPL-3.0-or-later
// cairn machine list: what libvirt has, and which of it is backed up. Document:
// {"machines":[{"name","uri","state","disks":[{"target","source","format","encryption":"encrypted"|"not-encrypted"|
// "unknown","error":Error|null}],"agent":true|false|null,"agent_says","machine":TEXT|null,"policy":TEXT|null}],
// "warnings":[TEXT]}. Nothing is changed, in no guest and on no disk.
#include <algorithm>
#include <filesystem>

#include "crypto/volume/volume_facts.h"
#include "daemon/backup/guest_session.h"
#include "daemon/backup/protection_of_domains.h"
#include "daemon/cli/commands/render.h"
#include "daemon/cli/grammar/command_spec.h"
#include "daemon/cli/text/documents.h"
#include "daemon/cli/text/table.h"
#include "daemon/cli/work/context.h"
#include "daemon/keys/disk_look.h"
#include "daemon/queue/job_record.h"
#include "daemon/source/disk_format.h"
#include "fs/image/open_image.h"

namespace cairn::cli {
namespace {

using nlohmann::json;

struct MachineListCommand {
  std::string uri;
};

json disk_row(const DefinedDisk& disk) {
  json row{{"target", disk.target},
           {"source", disk.source},
           {"format", disk.format.empty() ? json(nullptr) : json(disk.format)},
           {"encryption", to_string(DiskEncryption::unknown)},
           {"error", nullptr}};
  if (!disk.source.starts_with('/')) return row;
  const DiskSettings settings{.name = disk.target, .image = std::filesystem::path(disk.source)};
  const auto settled = settle_disk(settings, {disk}, nullptr, disk.target);
  if (!settled) {
    row["error"] = cairn::to_json(settled.error());
    return row;
  }
  row["format"] = to_string(settled->format);
  const auto image = open_image(settled->disk.image, CloneMode::never);
  if (!image) {
    row["error"] = cairn::to_json(image.error());
    return row;
  }
  const auto facts = look_at_disk(settled->disk, **image, disk.target);
  if (facts)
    row["encryption"] = to_string(facts->encryption());
  else
    row["error"] = cairn::to_json(facts.error());
  return row;
}

json machine_row(const DomainFound& domain, const GuestPlace& place) {
  json row{{"name", domain.name},
           {"uri", domain.uri},
           {"state", to_string(domain.state)},
           {"disks", json::array()},
           {"agent", nullptr},
           {"agent_says", ""},
           {"machine", domain.machine.empty() ? json(nullptr) : json(domain.machine)},
           {"policy", domain.policy.empty() ? json(nullptr) : json(domain.policy)}};
  for (const DefinedDisk& disk : domain.disks)
    if (!disk.source.empty()) row["disks"].push_back(disk_row(disk));
  if (domain.state != GuestState::running) return row;
  GuestSettings guest;
  guest.kind = GuestSettings::Kind::libvirt;
  guest.domain = domain.name;
  guest.uri = domain.uri;
  auto client = GuestClient::open(domain.name, guest, place);
  const auto look = client ? client->look() : Result<GuestLook>(pass_on(client.error()));
  if (!look) {
    row["agent_says"] = look.error().message();
    return row;
  }
  row["agent"] = look->agent;
  row["agent_says"] = look->agent_says;
  return row;
}

Result<ExitCode> run(Context& context, const MachineListCommand& command) {
  CAIRN_TRY(const Settings* const settings, context.settings());
  json document{{"machines", json::array()}, {"warnings", json::array()}};
  const auto uris = command.uri.empty() ? libvirts_of(*settings) : std::vector{command.uri};
  for (const std::string& uri : uris) {
    const auto domains = find_domains(*settings, uri);
    if (!domains && uris.size() == 1) return pass_on(domains.error());
    if (!domains) {
      document["warnings"].push_back(domains.error().message());
      continue;
    }
    for (const DomainFound& domain : *domains)
      document["machines"].push_back(machine_row(domain, guest_place(*settings)));
  }
  CAIRN_CHECK(context.output().answer(document, render_machines(document)));
  return document["warnings"].empty() ? ExitCode::done : ExitCode::warnings;
}

// Words of the disks, each once: "qcow2, raw".
std::string words_of_disks(const json& machine, const char* field) {
  std::vector<std::string> words;
  for (const auto& disk : member(machine, "disks")) {
    const std::string word = text_of(disk, field);
    if (!word.empty() && std::ranges::find(words, word) == words.end()) words.push_back(word);
  }
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

}  // namespace

std::string render_machines(const json& document) {
  if (member(document, "machines").empty()) return "libvirt has no machines\n";
  Table table({{"MACHINE"},
               {"STATE"},
               {"DISKS", Align::right},
               {"FORMATS", Align::left, Fit::drop},
               {"ENCRYPTION", Align::left, Fit::shorten},
               {"AGENT"},
               {"BACKED UP"}});
  bool any_unprotected = false;
  for (const auto& machine : member(document, "machines")) {
    const json& agent = member(machine, "agent");
    std::string backed_up = "no";
    if (const std::string name = text_of(machine, "machine"); !name.empty())
      backed_up =
          (name == text_of(machine, "name") ? "" : "as " + name + ", ") + "policy " + text_of(machine, "policy");
    else
      any_unprotected = true;
    table.add({text_of(machine, "name"), text_of(machine, "state"), std::to_string(member(machine, "disks").size()),
               words_of_disks(machine, "format"), words_of_disks(machine, "encryption"),
               agent.is_boolean() ? (agent.get<bool>() ? "answers" : "no") : "", backed_up});
  }
  std::string text = table.text();
  if (any_unprotected)
    text += "A machine is backed up when the settings name it:  machines: { NAME: { libvirt: NAME } }\n";
  for (const auto& warning : member(document, "warnings"))
    if (warning.is_string()) text += "warning: " + printable(warning.get<std::string>()) + "\n";
  return text;
}

CommandSpec machine_list_command() {
  CommandSpec spec;
  spec.words = "machine list";
  spec.summary = "List the machines that libvirt has, and which of them are backed up";
  spec.examples = {"cairn machine list", "cairn machine list --uri qemu:///system --json"};
  spec.notes =
      "The headers of their disks are looked at, and running guests are asked whether their agent answers. Nothing is\n"
      "changed.";
  spec.options = {value("--uri", "URI", "The libvirt to ask (default: those of the settings, or qemu:///system)",
                        &MachineListCommand::uri)};
  set_action<MachineListCommand>(spec, run);
  return spec;
}

}  // namespace cairn::cli
