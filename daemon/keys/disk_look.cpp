// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/keys/disk_look.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "crypto/volume/detached_header.h"
#include "crypto/volume/qcow2_luks.h"
#include "daemon/keys/detached_file.h"
#include "fs/image/open_image.h"

namespace cairn {
namespace {

constexpr const char* kUsingHeader = "use as the header of a disk";

}  // namespace

namespace {
// An image that is one hole has nothing on it, without a look at any byte.
bool is_one_hole(ImageReader& image) {
  if (image.size() == 0) return true;
  const auto extent = image.extent_at(0);
  return extent && extent->kind == ExtentKind::hole && extent->size >= image.size();
}
}  // namespace

namespace {
// What the file's first bytes look like beside that is chance.
Result<void> look_into_qcow2(ImageReader& image, const std::string& object, DiskFacts& facts) {
  CAIRN_TRY(auto volume, probe_qcow2_luks(image, object, facts.remarks));
  facts.volumes.clear();
  facts.partition_table.clear();
  facts.seen.clear();
  if (!volume) return {};
  facts.volumes.push_back(*std::move(volume));
  facts.not_known.clear();
  facts.all_known = true;
  return {};
}
}  // namespace

Result<DiskFacts> look_at_disk(const DiskSettings& disk, ImageReader& image, const std::string& object) {
  CAIRN_TRY(DiskFacts facts, probe_disk(image, object));
  if (disk.image.as_file) CAIRN_CHECK(look_into_qcow2(image, object, facts));
  const std::string where = detached_header_of(disk);
  if (where.empty()) {
    if (is_one_hole(image)) take_for_empty(facts);
    return facts;
  }
  CAIRN_TRY(const auto file, open_detached_header(where, image, object));
  CAIRN_TRY(auto volume, probe_detached_header(*file, where, image.size(), facts.remarks));
  if (!volume) return fail(ErrorCode::detached_header_unusable, kUsingHeader, where, "it holds no LUKS header");
  if (facts.partition_table.empty()) {
    // What looked like nothing known is its ciphertext.
    if (!facts.format) facts.not_known.clear();
  } else {
    CAIRN_CHECK(place_detached_volume(image, *volume, facts, object));
  }
  facts.volumes.push_back(*std::move(volume));
  facts.all_known = facts.not_known.empty();
  return facts;
}

std::optional<Error> encryption_unknown(const DiskSettings& disk, const DiskFacts& facts, const DiskRecord* previous,
                                        const std::string& object) {
  if (facts.encryption() != DiskEncryption::unknown) return std::nullopt;
  const bool named = !disk.beks.empty() || disk.kek.has_value();
  const bool told = previous != nullptr && !previous->facts.encrypted() && !previous->facts.not_known.empty() &&
                    previous->facts.not_known == facts.not_known;
  const bool tells = std::ranges::any_of(
      facts.not_known, [](const std::string& words) { return !words.starts_with(kNothingRecognised); });
  if (!named && (told || !tells)) return std::nullopt;
  std::string because = fmt::format("no LUKS or BitLocker volume was seen, but neither was all of it recognised: {}",
                                    fmt::join(facts.not_known, "; "));
  if (named)
    because += "; the keys that the settings name for it could not be tried, and are kept in the recovery point";
  if (previous != nullptr && previous->facts.encrypted())
    because += "; at the previous recovery point it was encrypted: is its header destroyed?";
  return fail(ErrorCode::encryption_unknown, "tell whether it is encrypted of", object, std::move(because),
              named ? std::string()
                    : "if it is, name its keys, and its header where that is a file elsewhere (header: FILE) or on a "
                      "plain partition of the disk (header: partition:N/PATH); if not, nothing is to be done")
      .error();
}

void take_for_empty(DiskFacts& facts) {
  if (facts.encrypted() || facts.format) return;
  facts.not_known.clear();
  facts.seen = {"nothing but zeros"};
  facts.all_known = true;
}

std::string encryption_in_words(const DiskFacts& facts) {
  switch (facts.encryption()) {
    case DiskEncryption::encrypted:
      return {};
    case DiskEncryption::not_encrypted:
      return fmt::format("not encrypted ({})", fmt::join(facts.seen, ", "));
    case DiskEncryption::unknown:
      return fmt::format("unknown whether it is encrypted ({})", fmt::join(facts.not_known, "; "));
  }
  return {};
}

}  // namespace cairn
