// SPDX-License-Identifier: GPL-3.0-or-later
// Where a disk is read from: image, nbd, format, backing and data_file of the section machines. Keys, defaults and
// ranges: config/REFERENCE.md.
#include <fmt/format.h>

#include <algorithm>

#include "config/base/text.h"
#include "config/settings_reader.h"

namespace cairn {
namespace {

constexpr std::string_view kNbdScheme = "nbd+unix://";
constexpr const char* kNbdExpected = "nbd+unix:///NAME?socket=/PATH (NAME: the export; only sockets of this host)";
// What a path to a socket can have (unix(7)).
constexpr std::size_t kLongestSocket = 107;

}  // namespace

// Only sockets of this host: what goes over a network in the clear is not ours to fetch.
std::optional<DiskSource> SettingsReader::read_nbd(MapReader& map, std::string_view key) {
  const auto text = map.text(key, kNbdExpected);
  if (!text) return std::nullopt;
  constexpr std::string_view kSocket = "socket=";
  const std::size_t query = text->find('?');
  std::string_view socket;
  if (query != std::string::npos && std::string_view(*text).substr(query + 1).starts_with(kSocket))
    socket = std::string_view(*text).substr(query + 1 + kSocket.size());
  // The rest of a URI would be another place, or options that are not meant for a backup.
  const bool is_plain = socket.find_first_of("&#%") == std::string_view::npos;
  if (!text->starts_with(std::string(kNbdScheme) + "/") || !socket.starts_with('/') || !is_plain ||
      socket.size() > kLongestSocket) {
    map.problem(*map.take(key), in_quotes(*text), kNbdExpected);
    return std::nullopt;
  }
  DiskSource source;
  source.kind = DiskSource::Kind::nbd;
  source.uri = *text;
  source.path = socket;
  return source;
}

void SettingsReader::read_source(MapReader& map, const MachineSettings& machine, DiskSource& source) {
  const YamlEntry* const image = map.take("image");
  const YamlEntry* const nbd = map.take("nbd");
  const YamlEntry* const named = image != nullptr ? image : nbd;
  if (image != nullptr && nbd != nullptr)
    map.key_problem(*nbd, "nbd beside image", "one of them: where the disk is read from");
  else if (named == nullptr && machine.guest.kind != GuestSettings::Kind::libvirt)
    map.missing("image", "the image file or block device of the disk (or nbd: an export of an NBD server)");
  const bool is_uri =
      image != nullptr && image->value->kind == YamlNode::Kind::scalar && image->value->text.starts_with("nbd");
  const bool is_scheme = is_uri && image->value->text.find("://") != std::string::npos;
  if (is_scheme) {
    if (auto found = read_nbd(map, "image")) source = *std::move(found);
  } else if (image == nullptr && nbd != nullptr) {
    if (auto found = read_nbd(map, "nbd")) source = *std::move(found);
  } else if (auto path = named_path(map, "image")) {
    source = DiskSource(*std::move(path));
  }
  if (!source.text().empty()) {
    const auto same =
        std::ranges::find(machine.disks, source.text(), [](const DiskSettings& disk) { return disk.image.text(); });
    if (same != machine.disks.end())
      map.problem(*named, fmt::format("the image of disk {} again", in_quotes(same->name)), "an image for each disk");
  }

  const std::string formats = disk_formats_in_words() + " (or no format: then it is found out)";
  if (const auto format = map.text("format", formats)) {
    if (const auto known = parse_disk_format(*format))
      source.format = *known;
    else
      map.problem(*map.take("format"), in_quotes(*format), formats);
    if (source.kind == DiskSource::Kind::nbd && source.format != DiskFormat::raw)
      map.problem(*map.take("format"), in_quotes(*format), "raw or nothing: an NBD server gives the disk itself");
  }
  for (std::filesystem::path& file : map.paths("backing")) source.backing.push_back({std::move(file)});
  if (const auto file = named_path(map, "data_file")) source.data_file = *file;
  const bool others = !source.backing.empty() || !source.data_file.empty();
  if (others && (source.kind == DiskSource::Kind::nbd || source.format == DiskFormat::raw))
    map.key_problem(*(map.take("backing") != nullptr ? map.take("backing") : map.take("data_file")),
                    "other files of a disk that has none", "backing and data_file with an image that is not raw only");
}

}  // namespace cairn
