// SPDX-License-Identifier: GPL-3.0-or-later
// A store in a temporary directory, with a key of its own, for tests.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <string>

#include "fs/store/create_store.h"
#include "fs/store/store.h"
#include "fs/store/write/ingest.h"
#include "fs/store/write/store_writer.h"

namespace cairn {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "cairn-test-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) abort();
    path_ = pattern;
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// The value, or the end of the test with the error's text.
template <class T>
T value_of(Result<T> result) {
  if (!result) throw std::runtime_error(std::string(result.error().name()) + ": " + result.error().message());
  return *std::move(result);
}
inline void expect_ok(const Result<void>& result) {
  EXPECT_TRUE(result.has_value()) << (result ? "" : result.error().message());
}

class TemporaryStore {
 public:
  explicit TemporaryStore(std::uint32_t chunk_size = kMinChunkSize) {
    start_crypto();
    NewKeySlot slot;
    slot.label = "test";
    slot.secret = SecretBytes::copy_of(kKey);
    StoreParameters parameters;
    parameters.chunk_size = chunk_size;
    if (auto made = create_store(path(), parameters, {&slot, 1}); !made)
      throw std::runtime_error(made.error().message());
  }
  [[nodiscard]] std::filesystem::path path() const { return directory_.path() / "store"; }
  [[nodiscard]] static UnlockKey key() { return {KeySlotType::key_file, SecretBytes::copy_of(kKey), "test key"}; }
  [[nodiscard]] std::unique_ptr<Store> open() const { return value_of(Store::open(path(), key())); }

 private:
  static constexpr std::array<std::uint8_t, 32> kKey{1, 2, 3};
  TemporaryDirectory directory_;
};

// Stores `image` as the disk "root" of `machine` and commits the point.
inline Result<RecoveryPoint> take_backup(Store& store, ImageReader& image, const std::string& machine, UtcTime time) {
  CAIRN_TRY(const auto writer, begin_writing(store, "test"));
  CAIRN_TRY(const IngestReport report, ingest_disk(*writer, image, {}));
  RecoveryPoint point;
  point.name = {machine, time};
  point.disks.push_back({"root", report.map, {}, {}});
  point.read_bytes = report.read_bytes;
  point.new_bytes = report.new_bytes;
  point.stored_bytes = report.stored_bytes;
  CAIRN_CHECK(writer->commit(point));
  return point;
}

inline UtcTime test_time(int seconds = 0) {
  return UtcTime(std::chrono::seconds(1'795'219'200 + seconds));
}

}  // namespace cairn
