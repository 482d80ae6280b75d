// SPDX-License-Identifier: GPL-3.0-or-later
// cairn store info, store rebuild-index.
// Documents:
// {"path","id","format","chunk_size","algorithm","created","usage":{"packs","stored_bytes","chunks","points",
// "logical_bytes","ratio":NUMBER|null},"space":SPACE} (SPACE: daemon/API.md "Space") and
// {"packs","records","damaged_packs":[NAME],"warnings":[TEXT]}
#include <fmt/format.h>

#include "daemon/cli/commands/render.h"
#include "daemon/cli/grammar/command_spec.h"
#include "daemon/cli/text/documents.h"
#include "daemon/cli/text/table.h"
#include "daemon/cli/work/busy_wait.h"
#include "daemon/cli/work/context.h"
#include "fs/store/collect/space.h"
#include "fs/store/store.h"
#include "fs/store/verify/rebuild_index.h"

namespace cairn::cli {
namespace {

struct StoreInfoCommand {};

struct RebuildIndexCommand {
  BusyWait::Time wait = BusyWait::usual();
};

Result<ExitCode> run(Context& context, const StoreInfoCommand&) {
  CAIRN_TRY(const std::unique_ptr<Store> store, context.open_store());
  CAIRN_TRY(const StoreUsage usage, count_usage(*store));
  const UtcTime now = system_clock().now();
  CAIRN_TRY(auto due, due_points(*store, now));
  CAIRN_TRY(const SpaceReport space, measure_space(*store, {.now = now, .due = std::move(due), .stop = {}}));
  static_cast<void>(keep_space(*store, space).has_value());  // who may only read gets the answer all the same
  const StoreInfo& info = store->info();
  nlohmann::json ratio;
  if (usage.stored_bytes != 0)
    ratio = static_cast<double>(usage.logical_bytes) / static_cast<double>(usage.stored_bytes);
  const nlohmann::json document{{"path", store->path().string()},
                                {"id", info.id},
                                {"format", info.format},
                                {"chunk_size", info.chunk_size},
                                {"algorithm", to_string(info.algorithm)},
                                {"created", iso_time(info.created)},
                                {"usage",
                                 {{"packs", usage.packs},
                                  {"stored_bytes", usage.stored_bytes},
                                  {"chunks", usage.chunks},
                                  {"points", usage.points},
                                  {"logical_bytes", usage.logical_bytes},
                                  {"ratio", ratio}}},
                                {"space", to_json(space)}};
  CAIRN_CHECK(context.output().answer(document, render_store_info(document)));
  return ExitCode::done;
}

Result<ExitCode> run(Context& context, const RebuildIndexCommand& command) {
  CAIRN_TRY(const std::unique_ptr<Store> store, context.open_store());
  CAIRN_TRY(const RebuildReport report, while_busy(command.wait, [&] { return rebuild_index(*store); }));
  nlohmann::json warnings = nlohmann::json::array();
  for (const std::string& pack : report.damaged_packs)
    warnings.push_back("pack " + pack + " is damaged and was left out [pack-damaged]");
  const nlohmann::json document{{"packs", report.packs},
                                {"records", report.records},
                                {"damaged_packs", report.damaged_packs},
                                {"warnings", warnings}};
  CAIRN_CHECK(context.output().answer(document, render_rebuild(document)));
  return report.damaged_packs.empty() ? ExitCode::done : ExitCode::warnings;
}

}  // namespace

std::string render_store_info(const nlohmann::json& document) {
  const nlohmann::json& usage = member(document, "usage");
  const nlohmann::json& ratio = member(usage, "ratio");
  std::string held = size_of(usage, "logical_bytes");
  if (ratio.is_number()) held += fmt::format(" of disks, {:.1f} times what is stored", ratio.get<double>());
  const nlohmann::json& space = member(document, "space");
  std::string text =
      fact_lines({{"store", text_of(document, "path")},
                  {"id", text_of(document, "id")},
                  {"format", std::to_string(number_of(document, "format"))},
                  {"created", time_of(document, "created")},
                  {"chunk size", size_of(document, "chunk_size")},
                  {"sealed with", text_of(document, "algorithm")},
                  {"points", std::to_string(number_of(usage, "points"))},
                  {"holding", held},
                  {"stored", size_of(usage, "stored_bytes") + " in " + count_of(number_of(usage, "packs"), "pack") +
                                 ", " + count_of(number_of(usage, "chunks"), "chunk")},
                  {"needed", size_of(space, "needed_bytes") + " by recovery points"},
                  {"deleted", size_of(space, "deleted_bytes") + " by " +
                                  count_of(number_of(space, "deleted_points"), "deleted point") + " alone"},
                  {"reclaimable", size_of(space, "reclaimable_bytes") + ", " +
                                      size_of(space, "next_prune_frees_bytes") + " of it by the next prune"}});
  Table table({{"MACHINE"},
               {"POINTS", Align::right},
               {"DISKS", Align::right},
               {"UNIQUE", Align::right},
               {"SHARED", Align::right}});
  const nlohmann::json& machines = member(space, "machines");
  if (machines.empty()) return text;
  for (const auto& machine : machines)
    table.add({text_of(machine, "machine"), std::to_string(number_of(machine, "points")),
               size_of(machine, "logical_bytes"), size_of(machine, "unique_bytes"), size_of(machine, "shared_bytes")});
  return text + "\n" + table.text();
}

std::string render_rebuild(const nlohmann::json& document) {
  std::string text = "rebuilt the index: " + count_of(number_of(document, "records"), "record") + " in " +
                     count_of(number_of(document, "packs"), "pack") + "\n";
  for (const auto& warning : member(document, "warnings"))
    if (warning.is_string()) text += "warning: " + printable(warning.get<std::string>()) + "\n";
  return text;
}

CommandSpec store_info_command() {
  CommandSpec spec;
  spec.words = "store info";
  spec.summary = "Show the store's parameters and what is in it";
  spec.examples = {"cairn store info", "cairn store info --json | jq .usage.stored_bytes"};
  set_action<StoreInfoCommand>(spec, run);
  return spec;
}

CommandSpec store_rebuild_index_command() {
  CommandSpec spec;
  spec.words = "store rebuild-index";
  spec.summary = "Make the index again from the packs";
  spec.examples = {"cairn store rebuild-index"};
  spec.notes =
      "The index is only a cache: this reads the footers of all packs. Damaged packs are named and left alone.";
  spec.options = {wait_option(&RebuildIndexCommand::wait)};
  set_action<RebuildIndexCommand>(spec, run);
  return spec;
}

}  // namespace cairn::cli
