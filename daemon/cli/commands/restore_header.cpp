// SPDX-License-Identifier: GPL-3.0-or-later
// cairn restore --header-only --in-place DEVICE: a damaged header on a live disk is the commonest loss of all.
// Document: daemon/restore/restore_header.h.
#include "daemon/cli/commands/restore_header.h"

#include <fmt/core.h>
#include <unistd.h>

#include <filesystem>
#include <memory>

#include "daemon/cli/commands/render.h"
#include "daemon/cli/text/documents.h"
#include "daemon/cli/text/prompt.h"
#include "daemon/cli/text/table.h"
#include "daemon/cli/work/context.h"
#include "daemon/cli/work/finish_jobs.h"
#include "daemon/keys/vault_set.h"
#include "daemon/restore/restore_header.h"
#include "fs/store/store.h"

namespace cairn::cli {
namespace {

// The disk that is named, else the only one with headers. Errors: used_wrongly, no_such_header.
Result<std::string> choose_disk_of(const RecoveryPoint& point, const std::string& given) {
  if (!given.empty()) return given;
  std::string chosen;
  for (const DiskRecord& disk : point.disks) {
    if (disk.headers.empty()) continue;
    if (!chosen.empty())
      return fail(ErrorCode::used_wrongly, "restore the header of", point.name.text(),
                  "disks " + chosen + " and " + disk.name + " have one", "say which with --disk NAME");
    chosen = disk.name;
  }
  if (chosen.empty())
    return fail(ErrorCode::no_such_header, "restore the header of", point.name.text(),
                "none of its disks is encrypted");
  return chosen;
}

Result<void> ask(const HeaderRestore& what, const PointName& point, const std::string& disk) {
  return confirm(fmt::format("Write the header of {}/{} onto {}? What is there now is saved first.", point.text(), disk,
                             printable(what.device)),
                 what.yes, "write a header onto", what.device);
}

}  // namespace

std::string render_header_restore(const nlohmann::json& document) {
  const std::string saved = text_of(document, "saved");
  const std::uint64_t written = number_of(document, "written_bytes");
  std::string text =
      written == 0 ? fmt::format("{} has the header of {}/{} already: nothing was written\n",
                                 text_of(document, "device"), text_of(document, "name"), text_of(document, "disk"))
                   : fmt::format("wrote the header of {}/{} onto {}, {}\n", text_of(document, "name"),
                                 text_of(document, "disk"), text_of(document, "device"), format_size(written));
  for (const auto& header : member(document, "headers"))
    text += fmt::format("  {} {}: was {}, is {}\n", text_of(header, "volume"), text_of(header, "uuid"),
                        text_of(header, "was"), text_of(header, "now"));
  if (!saved.empty()) text += fmt::format("  what was there before: {}\n", saved);
  for (const auto& command : member(document, "put_back"))
    if (command.is_string()) text += fmt::format("    to put it back: {}\n", command.get<std::string>());
  text += render_keys_at_hand(member(document, "keys"));
  for (const auto& passed : member(document, "overridden"))
    if (passed.is_string()) text += fmt::format("  forced: {}\n", passed.get<std::string>());
  for (const auto& warning : member(document, "warnings"))
    if (warning.is_string()) text += fmt::format("  warning: {}\n", printable(warning.get<std::string>()));
  return printable(text, Lines::keep);
}

Result<ExitCode> restore_header_onto(Context& context, const HeaderRestore& what) {
  CAIRN_TRY(const Settings* const settings, context.settings());
  CAIRN_TRY(const auto store, context.open_store());
  CAIRN_TRY(const PointName name, store->points().find(what.point));
  CAIRN_TRY(const RecoveryPoint point, store->points().load(name));
  HeaderInPlaceTask task;
  task.point = name;
  CAIRN_TRY(task.disk, choose_disk_of(point, what.disk));
  task.device = std::filesystem::absolute(what.device).lexically_normal();
  // Without settings this host has no place of Cairn's: then beside whoever calls.
  task.keep_in = std::filesystem::absolute(settings->state_dir / "replaced-headers");
  task.force = what.force;
  task.now = system_clock().now();
  // With --store no settings say where a vault is.
  if (!settings->key_vaults.empty()) task.open_vault = vaults_of(std::make_shared<Settings>(*settings));
  CAIRN_CHECK(ask(what, name, task.disk));
  CAIRN_TRY(const nlohmann::json document, restore_header_in_place(*store, task));
  CAIRN_CHECK(context.output().answer(document, render_header_restore(document)));
  return member(document, "warnings").empty() ? ExitCode::done : ExitCode::warnings;
}

}  // namespace cairn::cli
