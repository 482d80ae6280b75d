// SPDX-License-Identifier: GPL-3.0-or-later
// VolumeSource: one volume's bytes on the disk being probed, and HeaderCopy: the private copy of its header areas that
// libcryptsetup gets to see instead of the disk. Reads only; bounded by what the callers ask for. One thread at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/byte_source.h"
#include "config/base/bytes.h"
#include "config/base/result.h"
#include "config/base/unique_fd.h"
#include "config/base/units.h"
#include "crypto/volume/volume_facts.h"

namespace cairn {

struct VolumeSource {
  ByteSource& disk;
  unsigned partition = 0;       // 0: the whole disk
  ByteRange place;              // in the disk; lies wholly inside it
  std::string object;           // the disk, for errors
  std::string within = {};      // as VolumeFacts::within
  bool is_header_file = false;  // the bytes are a header alone; its data lie elsewhere
  // The bytes from `offset` of the volume: `size` of them, fewer where the volume ends. Errors: those of the disk.
  [[nodiscard]] Result<Buffer> read(ByteOffset offset, ByteCount size) const;
  // "partition 3", "lv:vg0/root on partition 3" or "the disk", for remarks.
  [[nodiscard]] std::string name() const;
};

class HeaderCopy {
 public:
  // A memfd of `size` bytes, all holes. `object` names the disk in errors. Errors: io_error.
  static Result<HeaderCopy> make(std::uint64_t size, const std::string& object);
  // One that another process has made.
  static HeaderCopy adopt(UniqueFd fd, const std::string& object);
  // Writes `bytes` at `offset`.
  Result<void> fill(std::uint64_t offset, ByteView bytes);
  // The same, and remembers them for unchanged().
  Result<void> put(std::uint64_t offset, Buffer bytes);
  // Whether what was put into [offset, offset + size) is still the same, that is, libcryptsetup has not repaired it.
  [[nodiscard]] bool unchanged(ByteOffset offset, ByteCount size) const;
  // Opens the copy by name: "/proc/self/fd/N".
  [[nodiscard]] std::string path() const;
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  struct Piece {
    std::uint64_t offset;
    Buffer bytes;
  };
  UniqueFd fd_;
  std::string object_;
  std::vector<Piece> pieces_;
};

// Facts with type and place filled in.
VolumeFacts facts_of(const VolumeSource& source, VolumeType type);
// Adds to what is wrong with the volume; words that are empty add nothing.
void add_damage(VolumeFacts& facts, const std::string& words);

// Text found on a disk, for people and JSON: printable ASCII and well-formed UTF-8 stay, every other byte becomes '?'.
// Ends at the first zero byte.
std::string printable(std::string_view text);
// UTF-16LE to printable UTF-8; unpaired surrogates become '?'.
std::string printable_utf16(ByteView bytes);

// The volume kinds. Each looks at the start of the volume and says nothing when it is not of its kind; remarks are
// appended. Errors: those of the disk, io_error.
Result<std::optional<VolumeFacts>> probe_luks(const VolumeSource& source, std::vector<std::string>& remarks);
Result<std::optional<VolumeFacts>> probe_bitlocker(const VolumeSource& source, std::vector<std::string>& remarks);
// A LUKS2 volume of which only the secondary header is left. Where something else lies there too, it is no volume but a
// remark. `partition_table`: the volume holds one, so it need not be looked for anything else.
Result<std::optional<VolumeFacts>> probe_luks2_remains(const VolumeSource& source, bool partition_table,
                                                       std::vector<std::string>& remarks);

}  // namespace cairn
