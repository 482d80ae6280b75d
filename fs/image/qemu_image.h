// SPDX-License-Identifier: GPL-3.0-or-later
// QemuImage: a disk whose image is not raw, as its guest sees it: QEMU's own reader (qemu-nbd), started by us on clones
// of the files, confined, gives it over NBD. What is read, what is refused and why: fs/image/FORMATS.md.
#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "config/disk_source.h"
#include "fs/image/confined_process.h"
#include "fs/image/image_chain.h"
#include "fs/image/image_reader.h"
#include "fs/image/nbd_image.h"

namespace cairn {

// Read by the thread that opened it and by others, as any ImageReader, but the thread that opened it must outlive it:
// the server ends with that thread, however it ends.
class QemuImage final : public ImageReader {
 public:
  // `source` is local and of a format that is not raw. With CloneMode::try_clone the files are cloned where the file
  // system can, and the clones are read; else the files themselves, without taking QEMU's lock of a live image.
  // Before anything is read: begin_reading(). Errors: those of ImageChain::open().
  static Result<std::unique_ptr<ImageReader>> open(const DiskSource& source, CloneMode mode,
                                                   const std::filesystem::path& clone_folder);
  ~QemuImage() override;
  // Starts the server. Errors: nbd_server_failed, image_not_opened.
  Result<void> begin_reading() override;
  QemuImage(const QemuImage&) = delete;
  QemuImage& operator=(const QemuImage&) = delete;

  [[nodiscard]] std::uint64_t size() const override { return disk_->size(); }
  Result<ImageExtent> extent_at(std::uint64_t offset) override;
  Result<void> read(std::uint64_t offset, MutableBytes to) override;
  [[nodiscard]] int fd() const override;
  Result<std::optional<ImageChange>> changed_underneath() override;
  [[nodiscard]] bool is_snapshot() const override { return chain_.all_cloned(); }
  [[nodiscard]] std::string how() const override;
  [[nodiscard]] std::string note() const override;
  // qemu-img check of every file of the chain that has such tables.
  std::vector<Error> findings() override;
  // The clone of a qcow2 file without others, whose changes are tracked (change/qcow2_extents.h).
  [[nodiscard]] std::filesystem::path clone_folder() const override;
  [[nodiscard]] std::string why_not_keepable() const override { return why_not_keepable_; }

 private:
  QemuImage(ImageChain chain, const DiskSource& source, std::string why_not_cloned)
      : chain_(std::move(chain)), source_(source), why_not_cloned_(std::move(why_not_cloned)) {}
  Result<void> serve();
  // Why its changes cannot be tracked; empty: they can.
  [[nodiscard]] std::string why_not_trackable() const;
  void forget();
  void begin_checks();
  Error with_words(Error error) const;

  ImageChain chain_;
  const DiskSource source_;
  const std::string why_not_cloned_;
  std::string why_not_keepable_;
  CloneMode mode_ = CloneMode::never;
  std::optional<ImageChange> while_cloned_;
  // qemu-img check of one file.
  struct Check {
    std::size_t layer;
    Result<ConfinedProcess> tool;
  };
  std::vector<Check> checks_;
  std::optional<ConfinedProcess> server_;
  std::unique_ptr<NbdImage> disk_;
  std::atomic<std::uint64_t> read_{0};  // bytes
};

}  // namespace cairn
