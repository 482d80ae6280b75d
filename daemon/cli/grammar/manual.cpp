// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/cli/grammar/manual.h"

#include <string_view>

namespace cairn::cli {
namespace {

// As troff source that prints just this; at the beginning of a line . and ' would be requests.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else if (c == '\'')
      out += "\\(aq";
    else if (c == '.' && (out.empty() || out.back() == '\n'))
      out += "\\&.";
    else
      out += c;
  }
  return out;
}
std::string bold(const std::string& text) {
  return "\\fB" + escaped(text) + "\\fR";
}
std::string italic(const std::string& text) {
  return "\\fI" + escaped(text) + "\\fR";
}
std::string sentence(const std::string& text) {
  return escaped(text) + (text.ends_with('.') ? "\n" : ".\n");
}

// "-h,--help" as "-h, --help", each name in bold.
std::string option_tag(const OptionSpec& option) {
  std::string tag;
  for (std::size_t at = 0; at <= option.names.size();) {
    const std::size_t end = std::min(option.names.find(',', at), option.names.size());
    tag += (at == 0 ? "" : ", ") + bold(option.names.substr(at, end - at));
    at = end + 1;
  }
  if (option.is_flag()) return tag;
  return tag + (option.value_is_optional ? " [" + italic(option.value) + "]" : " " + italic(option.value));
}

std::string list_of(const std::vector<OptionSpec>& options) {
  std::string text;
  for (const OptionSpec& option : options)
    text +=
        ".TP\n" + (option.is_positional() ? italic(option.value) : option_tag(option)) + "\n" + sentence(option.help);
  return text;
}

std::string synopsis_of(const CommandSpec& command) {
  std::string text = ".HP\n" + bold("cairn " + command.words);
  for (const OptionSpec& option : command.options) {
    const std::string tag =
        option.is_positional() ? italic(option.value) + (option.most == 1 ? "" : "...") : option_tag(option);
    text += option.is_required ? " " + tag : " [" + tag + "]";
  }
  return text + "\n";
}

// Filled text; a line that begins with a blank stays a line.
std::string notes_of(const CommandSpec& command) {
  std::string text;
  bool lines = false;
  for (std::size_t at = 0; at < command.notes.size();) {
    const std::size_t end = std::min(command.notes.find('\n', at), command.notes.size());
    const std::string line = command.notes.substr(at, end - at);
    at = end + 1;
    if (line.starts_with(' ') != lines) text += lines ? ".fi\n" : ".nf\n";
    lines = line.starts_with(' ');
    text += line.empty() ? ".PP\n" : escaped(line) + "\n";
  }
  return text.empty() ? text : ".PP\n" + text + (lines ? ".fi\n" : "");
}

std::string examples_of(const CommandSpec& command) {
  if (command.examples.empty()) return {};
  std::string text =
      std::string(".PP\n") + (command.examples.size() == 1 ? "Example:" : "Examples:") + "\n.PP\n.nf\n.RS 4\n";
  for (const std::string& example : command.examples) text += escaped(example) + "\n";
  return text + ".RE\n.fi\n";
}

std::string section_of(const CommandSpec& command) {
  return ".SS " + escaped(command.words) + "\n" + synopsis_of(command) + ".PP\n" + sentence(command.summary) +
         list_of(command.options) + notes_of(command) + examples_of(command);
}

Result<void> replace_line(std::string& page, const std::string& line, const std::string& text) {
  const std::size_t at = page.find("\n" + line + "\n");
  if (at == std::string::npos) return misuse("make man page", "the page has no line " + line);
  page.replace(at + 1, line.size() + 1, text);
  return {};
}

}  // namespace

Result<std::string> manual_of(const Commands& commands, const std::string& page) {
  std::string sections;
  for (const CommandSpec& command : commands)
    if (!command.hidden && command.run) sections += section_of(command);
  std::string made = page;
  CAIRN_CHECK(replace_line(made, "@COMMANDS@", sections));
  CAIRN_CHECK(replace_line(made, "@OPTIONS@", list_of(global_options())));
  return made;
}

}  // namespace cairn::cli
