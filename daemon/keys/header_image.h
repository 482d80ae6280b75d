// SPDX-License-Identifier: GPL-3.0-or-later
// HeaderImage: a volume's header areas as an image of its own: everything else in it is a hole. It ends where the last
// area ends, so it is ingested, mounted and unlocked like a small disk. One thread at a time, as ImageReader.
#pragma once

#include <vector>

#include "crypto/volume/volume.h"
#include "fs/image/image_reader.h"

namespace cairn {

// The header areas of a volume of a disk of `disk_size` bytes: from the volume's start, ascending, none empty, none
// touching the next, all inside the volume and the disk, whatever the facts claim.
std::vector<ByteRange> header_areas(const VolumeFacts& volume, std::uint64_t disk_size);

// Fills `to` from `offset` of the volume; of a detached header, from `offset` of its file, which `from` then is.
Result<void> read_header_bytes(ImageReader& from, const VolumeFacts& volume, std::uint64_t offset, MutableBytes to);

class HeaderImage : public ImageReader {
 public:
  // `disk` must outlive this: the disk, or for a detached header the file that holds it. Areas, or parts of them,
  // beyond the volume or the disk are left out.
  HeaderImage(ImageReader& disk, const VolumeFacts& volume);

  [[nodiscard]] std::uint64_t size() const override { return size_; }
  Result<ImageExtent> extent_at(std::uint64_t offset) override;
  Result<void> read(std::uint64_t offset, MutableBytes to) override;
  [[nodiscard]] int fd() const override { return -1; }
  // The disk's own answer is asked for once, for the disk.
  Result<std::optional<ImageChange>> changed_underneath() override { return std::optional<ImageChange>(); }
  [[nodiscard]] std::string how() const override { return disk_.how(); }

 private:
  ImageReader& disk_;
  const VolumeFacts volume_;
  std::vector<ByteRange> areas_;  // from the volume's start, ascending, not touching each other
  std::uint64_t size_ = 0;
};

}  // namespace cairn
