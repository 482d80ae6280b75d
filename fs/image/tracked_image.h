// SPDX-License-Identifier: GPL-3.0-or-later
// TrackedImage: a clone that knows what is as it was in the clone before: extent_at() answers "as before" for that, and
// what the clone itself says for the rest. One thread at a time.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "fs/image/change/change_tracker.h"
#include "fs/image/image_reader.h"

namespace cairn {

class TrackedImage final : public ImageReader {
 public:
  // Both must outlive this; `clone` is what the tracker calls "now".
  TrackedImage(ImageReader& clone, ChangeTracker& tracker) : clone_(clone), tracker_(tracker) {}

  [[nodiscard]] std::uint64_t size() const override { return clone_.size(); }
  Result<ImageExtent> extent_at(std::uint64_t offset) override;
  Result<void> read(std::uint64_t offset, MutableBytes to) override { return clone_.read(offset, to); }
  [[nodiscard]] int fd() const override { return clone_.fd(); }
  Result<std::optional<ImageChange>> changed_underneath() override { return clone_.changed_underneath(); }
  [[nodiscard]] bool is_snapshot() const override { return clone_.is_snapshot(); }
  [[nodiscard]] std::string how() const override { return "changes between reflink clones"; }
  [[nodiscard]] std::string note() const override;

 private:
  ImageReader& clone_;
  ChangeTracker& tracker_;
};

}  // namespace cairn
