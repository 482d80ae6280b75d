// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/cli/text/output.h"

#include <cerrno>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "config/base/json.h"
#include "daemon/cli/text/screen.h"
#include "daemon/cli/text/table.h"
#include "daemon/queue/job_record.h"

namespace cairn::cli {

Result<void> Output::answer(const nlohmann::json& document, const std::string& text) {
  // Names and messages may hold bytes that are not UTF-8; JSON may not.
  std::string shown = format_ == Format::json ? json_text(document, JsonForm::pretty) : wrapped(text, screen().width);
  if (format_ != Format::json && screen().colour) shown = coloured(shown);
  errno = 0;
  if (std::fwrite(shown.data(), 1, shown.size(), stdout) != shown.size() || std::fflush(stdout) != 0)
    return fail_errno(errno, "write to", "standard output");
  return {};
}

void Output::note(std::string_view text) {
  if (format_ == Format::text) std::fprintf(stderr, "cairn: %s\n", printable(text, Lines::keep).c_str());
}

void Output::error_text(const Error& error, std::string_view about) {
  const std::string name(error.name());
  std::string line = about.empty() ? std::string() : std::string(about) + ": ";
  line += error.message();
  std::fprintf(stderr, "cairn: %s [%s]\nsee \"cairn explain %s\"\n", printable(line, Lines::keep).c_str(), name.c_str(),
               name.c_str());
}

ExitCode Output::fail_with(const Error& error) {
  if (format_ == Format::json)
    (void)answer(nlohmann::json{{"error", error_document(error)}}, {});  // a broken stdout cannot be reported there
  else
    error_text(error);
  return to_exit_code(error);
}

nlohmann::json error_document(const Error& error) {
  nlohmann::json document = to_json(error);
  if (error.resolution.empty()) document["resolution"] = catalogue_entry(error.code).resolution;
  return document;
}

}  // namespace cairn::cli
