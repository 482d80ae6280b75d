// SPDX-License-Identifier: GPL-3.0-or-later
// cairn explain: needs neither settings nor store. Document: {"name","title","detail","resolution"}, or a list of them.
#include "daemon/cli/commands/render.h"
#include "daemon/cli/grammar/command_spec.h"
#include "daemon/cli/text/documents.h"
#include "daemon/cli/text/table.h"
#include "daemon/cli/work/context.h"

namespace cairn::cli {
namespace {

struct ExplainCommand {
  std::string name;  // empty: list
};

nlohmann::json document_of(const CatalogueEntry& entry) {
  return {{"name", entry.name}, {"title", entry.title}, {"detail", entry.detail}, {"resolution", entry.resolution}};
}

// Breaks at blanks so that no line is longer than `columns`, if it can be helped.
std::string wrapped(const std::string& text, std::size_t columns) {
  std::string all, line;
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t end = std::min(text.find(' ', at), text.size());
    const std::string word = text.substr(at, end - at);
    if (!line.empty() && line.size() + 1 + word.size() > columns) all += line + "\n", line.clear();
    line += (line.empty() ? "" : " ") + word;
    at = end + 1;
  }
  return line.empty() ? all : all + line + "\n";
}

Result<ExitCode> run(Context& context, const ExplainCommand& command) {
  if (command.name.empty()) {
    nlohmann::json rows = nlohmann::json::array();
    for (const CatalogueEntry& entry : error_catalogue()) rows.push_back(document_of(entry));
    CAIRN_CHECK(context.output().answer(rows, render_explanations(rows)));
    return ExitCode::done;
  }
  // "[wrong-key]" as it stands in a message is the same name.
  std::string name = command.name;
  if (name.size() > 2 && name.front() == '[' && name.back() == ']') name = name.substr(1, name.size() - 2);
  const CatalogueEntry* entry = find_catalogue_entry(name);
  if (entry == nullptr) {
    std::vector<std::string> names;
    for (const CatalogueEntry& known : error_catalogue()) names.emplace_back(known.name);
    const auto nearest = nearest_name(name, names);
    return fail(ErrorCode::unknown_error_name, "explain", name, "there is no error of that name",
                nearest ? "did you mean \"" + *nearest + "\"?" : "\"cairn explain\" lists all errors");
  }
  nlohmann::json document = document_of(*entry);
  if (entry->name != name) document["formerly"] = name;
  CAIRN_CHECK(context.output().answer(document, render_explanation(document)));
  return ExitCode::done;
}

}  // namespace

std::string render_explanation(const nlohmann::json& document) {
  const std::string former = text_of(document, "formerly");
  return text_of(document, "name") + ": " + text_of(document, "title") + "\n\n" +
         (former.empty() ? std::string() : "Earlier versions called it " + former + ".\n\n") +
         wrapped(text_of(document, "detail"), 80) + "\nWhat to do:\n" + wrapped(text_of(document, "resolution"), 80);
}

std::string render_explanations(const nlohmann::json& rows) {
  Table table({{"ERROR"}, {"MEANING"}});
  for (const auto& row : rows) table.add({text_of(row, "name"), text_of(row, "title")});
  return table.text();
}

CommandSpec explain_command() {
  CommandSpec spec;
  spec.words = "explain";
  spec.summary = "Explain an error by its name, or list all errors";
  spec.examples = {"cairn explain store-locked", "cairn explain"};
  spec.options = {value("error", "ERROR", "Name of an error, as in square brackets", &ExplainCommand::name,
                        Completes::error_names)};
  set_action<ExplainCommand>(spec, run);
  return spec;
}

}  // namespace cairn::cli
