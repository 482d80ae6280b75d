// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/write/pack_writer.h"

#include <gtest/gtest.h>

#include <thread>

#include "fs/store/write/record_sink.h"
#include "tests/support/memory_backend.h"
#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

class PackWriting : public testing::Test {
 protected:
  void SetUp() override {
    start_crypto();
    expect_ok(Index::create(directory_.path() / "index", store_));
    index_ = value_of(Index::open(directory_.path() / "index", store_));
  }
  FinishedPack pack_of(std::string_view text) {
    PackBuilder builder(keys_, best_seal_algorithm(), store_);
    builder.add(keys_.namer().name(RecordKind::chunk, as_bytes(text)), RecordKind::chunk, RecordEncoding::plain,
                static_cast<std::uint32_t>(text.size()), as_bytes(text));
    return builder.finish();
  }

  TemporaryDirectory directory_;
  StoreId store_{1};
  KeyRing keys_{SecretBytes(32)};
  std::shared_ptr<Index> index_;
  MemoryBackend backend_;
};

TEST_F(PackWriting, AFlushDoesNotWaitForWhatOthersQueueAfterIt) {
  PackWriter writer(backend_, *index_, [](const IndexedPack&) {});
  expect_ok(writer.write(pack_of("mine")));
  std::atomic<bool> flushed = false;
  std::atomic<int> queued = 0;
  std::jthread other([&] {  // keeps the queue full until the flush is through
    while (!flushed && queued < 20'000) {
      if (!writer.write(pack_of("other " + std::to_string(queued)))) break;
      ++queued;
    }
  });
  while (queued < 4) std::this_thread::yield();
  expect_ok(writer.flush());
  flushed = true;
  other.join();
  EXPECT_LT(queued, 20'000);
  const ChunkName mine = keys_.namer().name(RecordKind::chunk, as_bytes("mine"));
  EXPECT_TRUE(value_of(index_->find(mine)).has_value());
}

TEST_F(PackWriting, AFlushOfNothingReturns) {
  PackWriter writer(backend_, *index_, [](const IndexedPack&) {});
  expect_ok(writer.flush());
  expect_ok(writer.write(pack_of("one")));
  expect_ok(writer.flush());
  expect_ok(writer.flush());
  EXPECT_EQ(value_of(index_->packs()).size(), 1U);
}

TEST_F(PackWriting, AFailureIsForAllAndForEver) {
  FaultyBackend broken(std::shared_ptr<Backend>(&backend_, [](Backend*) {}), 0, CutAt::before_effect);
  RecordSink sink(broken, *index_, keys_, best_seal_algorithm(), store_, 2);
  const Buffer bytes(100, 7);
  const NewRecord record{keys_.namer().name(RecordKind::chunk, bytes), RecordKind::chunk, Compress::never, bytes};
  EXPECT_TRUE(sink.store({&record, 1}, 0));
  EXPECT_FALSE(sink.flush());
  // The record is claimed but not there: whoever stores it again must hear of it.
  EXPECT_FALSE(sink.store({&record, 1}, 1));
  EXPECT_FALSE(sink.flush());
}

}  // namespace
}  // namespace cairn
