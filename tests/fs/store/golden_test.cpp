// SPDX-License-Identifier: GPL-3.0-or-later
// The golden stores: written once by each format version and kept. They must open for ever, and FORMAT.md quotes their
// bytes. Made by  CAIRN_MAKE_GOLDEN=tests/fs/store/golden test_store --gtest_filter=Golden.*
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "config/base/units.h"
#include "fs/store/create_store.h"
#include "fs/store/index/index.h"
#include "fs/store/verify/rebuild_index.h"
#include "tests/fs/store/stored_disk.h"
#include "tests/support/memory_image.h"
#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

// Bytes 0, 1, ... 31: a key file for tests only.
SecretBytes golden_key() {
  SecretBytes key(32);
  for (std::size_t i = 0; i < key.size(); ++i) key.reveal()[i] = static_cast<std::uint8_t>(i);
  return key;
}

// Which version of packs, and sealed with what.
struct GoldenStore {
  int version;
  SealAlgorithm algorithm;
};

// Chunk 0: text, compressed in the pack. Chunk 1: zeros. Version 2 has a chunk here that does not compress, and is
// sealed in sections. The last one: 100 bytes that do not compress.
MemoryImage golden_image(int version) {
  const unsigned whole = version == 1 ? 2 : 3;
  MemoryImage image(whole * kMinChunkSize + 100);
  Buffer text;
  for (unsigned line = 0; text.size() < kMinChunkSize; ++line)
    append(text, as_bytes("line " + std::to_string(line) + "\n"));
  text.resize(kMinChunkSize);
  image.write(0, text);
  image.fill_random(2ULL * kMinChunkSize, image.size() - 2ULL * kMinChunkSize, 7);
  return image;
}

constexpr int kWrittenVersion = 2;  // by this code
const std::filesystem::path kGolden = CAIRN_GOLDEN_DIR;

class Golden : public testing::TestWithParam<GoldenStore> {
 protected:
  [[nodiscard]] static std::string name() {
    return "v" + std::to_string(GetParam().version) + "-" + std::string(to_string(GetParam().algorithm));
  }

  void SetUp() override {
    start_crypto();
    if (!is_available(GetParam().algorithm)) GTEST_SKIP() << "this CPU has no " << to_string(GetParam().algorithm);
    const char* const make = std::getenv("CAIRN_MAKE_GOLDEN");
    if (make == nullptr || GetParam().version != kWrittenVersion) return;
    if (const auto path = std::filesystem::path(make) / name(); !std::filesystem::exists(path)) write_golden(path);
  }

  static void write_golden(const std::filesystem::path& path) {
    NewKeySlot slot;
    slot.label = "golden";
    slot.secret = golden_key();
    StoreParameters parameters;
    parameters.chunk_size = kMinChunkSize;
    parameters.algorithm = GetParam().algorithm;
    expect_ok(create_store(path, parameters, {&slot, 1}));
    const auto store = value_of(Store::open(path, {KeySlotType::key_file, golden_key(), "golden key"}));
    MemoryImage image = golden_image(GetParam().version);
    value_of(take_backup(*store, image, "golden", test_time()));
    for (const char* cache : {"index", "tmp", "lock", "store.json.copy", "newest", "space"})
      std::filesystem::remove_all(path / cache);
  }
};

TEST_P(Golden, StillOpensAndReadsTheSame) {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "store";
  std::filesystem::copy(kGolden / name(), path, std::filesystem::copy_options::recursive);
  const auto store = value_of(Store::open(path, {KeySlotType::key_file, golden_key(), "golden key"}));
  EXPECT_EQ(store->info().algorithm, GetParam().algorithm);
  const RebuildReport report = value_of(rebuild_index(*store));
  EXPECT_EQ(report.packs, 1U);
  EXPECT_EQ(report.records, GetParam().version == 1 ? 3U : 4U);
  const RecoveryPoint point = value_of(store->points().load({"golden", test_time()}));
  ASSERT_EQ(point.disks.size(), 1U);
  const MemoryImage image = golden_image(GetParam().version);
  EXPECT_EQ(read_disk(*store, point.disks[0].map), image.content(0, image.size()));
}

// The same bytes get the same name for ever, or nothing would be shared with older points.
TEST_P(Golden, NamesChunksTheSame) {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "store";
  std::filesystem::copy(kGolden / name(), path, std::filesystem::copy_options::recursive);
  const auto store = value_of(Store::open(path, {KeySlotType::key_file, golden_key(), "golden key"}));
  value_of(rebuild_index(*store));
  MemoryImage image = golden_image(GetParam().version);
  EXPECT_EQ(value_of(take_backup(*store, image, "golden", test_time(1))).new_bytes, 0U);
}

TEST_P(Golden, IsWhatTheFormatDocumentShows) {
  std::ifstream document(std::filesystem::path(CAIRN_FORMAT_DOCUMENT));
  const std::string text((std::istreambuf_iterator<char>(document)), {});
  std::string hex;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(kGolden / name() / "packs")) {
    if (!entry.is_regular_file()) continue;
    std::ifstream pack(entry.path(), std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(pack)), {});
    // The document shows one of them.
    if (GetParam().algorithm != SealAlgorithm::aes256_gcm || GetParam().version != kWrittenVersion) return;
    EXPECT_THAT(text, testing::HasSubstr(entry.path().filename().string()));
    const ByteView view = as_bytes(bytes);
    for (const std::size_t row : {0U, 16U, 32U, 48U})
      EXPECT_THAT(text, testing::HasSubstr(to_hex(view.subspan(row, 16)))) << "header row " << row;
    EXPECT_THAT(text, testing::HasSubstr(to_hex(view.subspan(view.size() - 32, 16))));
    EXPECT_THAT(text, testing::HasSubstr(to_hex(view.subspan(view.size() - 16, 16))));
  }
}

INSTANTIATE_TEST_SUITE_P(Stores, Golden,
                         testing::Values(GoldenStore{1, SealAlgorithm::aes256_gcm},
                                         GoldenStore{1, SealAlgorithm::xchacha20_poly1305},
                                         GoldenStore{2, SealAlgorithm::aes256_gcm},
                                         GoldenStore{2, SealAlgorithm::xchacha20_poly1305}),
                         [](const auto& which) {
                           return (which.param.algorithm == SealAlgorithm::aes256_gcm ? "AesV" : "XChaChaV") +
                                  std::to_string(which.param.version);
                         });

}  // namespace
}  // namespace cairn
