// SPDX-License-Identifier: GPL-3.0-or-later
#include "config/disk_source.h"

#include "config/base/enum_words.h"

namespace cairn {
namespace {

// In recovery points: never change one.
constexpr EnumWords<DiskFormat, 7> kDiskFormats{{{DiskFormat::not_said, ""},
                                                 {DiskFormat::raw, "raw"},
                                                 {DiskFormat::qcow2, "qcow2"},
                                                 {DiskFormat::vmdk, "vmdk"},
                                                 {DiskFormat::vdi, "vdi"},
                                                 {DiskFormat::vhdx, "vhdx"},
                                                 {DiskFormat::vhd, "vhd"}}};

}  // namespace

std::string_view to_string(DiskFormat format) {
  return word_of(kDiskFormats, format);
}

std::optional<DiskFormat> parse_disk_format(std::string_view text) {
  // "vpc" is what QEMU and libvirt call it.
  if (text == "vpc") return DiskFormat::vhd;
  if (text.empty()) return std::nullopt;
  return value_of_word(kDiskFormats, text);
}

std::string disk_formats_in_words() {
  return "raw, qcow2, vmdk, vdi, vhdx or vhd";
}

}  // namespace cairn
