// SPDX-License-Identifier: GPL-3.0-or-later
// find_image_format. Offsets: crypto/volume/VOLUMES.md, "Image formats".
#include "crypto/volume/image_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "config/base/big_endian.h"
#include "config/base/text.h"
#include "crypto/volume/volume_source.h"

namespace cairn {

namespace {

constexpr std::size_t kLook = 4096;
constexpr std::size_t kFooter = 512;  // of VHD and DMG
constexpr std::size_t kLongestName = 1023;

template <class Integer>
Integer little_at(ByteView bytes, std::size_t at) {
  return get_le<Integer>(bytes.subspan(at));
}

bool has_text(ByteView bytes, std::size_t at, std::string_view text) {
  return bytes.size() >= at + text.size() && as_text(bytes.subspan(at, text.size())) == text;
}

void add(std::string& detail, const std::string& words) {
  if (!detail.empty()) detail += "; ";
  detail += words;
}

// The name of another file in the header, for people; empty: there is none, or not where it can be read here.
std::string name_at(ByteView start, std::uint64_t offset, std::uint64_t size) {
  if (offset == 0 || size == 0 || size > kLongestName || offset > start.size() || size > start.size() - offset)
    return {};
  return printable(as_text(start.subspan(static_cast<std::size_t>(offset), static_cast<std::size_t>(size))));
}

std::string backing_file(ByteView start, std::uint64_t offset, std::uint64_t size) {
  if (offset == 0) return {};
  const std::string name = name_at(start, offset, size);
  return name.empty() ? "it is an overlay: part of the disk lies in another file"
                      : fmt::format("it is an overlay: part of the disk lies in \"{}\"", name);
}

ImageFormat qcow2(ByteView start) {
  ImageFormat found{"qcow2", "qcow2", {}};
  const auto version = get_be<std::uint32_t>(start, 4);
  if (version == 1) found = {"qcow", "qcow", {}};
  if (const std::string words = backing_file(start, get_be<std::uint64_t>(start, 8), get_be<std::uint32_t>(start, 16));
      !words.empty()) {
    add(found.detail, words);
    found.elsewhere = true;
  }
  constexpr std::uint64_t kDataFile = 4;  // an incompatible feature
  if (version >= 3 && (get_be<std::uint64_t>(start, 72) & kDataFile) != 0) {
    add(found.detail, "its data lie in another file");
    found.elsewhere = true;
  }
  // qcow1 has its method at 36, qcow2 at 32.
  switch (get_be<std::uint32_t>(start, version == 1 ? 36 : 32)) {
    case 0:
      break;
    case 1:
      found.encryption = ImageFormat::Encryption::other;
      add(found.detail, "encrypted by the format itself (AES-CBC)");
      break;
    case 2:
      found.encryption = ImageFormat::Encryption::luks;
      add(found.detail, "encrypted by the format itself (LUKS)");
      break;
    default:
      found.encryption = ImageFormat::Encryption::other;
      add(found.detail, "encrypted by a method that is not known");
  }
  return found;
}

ImageFormat qed(ByteView start) {
  constexpr std::uint64_t kHasBackingFile = 1;
  ImageFormat found{"QED", "qed", {}};
  if ((little_at<std::uint64_t>(start, 16) & kHasBackingFile) != 0)
    found.detail = backing_file(start, little_at<std::uint32_t>(start, 56), little_at<std::uint32_t>(start, 60));
  return found;
}

ImageFormat vmdk_descriptor(ByteView start) {
  ImageFormat found{"VMDK", "vmdk", "a descriptor: the disk's data lie in other files"};
  found.elsewhere = true;
  const std::string text = lower_ascii(as_text(start));
  if (text.find("encryption.keysafe") != std::string::npos) add(found.detail, "encrypted by the format itself");
  return found;
}

std::optional<ImageFormat> by_start(ByteView start) {
  if (start.size() < kFooter) {
    // A descriptor may be as short as its text.
    if (lower_ascii(as_text(start)).starts_with("# disk descriptorfile")) return vmdk_descriptor(start);
    return std::nullopt;
  }
  if (has_text(start, 0, std::string_view("QFI\xfb", 4))) return qcow2(start);
  if (has_text(start, 0, std::string_view("QED\0", 4))) return qed(start);
  if (has_text(start, 0, "KDMV") || has_text(start, 0, "COWD"))
    return ImageFormat{"VMDK", "vmdk", "a sparse extent", {}, false};
  if (little_at<std::uint64_t>(start, 0) == 0xCAFEBABE)
    return ImageFormat{.name = "VMDK", .suffix = "vmdk", .detail = "a snapshot's extent (SESparse)", .elsewhere = true};
  if (lower_ascii(as_text(start.first(32))).starts_with("# disk descriptorfile")) return vmdk_descriptor(start);
  if (little_at<std::uint32_t>(start, 64) == 0xBEDA107F) return ImageFormat{"VDI", "vdi", {}};
  if (has_text(start, 0, "vhdxfile")) return ImageFormat{"VHDX", "vhdx", {}};
  if (has_text(start, 0, "WithoutFreeSpace") || has_text(start, 0, "WithouFreSpacExt"))
    return ImageFormat{"Parallels", "hds", {}};
  return std::nullopt;
}

// Virtual PC's footer: 512 bytes (511 in old versions), at the end; dynamic and differencing ones have a copy at the
// start. Its checksum (at 64) is the ones' complement of the sum of all other bytes.
std::optional<ImageFormat> vhd(ByteView footer) {
  constexpr std::size_t kChecksumAt = 64;
  if (footer.size() < kFooter - 1 || !has_text(footer, 0, "conectix")) return std::nullopt;
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < footer.size(); ++i)
    if (i < kChecksumAt || i >= kChecksumAt + 4) sum += footer[i];
  if (~sum != get_be<std::uint32_t>(footer, kChecksumAt)) return std::nullopt;
  switch (get_be<std::uint32_t>(footer, 60)) {
    case 2:
      return ImageFormat{"VHD", "vhd", "of fixed size: a raw disk and 512 bytes that are not the disk's", {}, false};
    case 4:
      return ImageFormat{.name = "VHD",
                         .suffix = "vhd",
                         .detail = "it is an overlay: part of the disk lies in another file",
                         .elsewhere = true};
    default:
      return ImageFormat{"VHD", "vhd", {}};
  }
}

}  // namespace

Result<std::optional<ImageFormat>> find_image_format(ByteSource& image) {
  const std::uint64_t size = image.size();
  Buffer start(static_cast<std::size_t>(std::min<std::uint64_t>(size, kLook)));
  CAIRN_CHECK(image.read(0, start));
  if (auto found = by_start(start)) return found;
  if (size < kFooter) return std::nullopt;
  if (auto found = vhd(ByteView(start).first(kFooter))) return found;
  Buffer end(kFooter);
  CAIRN_CHECK(image.read(size - kFooter, end));
  if (auto found = vhd(end)) return found;
  if (auto found = vhd(ByteView(end).subspan(1))) return found;
  constexpr std::uint32_t kDmgTrailer = 512;  // its version 4 and its own size follow the magic
  if (has_text(end, 0, "koly") && get_be<std::uint32_t>(end, 4) == 4 && get_be<std::uint32_t>(end, 8) == kDmgTrailer)
    return ImageFormat{"DMG", "dmg", {}};
  return std::nullopt;
}

}  // namespace cairn
