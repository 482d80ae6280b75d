// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/source/disk_format.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>

#include "config/base/enum_words.h"
#include "crypto/volume/fd_source.h"
#include "crypto/volume/image_format.h"
#include "fs/image/raw_image.h"

namespace cairn {
namespace {

constexpr const char* kSettling = "back up";

// In recovery points: never change one.
constexpr EnumWords<FormatFrom, 5> kFormatFrom{{{FormatFrom::settings, "settings"},
                                                {FormatFrom::definition, "definition"},
                                                {FormatFrom::found, "found"},
                                                {FormatFrom::device, "device"},
                                                {FormatFrom::server, "server"}}};

std::string looks_in_words(const ImageFormat& looks) {
  return looks.detail.empty() ? "a " + looks.name + " file" : fmt::format("a {} file ({})", looks.name, looks.detail);
}

// What the bytes of an image look like, and which file it is: told by nothing that a guest can write.
struct Look {
  std::optional<ImageFormat> looks;
  bool is_block_device = false;
  std::uint64_t inode = 0;  // of a regular file
  std::uint64_t size = 0;
};

// The format of what it looks like, if it is one that is read.
std::optional<DiskFormat> readable(const ImageFormat& looks) {
  const bool can_be_followed = !looks.elsewhere || looks.suffix == "qcow2";
  return can_be_followed ? parse_disk_format(looks.suffix) : std::nullopt;
}

Result<Look> look_at_image(const std::filesystem::path& image) {
  CAIRN_TRY(const ImageFile file, open_image_file(image));
  Look look;
  look.is_block_device = file.is_block_device;
  if (file.is_block_device) return look;  // its bytes are a guest's, and nothing is guessed from them
  struct stat facts{};
  if (::fstat(file.fd.get(), &facts) != 0)
    return fail_errno(errno, "read image", image.string(), ErrorCode::image_unreadable);
  look.inode = facts.st_ino;
  look.size = static_cast<std::uint64_t>(facts.st_size);
  FdSource bytes(file.fd.get(), look.size, image.string());
  CAIRN_TRY(look.looks, find_image_format(bytes));
  return look;
}

class Settling {
 public:
  Settling(const DiskSettings& disk, const std::vector<DefinedDisk>& defined, const DiskRecord* previous,
           const std::string& object)
      : defined_(defined), previous_(previous), object_(object) {
    settled_.disk = disk;
  }

  Result<SettledDisk> run() {
    DiskSource& source = settled_.disk.image;
    if (source.kind == DiskSource::Kind::nbd) return as(DiskFormat::raw, FormatFrom::server);
    auto look = look_at_image(source.path);
    // What cannot be opened says so when it is opened.
    if (!look && look.error().code != ErrorCode::io_error) return std::move(settled_);
    if (!look) return pass_on(std::move(look).error());
    look_ = *std::move(look);
    const DefinedDisk* const defined = definition_of(source.path);
    if (defined != nullptr) take_files(*defined);
    if (source.format != DiskFormat::not_said) return as(source.format, FormatFrom::settings);
    if (defined != nullptr)
      if (const auto format = parse_disk_format(defined->format)) return as(*format, FormatFrom::definition);
    if (look_.is_block_device) return as(DiskFormat::raw, FormatFrom::device);
    return found();
  }

 private:
  // The disk of the definition that is this image.
  [[nodiscard]] const DefinedDisk* definition_of(const std::filesystem::path& image) const {
    const auto is_it = [&](const DefinedDisk& disk) { return is_same_image(disk.source, image); };
    const auto found = std::ranges::find_if(defined_, is_it);
    return found == defined_.end() ? nullptr : &*found;
  }
  // What the definition names may be read, unless the settings name something.
  void take_files(const DefinedDisk& defined) {
    DiskSource& source = settled_.disk.image;
    if (source.backing.empty())
      for (std::size_t i = 0; i < defined.backing.size(); ++i)
        source.backing.push_back(
            {defined.backing[i], parse_disk_format(defined.backing_formats[i]).value_or(DiskFormat::not_said)});
    if (source.data_file.empty()) source.data_file = defined.data_file;
  }

  // Nobody says it: what was found at the earlier point holds; else what it looks like now.
  Result<SettledDisk> found() {
    const auto now = look_.looks ? readable(*look_.looks) : DiskFormat::raw;
    if (previous_ == nullptr || previous_->image != settled_.disk.image.text()) {
      if (now) return as(*now, FormatFrom::found);
      return refuse();
    }
    // Earlier versions read everything as raw.
    const DiskFormat before = parse_disk_format(previous_->format).value_or(DiskFormat::raw);
    if (before == now) return as(before, FormatFrom::found);
    if (was_raw()) return as(DiskFormat::raw, FormatFrom::found);
    if (!now) return refuse();
    const std::string looks = look_.looks ? looks_in_words(*look_.looks) : std::string("a raw disk");
    return fail(
        ErrorCode::image_format_changed, kSettling, object_,
        fmt::format("the image {} was read as {} at the previous recovery point, and looks like {} now; neither "
                    "the settings nor the definition say what it is",
                    settled_.disk.image.text(), to_string(before), looks));
  }

  [[nodiscard]] std::unexpected<Error> refuse() const {
    return fail(ErrorCode::image_not_raw, kSettling, object_,
                fmt::format("the image {} looks like {}", settled_.disk.image.text(), looks_in_words(*look_.looks)));
  }

  // A guest writes the bytes of its disk, but not the name, number and size of the file that they are in.
  [[nodiscard]] bool was_raw() const {
    return previous_ != nullptr && previous_->stored_as.empty() && !previous_->image.empty() &&
           (previous_->format.empty() || previous_->format == to_string(DiskFormat::raw)) &&
           previous_->image == settled_.disk.image.text() && previous_->inode == look_.inode &&
           previous_->map.size == look_.size;
  }

  Result<SettledDisk> as(DiskFormat format, FormatFrom from) {
    settled_.format = format;
    settled_.from = from;
    settled_.disk.image.format = format;
    if (!look_.looks) return std::move(settled_);
    if (format == DiskFormat::raw) return raw_that_looks_otherwise();
    using Encryption = ImageFormat::Encryption;
    if (format != DiskFormat::qcow2 || look_.looks->suffix != "qcow2" || look_.looks->encryption == Encryption::none)
      return std::move(settled_);
    if (look_.looks->encryption == Encryption::other || look_.looks->elsewhere)
      return fail(ErrorCode::image_encrypted, kSettling, object_,
                  fmt::format("the image {} is {}", settled_.disk.image.text(), looks_in_words(*look_.looks)));
    // Its ciphertext is bound to its place in the file: only the file as it is keeps it encrypted.
    settled_.disk.image.as_file = true;
    settled_.stored_as = look_.looks->suffix;
    return std::move(settled_);
  }

  Result<SettledDisk> raw_that_looks_otherwise() {
    if (!was_raw()) {
      settled_.stored_as = look_.looks->suffix;
      return std::move(settled_);
    }
    settled_.warning = Error{ErrorCode::image_not_raw,
                             "take for anything but a raw disk",
                             object_,
                             "it looks like " + looks_in_words(*look_.looks) +
                                 " now, and the same file was a raw disk at the previous recovery point; it was backed "
                                 "up as a raw disk: what runs in the guest can write such bytes",
                             0,
                             "look in the guest for who wrote them; open the restored image with format=raw only"};
    return std::move(settled_);
  }

  const std::vector<DefinedDisk>& defined_;
  const DiskRecord* previous_;
  const std::string& object_;
  Look look_;
  SettledDisk settled_;
};

}  // namespace

std::string_view to_string(FormatFrom from) {
  return word_of(kFormatFrom, from);
}

Result<SettledDisk> settle_disk(const DiskSettings& disk, const std::vector<DefinedDisk>& defined,
                                const DiskRecord* previous, const std::string& object) {
  return Settling(disk, defined, previous, object).run();
}

Result<std::vector<SettledDisk>> settle_machine(const MachineSettings& machine,
                                                const std::optional<RecoveryPoint>& previous) {
  const std::vector<DefinedDisk> defined = defined_disks(machine);
  std::vector<SettledDisk> settled;
  for (const DiskSettings& disk : machine.disks) {
    CAIRN_TRY(SettledDisk one, settle_disk(disk, defined, previous ? previous->disk(disk.name) : nullptr,
                                           machine.name + "/" + disk.name));
    settled.push_back(std::move(one));
  }
  return settled;
}

void note_format(const SettledDisk& settled, DiskRecord& record) {
  const DiskSource& source = settled.disk.image;
  struct stat facts{};
  record.image = source.text();
  if (source.kind == DiskSource::Kind::local && ::stat(source.path.c_str(), &facts) == 0 && S_ISREG(facts.st_mode))
    record.inode = facts.st_ino;
  record.stored_as = settled.stored_as;
  record.format = to_string(settled.format);
  record.format_from = to_string(settled.from);
}

std::vector<DefinedDisk> defined_disks(const MachineSettings& machine) {
  const auto text =
      machine.definition ? read_definition(*machine.definition) : Result<std::string>(machine.definition_of_guest);
  if (!text || !looks_like_xml(*text)) return {};
  auto disks = disks_of_definition(*text, machine.definition ? machine.definition->string() : machine.guest.text());
  return disks ? *std::move(disks) : std::vector<DefinedDisk>();
}

std::string format_in_words(const SettledDisk& settled) {
  const std::string format(to_string(settled.format));
  switch (settled.from) {
    case FormatFrom::settings:
      return format + ", as the settings say";
    case FormatFrom::definition:
      return format + ", as the definition says";
    case FormatFrom::found:
      return format + " (found; nobody says it)";
    case FormatFrom::device:
    case FormatFrom::server:
      return format;
  }
  return format;
}

}  // namespace cairn
