// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/cli/text/key_label.h"

#include <string_view>

#include "config/yaml_reader.h"
#include "daemon/cli/text/table.h"

namespace cairn::cli {
namespace {

// C0, DEL and C1: what could drive the terminal that shows the label. `text` is UTF-8.
bool has_control_characters(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte < 0x20 || byte == 0x7F) return true;
    if (byte == 0xC2 && static_cast<unsigned char>(text[i + 1]) < 0xA0) return true;
  }
  return false;
}

}  // namespace

Result<void> check_key_label(const std::string& doing, const std::string& label) {
  const auto refuse = [&](const std::string& because) -> Result<void> {
    return fail(ErrorCode::used_wrongly, doing, {}, because,
                "give --label with 1 to " + std::to_string(kLongestKeyLabel) + " bytes of UTF-8 text");
  };
  if (label.empty()) return refuse("its label is empty");
  if (!is_utf8(label)) return refuse("its label is not UTF-8 text");
  if (has_control_characters(label)) return refuse("its label \"" + printable(label) + "\" has control characters");
  if (label.size() > kLongestKeyLabel)
    return refuse("its label \"" + label + "\" is " + std::to_string(label.size()) + " bytes long");
  return {};
}

}  // namespace cairn::cli
