// SPDX-License-Identifier: GPL-3.0-or-later
// The error catalogue as a whole: its parts in one list, and what is found in it.
#include "config/base/error_catalogue.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "config/base/result.h"

namespace cairn {
namespace {

// Names that errors had in earlier versions: scripts and logs still have them.
constexpr FormerErrorName kFormerNames[] = {
    {"machine-busy", "job-conflict"},
    {"point-exists", "object-exists"},
};

const std::vector<CatalogueEntry>& catalogue() {
  static const std::vector<CatalogueEntry> kAll = [] {
    std::vector<CatalogueEntry> all;
    for (const auto part :
         {system_errors(), environment_errors(), store_errors(), mount_errors(), image_errors(), daemon_errors(),
          vault_errors(), disk_keys_errors(), points_errors(), label_errors(), guest_errors()})
      std::ranges::copy(part, std::back_inserter(all));
    return all;
  }();
  return kAll;
}

}  // namespace

std::span<const CatalogueEntry> error_catalogue() {
  return catalogue();
}

std::span<const FormerErrorName> former_error_names() {
  return kFormerNames;
}

const CatalogueEntry& catalogue_entry(ErrorCode code) {
  for (const CatalogueEntry& entry : catalogue())
    if (entry.code == code) return entry;
  broken_promise("every error code has a catalogue entry", __FILE__, __LINE__);
}

const CatalogueEntry* find_catalogue_entry(std::string_view name) {
  const auto former = std::ranges::find(kFormerNames, name, &FormerErrorName::former);
  if (former != std::end(kFormerNames)) name = former->name;
  for (const CatalogueEntry& entry : catalogue())
    if (entry.name == name) return &entry;
  return nullptr;
}

}  // namespace cairn
