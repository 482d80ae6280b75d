// SPDX-License-Identifier: GPL-3.0-or-later
// MemoryImage: a disk in memory that knows its holes and can fail, for tests.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>

#include "fs/image/image_reader.h"

namespace cairn {

class MemoryImage final : public ImageReader {
 public:
  explicit MemoryImage(std::uint64_t size) : size_(size) {}

  // Writes data; what was never written is a hole. Pieces are kept in runs of kRun bytes.
  void write(std::uint64_t offset, ByteView bytes) {
    for_runs(offset, bytes.size(), [&](std::uint64_t run, std::size_t inside, std::size_t size, std::size_t done) {
      Buffer& to = runs_[run];
      to.resize(kRun);
      std::memcpy(to.data() + inside, bytes.data() + done, size);
    });
  }
  void fill_random(std::uint64_t offset, std::size_t size, unsigned seed) {
    std::mt19937_64 generator(seed);
    Buffer bytes((size + 7) / 8 * 8);
    for (std::size_t i = 0; i < bytes.size(); i += 8) put_le(MutableBytes(bytes).subspan(i), generator());
    write(offset, ByteView(bytes).first(size));
  }
  [[nodiscard]] Buffer content(std::uint64_t offset, std::size_t size) const {
    Buffer bytes(size);
    for_runs(offset, size, [&](std::uint64_t run, std::size_t inside, std::size_t length, std::size_t done) {
      if (const auto from = runs_.find(run); from != runs_.end())
        std::memcpy(bytes.data() + done, from->second.data() + inside, length);
    });
    return bytes;
  }

  // Called before each read with its offset; an error makes the read fail.
  std::function<Result<void>(std::uint64_t)> before_read;
  std::uint64_t read_bytes = 0;

  [[nodiscard]] std::uint64_t size() const override { return size_; }
  Result<ImageExtent> extent_at(std::uint64_t offset) override {
    const std::uint64_t run = offset / kRun;
    const bool data = runs_.contains(run);
    std::uint64_t end = run + 1;
    if (data) {
      while (runs_.contains(end)) ++end;
    } else {
      const auto next = runs_.upper_bound(run);
      end = next == runs_.end() ? (size_ + kRun - 1) / kRun : next->first;
    }
    return ImageExtent{offset, std::min(end * kRun, size_) - offset, data ? ExtentKind::data : ExtentKind::hole};
  }
  Result<void> read(std::uint64_t offset, MutableBytes to) override {
    const std::lock_guard lock(*mutex_);
    if (before_read) CAIRN_CHECK(before_read(offset));
    const Buffer bytes = content(offset, to.size());
    std::memcpy(to.data(), bytes.data(), bytes.size());
    read_bytes += to.size();
    return {};
  }
  [[nodiscard]] int fd() const override { return -1; }
  Result<std::optional<ImageChange>> changed_underneath() override { return std::optional<ImageChange>(); }
  [[nodiscard]] std::string how() const override { return "memory"; }

 private:
  static constexpr std::uint64_t kRun = 4096;
  // do_run(number of the run, offset in it, bytes, bytes before this one)
  template <class Function>
  static void for_runs(std::uint64_t offset, std::size_t size, Function do_run) {
    for (std::size_t done = 0; done < size;) {
      const auto inside = static_cast<std::size_t>((offset + done) % kRun);
      const std::size_t here = std::min<std::size_t>(kRun - inside, size - done);
      do_run((offset + done) / kRun, inside, here, done);
      done += here;
    }
  }
  std::uint64_t size_;
  // Reads come from several threads. Shared by copies, which is harmless.
  std::shared_ptr<std::mutex> mutex_ = std::make_shared<std::mutex>();
  std::map<std::uint64_t, Buffer> runs_;
};

}  // namespace cairn
