// SPDX-License-Identifier: GPL-3.0-or-later
// The contract of Backend: what every implementation, and the fake, promises.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "fs/file/direct_io.h"
#include "fs/io/local_backend.h"
#include "tests/support/memory_backend.h"
#include "tests/support/sandbox.h"

namespace cairn {
namespace {

using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

enum class Kind { local, memory };

class BackendContract : public ::testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    if (GetParam() == Kind::memory) {
      backend_ = std::make_unique<MemoryBackend>();
      return;
    }
    std::string pattern = (std::filesystem::temp_directory_path() / "cairn-backend-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
    backend_ = std::make_unique<LocalBackend>(directory_);
  }
  void TearDown() override {
    if (!directory_.empty()) std::filesystem::remove_all(directory_);
  }
  std::string text_of(std::string_view name) {
    const auto bytes = backend_->get(name, 1 << 20);
    return bytes ? std::string(as_text(*bytes)) : std::string(bytes.error().name());
  }
  ErrorCode code_of(const Result<void>& result) { return result ? ErrorCode::internal : result.error().code; }

  std::unique_ptr<Backend> backend_;
  std::filesystem::path directory_;
};

TEST_P(BackendContract, GivesBackWhatWasPut) {
  const ByteView parts[] = {as_bytes("one "), as_bytes(""), as_bytes("two")};
  ASSERT_TRUE(backend_->put("packs/ab/abcd", parts, IfExists::fail));
  EXPECT_EQ(text_of("packs/ab/abcd"), "one two");
}

TEST_P(BackendContract, WhatIsHeldIsNotRemoved) {
  ASSERT_TRUE(backend_->put("points/a", as_bytes("text"), IfExists::fail));
  {
    const auto first = backend_->hold("points/a");
    ASSERT_TRUE(first);
    {
      const auto second = backend_->hold("points/a");
      ASSERT_TRUE(second) << "any number may hold it";
      EXPECT_EQ(backend_->remove_unless_held("points/a").value(), false);
    }
    EXPECT_EQ(backend_->remove_unless_held("points/a").value(), false);
    EXPECT_EQ(text_of("points/a"), "text");
  }
  EXPECT_EQ(backend_->remove_unless_held("points/a").value(), true);
  EXPECT_EQ(text_of("points/a"), "object-missing");
}

TEST_P(BackendContract, WhatIsNotThereCanNeitherBeHeldNorRemoved) {
  EXPECT_EQ(backend_->hold("points/a").error().code, ErrorCode::object_missing);
  EXPECT_EQ(backend_->remove_unless_held("points/a").error().code, ErrorCode::object_missing);
}

TEST_P(BackendContract, AHoldIsOnOneObjectOnly) {
  ASSERT_TRUE(backend_->put("points/a", as_bytes("a"), IfExists::fail));
  ASSERT_TRUE(backend_->put("points/b", as_bytes("b"), IfExists::fail));
  const auto hold = backend_->hold("points/a");
  ASSERT_TRUE(hold);
  EXPECT_EQ(backend_->remove_unless_held("points/b").value(), true);
}

TEST_P(BackendContract, WhoeverOnlyReadsHoldsNothing) {
  ASSERT_TRUE(backend_->put("points/a", as_bytes("text"), IfExists::fail));
  const auto reader = backend_->open("points/a");
  ASSERT_TRUE(reader);
  EXPECT_EQ(backend_->remove_unless_held("points/a").value(), true);
  Buffer bytes(4);
  EXPECT_TRUE((*reader)->read(0, bytes));
  EXPECT_EQ(as_text(bytes), "text");
}

// Holds and removals from several threads: what was held at the end of a removal that said so is there.
TEST_P(BackendContract, HoldingAndRemovingAtOnceAgree) {
  for (int round = 0; round < 200; ++round) {
    ASSERT_TRUE(backend_->put("points/a", as_bytes("text"), IfExists::replace));
    std::atomic<bool> held = false;
    std::atomic<bool> ended = false;
    std::thread holder([&] {
      const auto hold = backend_->hold("points/a");
      if (!hold) return;
      held = true;
      while (!ended) std::this_thread::yield();
    });
    const auto removed = backend_->remove_unless_held("points/a");
    // Asking at the same moment is no error of the disk's; whoever asks again gets the truth.
    const bool gone = removed && *removed;
    EXPECT_EQ(text_of("points/a"), gone ? "object-missing" : "text");
    ended = true;
    holder.join();
    EXPECT_FALSE(gone && held) << "round " << round;
  }
}

TEST_P(BackendContract, NeverReplacesUnlessAsked) {
  ASSERT_TRUE(backend_->put("points/a", as_bytes("first"), IfExists::fail));
  EXPECT_EQ(code_of(backend_->put("points/a", as_bytes("second"), IfExists::fail)), ErrorCode::object_exists);
  EXPECT_EQ(text_of("points/a"), "first");
  ASSERT_TRUE(backend_->put("points/a", as_bytes("third"), IfExists::replace));
  EXPECT_EQ(text_of("points/a"), "third");
}

TEST_P(BackendContract, SaysWhatIsMissing) {
  EXPECT_EQ(text_of("points/nothing"), "object-missing");
  EXPECT_EQ(code_of(backend_->remove("points/nothing")), ErrorCode::object_missing);
  EXPECT_THAT(*backend_->list("points/"), IsEmpty());
}

TEST_P(BackendContract, ListsWhatStartsWithThePrefix) {
  for (const char* name : {"points/a", "points/b", "packs/aa/1", "packs/bb/2", "store.json"})
    ASSERT_TRUE(backend_->put(name, as_bytes("x"), IfExists::fail));
  EXPECT_THAT(*backend_->list("points/"), UnorderedElementsAre("points/a", "points/b"));
  EXPECT_THAT(*backend_->list("packs/"), UnorderedElementsAre("packs/aa/1", "packs/bb/2"));
  ASSERT_TRUE(backend_->remove("points/a"));
  EXPECT_THAT(*backend_->list("points/"), UnorderedElementsAre("points/b"));
}

TEST_P(BackendContract, ReadsRangesAndNoFurther) {
  ASSERT_TRUE(backend_->put("points/a", as_bytes("0123456789"), IfExists::fail));
  const auto object = backend_->open("points/a");
  ASSERT_TRUE(object);
  EXPECT_EQ((*object)->size(), 10U);
  Buffer bytes(4);
  ASSERT_TRUE((*object)->read(3, bytes));
  EXPECT_EQ(as_text(bytes), "3456");
  EXPECT_EQ(code_of((*object)->read(8, bytes)), ErrorCode::object_missing);
}

TEST_P(BackendContract, ReadsRunsFromAnywhereAndNoFurther) {
  Buffer content(20'000);
  for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<std::uint8_t>(i * 7 + i / 256);
  ASSERT_TRUE(backend_->put("packs/ab/abcd", content, IfExists::fail));
  const auto object = backend_->open("packs/ab/abcd");
  ASSERT_TRUE(object);
  BulkBuffer buffer;
  for (const auto& [offset, size] : std::vector<std::pair<std::size_t, std::size_t>>{
           {0, 20'000}, {5, 9000}, {4096, 4096}, {4095, 2}, {16'384, 3616}, {19'999, 1}, {0, 0}}) {
    const auto run = (*object)->read_run(ByteOffset(offset), ByteCount(size), buffer);
    ASSERT_TRUE(run) << offset << " " << size;
    EXPECT_TRUE(std::ranges::equal(*run, ByteView(content).subspan(offset, size))) << offset << " " << size;
  }
  EXPECT_EQ((*object)->read_run(ByteOffset(19'000), ByteCount(1001), buffer).error().code, ErrorCode::object_missing);
  EXPECT_EQ((*object)->read_run(ByteOffset(40'000), ByteCount(1), buffer).error().code, ErrorCode::object_missing);
  ASSERT_TRUE(backend_->remove("packs/ab/abcd"));
  const auto run = (*object)->read_run(ByteOffset(10'000), ByteCount(100), buffer);
  ASSERT_TRUE(run) << "an open object outlives its removal";
  EXPECT_EQ((*run)[0], content[10'000]);
}

TEST_P(BackendContract, AnOpenObjectOutlivesItsRemoval) {
  ASSERT_TRUE(backend_->put("points/a", as_bytes("still here"), IfExists::fail));
  const auto object = backend_->open("points/a");
  ASSERT_TRUE(object);
  ASSERT_TRUE(backend_->remove("points/a"));
  Buffer bytes(10);
  ASSERT_TRUE((*object)->read(0, bytes));
  EXPECT_EQ(as_text(bytes), "still here");
}

TEST_P(BackendContract, RefusesToLoadMoreThanTheLimit) {
  ASSERT_TRUE(backend_->put("points/a", Buffer(100), IfExists::fail));
  const auto bytes = backend_->get("points/a", 99);
  ASSERT_FALSE(bytes);
  EXPECT_EQ(bytes.error().code, ErrorCode::store_damaged);
}

TEST_P(BackendContract, OfManyPutsOfOneNameExactlyOneSucceeds) {
  std::atomic<int> successes = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 8; ++i)
      threads.emplace_back([&, i] {
        if (backend_->put("points/a", as_bytes(std::to_string(i)), IfExists::fail)) ++successes;
      });
  }
  EXPECT_EQ(successes, 1);
}

TEST_P(BackendContract, TheChangeTokenNeverHidesAChange) {
  const auto token = [&] { return *backend_->change_token("points/"); };
  ASSERT_TRUE(backend_->put("points/a", as_bytes("x"), IfExists::fail));
  const auto before = token();
  ASSERT_TRUE(backend_->put("points/b", as_bytes("x"), IfExists::fail));
  const auto after = token();
  EXPECT_TRUE(!before || !after || *before != *after);
}

INSTANTIATE_TEST_SUITE_P(Backends, BackendContract, ::testing::Values(Kind::local, Kind::memory),
                         [](const auto& which) { return which.param == Kind::local ? "Local" : "Memory"; });

class LocalBackendFiles : public BackendContract {};

TEST_P(LocalBackendFiles, LeaveNothingBehindWhenAPutFails) {
  ASSERT_TRUE(backend_->put("points/a", as_bytes("x"), IfExists::fail));
  ASSERT_FALSE(backend_->put("points/a", as_bytes("y"), IfExists::fail));
  EXPECT_TRUE(std::filesystem::is_empty(directory_ / "tmp"));
}

TEST_P(LocalBackendFiles, AreClosedToOthers) {
  ASSERT_TRUE(backend_->put("points/a", as_bytes("x"), IfExists::fail));
  using std::filesystem::perms;
  EXPECT_EQ(std::filesystem::status(directory_ / "points" / "a").permissions(), perms::owner_read | perms::owner_write);
  EXPECT_EQ(std::filesystem::status(directory_ / "points").permissions(), perms::owner_all);
}

TEST_P(LocalBackendFiles, LeftoversGoWhenTheWriterSaysSo) {
  ASSERT_TRUE(backend_->put("points/a", as_bytes("x"), IfExists::fail));
  std::ofstream(directory_ / "tmp" / "old") << "half";
  ASSERT_TRUE(backend_->remove_leftovers());
  EXPECT_TRUE(std::filesystem::is_empty(directory_ / "tmp"));
  EXPECT_EQ(text_of("points/a"), "x");
}

TEST_P(LocalBackendFiles, OnlyRegularFilesAreObjects) {
  std::filesystem::create_directories(directory_ / "points" / "folder");
  EXPECT_EQ(text_of("points/folder"), "object-missing");
}

TEST_P(LocalBackendFiles, ReadsRunsWhereThePageCacheMustNotBePassedBy) {
  const cairn::testing::RamFileSystem mounted;
  if (!mounted.ok()) GTEST_SKIP() << mounted.reason();
  LocalBackend backend(mounted.path());
  ASSERT_TRUE(backend.put("packs/ab/abcd", Buffer(10'000, 'x'), IfExists::fail));
  const auto object = backend.open("packs/ab/abcd");
  ASSERT_TRUE(object);
  BulkBuffer buffer;
  for (int i = 0; i < 2; ++i) {
    const auto run = (*object)->read_run(ByteOffset(100), ByteCount(9900), buffer);
    ASSERT_TRUE(run);
    EXPECT_TRUE(std::ranges::equal(*run, Buffer(9900, 'x')));
  }
}

INSTANTIATE_TEST_SUITE_P(Files, LocalBackendFiles, ::testing::Values(Kind::local), [](const auto&) { return "Local"; });

}  // namespace
}  // namespace cairn
