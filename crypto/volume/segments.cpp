// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/volume/segments.h"

#include <algorithm>

namespace cairn {

bool are_whole(std::span<const VolumeSegment> segments, std::uint64_t size) {
  std::uint64_t next = 0;
  for (const VolumeSegment& segment : segments) {
    if (segment.start != next || segment.size == 0 || segment.at.empty()) return false;
    if (segment.size > size - next) return false;
    if (segment.stripe_bytes == 0 && segment.at.size() != 1) return false;
    if (segment.stripe_bytes != 0 && segment.size / segment.at.size() % segment.stripe_bytes != 0) return false;
    next += segment.size;
  }
  return next == size;
}

ByteRange place_of(const VolumeFacts& volume, std::uint64_t offset) {
  if (offset >= volume.place.size) return {0, 0};
  if (volume.segments.empty()) return {volume.place.offset + offset, volume.place.size - offset};
  const auto after = std::ranges::upper_bound(volume.segments, offset, {}, &VolumeSegment::start);
  if (after == volume.segments.begin()) return {0, 0};
  const VolumeSegment& segment = *(after - 1);
  const std::uint64_t inside = offset - segment.start;
  if (inside >= segment.size) return {0, 0};
  if (segment.stripe_bytes == 0) return {segment.at.front() + inside, segment.size - inside};
  const std::uint64_t stripe = inside / segment.stripe_bytes;
  const std::uint64_t in_stripe = inside % segment.stripe_bytes;
  const std::uint64_t count = segment.at.size();
  return {segment.at[static_cast<std::size_t>(stripe % count)] + stripe / count * segment.stripe_bytes + in_stripe,
          std::min(segment.stripe_bytes - in_stripe, segment.size - inside)};
}

std::vector<ByteRange> places_of(const VolumeFacts& volume, const ByteRange& range) {
  std::vector<ByteRange> places;
  for (std::uint64_t done = 0; done < range.size;) {
    ByteRange place = place_of(volume, range.offset + done);
    if (place.size == 0) break;
    place.size = std::min(place.size, range.size - done);
    places.push_back(place);
    done += place.size;
  }
  return places;
}

Result<void> read_volume(ByteSource& disk, const VolumeFacts& volume, std::uint64_t offset, MutableBytes to) {
  while (!to.empty()) {
    const ByteRange place = place_of(volume, offset);
    const auto length = static_cast<std::size_t>(std::min<std::uint64_t>(place.size, to.size()));
    if (length == 0)
      return fail(ErrorCode::io_error, "read the volume", volume_name(volume.partition, volume.within),
                  "it ends before byte " + std::to_string(offset));
    CAIRN_CHECK(disk.read(place.offset, to.first(length)));
    offset += length;
    to = to.subspan(length);
  }
  return {};
}

}  // namespace cairn
