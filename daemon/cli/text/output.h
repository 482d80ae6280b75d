// SPDX-License-Identifier: GPL-3.0-or-later
// Output: what a command says. Every command has one JSON document and the text made from it; --json shows the
// document, alone on standard output. Errors and notes go to standard error. One thread at a time.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "config/base/result.h"

namespace cairn::cli {

enum class Format { text, json };

class Output {
 public:
  explicit Output(Format format) : format_(format) {}
  [[nodiscard]] Format format() const { return format_; }
  // A command's last act: the document, or the text made from it. Errors: io_error when it cannot be written.
  Result<void> answer(const nlohmann::json& document, const std::string& text);
  // A remark beside the answer, as text only: its facts must stand in the document too.
  void note(std::string_view text);
  // The error as text on standard error: with its name, and where to read about it.
  void error_text(const Error& error, std::string_view about = {});
  // The error as this command's only answer. How the process ends.
  ExitCode fail_with(const Error& error);

 private:
  Format format_;
};

// {"name","message","resolution",...} with the resolution filled in from the catalogue.
nlohmann::json error_document(const Error& error);

}  // namespace cairn::cli
