// SPDX-License-Identifier: GPL-3.0-or-later
// TrackingFallBack: a machine whose tracking works, for tests of what happens when something is not as expected.
#pragma once

#include <gmock/gmock.h>

#include <filesystem>
#include <functional>
#include <string>

#include "tests/daemon/backup/tracked_machine.h"

namespace cairn::testing {

inline constexpr std::size_t kFallBackSize = 4 * kMiB;

class TrackingFallBack : public TrackedMachine {
 protected:
  void SetUp() override {
    if (!mount_file_system("xfs")) GTEST_SKIP() << why_skipped_;
    write(0, random_bytes(kFallBackSize, 1));
    backed_up();
    expect_tracked(0);
  }
  void expect_tracked(std::uint64_t bytes) {
    const nlohmann::json row = backed_up();
    EXPECT_TRUE(only_changes(row)) << row;
    EXPECT_EQ(read_of(row), bytes);
    EXPECT_THAT(clones(), ::testing::ElementsAre(record().clone.path));
  }
  // Reads all with this reason, and these warnings; the next backup is tracked again.
  void expect_fall_back(const std::string& why,
                        const ::testing::Matcher<std::vector<std::string>>& warnings = ::testing::IsEmpty()) {
    write(kMiB, random_bytes(4096, ++writes_));
    const nlohmann::json row = backed_up();
    EXPECT_EQ(row["how"], "reflink clone");
    EXPECT_EQ(read_of(row), std::filesystem::file_size(image_));
    EXPECT_THAT(note_of(row), ::testing::HasSubstr("read whole: "));
    EXPECT_THAT(note_of(row), ::testing::HasSubstr(why));
    EXPECT_THAT(warnings_, warnings);
    write(kMiB, random_bytes(4096, ++writes_));
    expect_tracked(kChunk);
  }
  // Reads all, keeps nothing, leaves nothing.
  void expect_untracked(const std::string& why) {
    const nlohmann::json row = backed_up();
    EXPECT_EQ(read_of(row), std::filesystem::file_size(image_));
    EXPECT_THAT(note_of(row), ::testing::HasSubstr(why));
    EXPECT_FALSE(std::filesystem::exists(record_file()));
  }
  void expect_tracked_after_move(const std::filesystem::path& folder) {
    EXPECT_TRUE(only_changes(backed_up()));
    EXPECT_THAT(clones_in(folder), ::testing::ElementsAre(record().clone.path));
    EXPECT_THAT(clones(), ::testing::IsEmpty());
    EXPECT_FALSE(std::filesystem::exists(box_ / "mnt/.cairn-clones"));
  }
  void change_record(const std::function<void(TrackingRecord&)>& change) {
    TrackingRecord changed = record();
    change(changed);
    put_record(changed);
  }
  std::uint64_t writes_ = 1000;
};

}  // namespace cairn::testing
