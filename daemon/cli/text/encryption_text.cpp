// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/cli/text/encryption_text.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "daemon/cli/text/documents.h"
#include "daemon/cli/text/table.h"

namespace cairn::cli {

std::string encryption_text(const nlohmann::json& disk) {
  std::string text = text_of(disk, "encryption");
  if (text.empty()) return {};
  const char* before = ": ";
  for (const char* list : {"not_known", "seen"})
    for (const auto& words : member(disk, list))
      if (words.is_string()) text += std::exchange(before, "; ") + words.get<std::string>();
  return printable(text);
}

}  // namespace cairn::cli
