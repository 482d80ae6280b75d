// SPDX-License-Identifier: GPL-3.0-or-later
// Segments: where on its disk each byte of a volume lies, for volumes in one piece and for those that LVM has put
// together from several. Pure, but for reading. Any thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "config/base/byte_source.h"
#include "crypto/volume/volume_facts.h"

namespace cairn {

// Whether the segments follow each other from 0 to `size` without a gap, and each has its places and whole stripes.
bool are_whole(std::span<const VolumeSegment> segments, std::uint64_t size);

// Where on the disk the byte `offset` of the volume lies, and how many bytes follow it there in one piece. A size of 0:
// the volume ends before.
ByteRange place_of(const VolumeFacts& volume, std::uint64_t offset);

// The parts of the disk that hold `range` of the volume, in the volume's order; what lies beyond its end is left out.
std::vector<ByteRange> places_of(const VolumeFacts& volume, const ByteRange& range);

// Fills `to` from `offset` of the volume, all of it. Errors: io_error (the volume ends before), those of `disk`.
Result<void> read_volume(ByteSource& disk, const VolumeFacts& volume, std::uint64_t offset, MutableBytes to);

// A volume of several segments as a source of its own, for probing. Borrows both.
class SegmentedSource final : public ByteSource {
 public:
  SegmentedSource(ByteSource& disk, const VolumeFacts& volume) : disk_(disk), volume_(volume) {}
  [[nodiscard]] std::uint64_t size() const override { return volume_.place.size; }
  Result<void> read(std::uint64_t offset, MutableBytes to) override { return read_volume(disk_, volume_, offset, to); }
  [[nodiscard]] unsigned sector_bytes() const override { return disk_.sector_bytes(); }

 private:
  ByteSource& disk_;
  const VolumeFacts& volume_;
};

}  // namespace cairn
