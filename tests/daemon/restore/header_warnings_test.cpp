// SPDX-License-Identifier: GPL-3.0-or-later
// What is said with a restored header, and that nobody else chooses where it goes.
#include <unistd.h>

#include "tests/daemon/restore/header_restore_fixture.h"

namespace cairn {
namespace {

using namespace cairn::testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
namespace fs = std::filesystem;
using nlohmann::json;

TEST_F(HeaderRestore, SaysWhatOpensTheVolumeAndWhatIsToBeKnownOfThePoint) {
  NEEDS_CRYPTSETUP();
  luks();
  const PointName point = back_up();
  const json files = value_of(to_files(point));
  ASSERT_THAT(files.at("keys"), SizeIs(1));
  EXPECT_EQ(files.at("keys")[0].at("state"), "none");
  EXPECT_THAT(job_.view().warnings, ElementsAre(HasSubstr("nothing in the recovery point opens root")));
  HeaderInPlaceTask task{point, "root", image_, kept_};
  task.now = point.time - std::chrono::days(1);
  const json placed = value_of(restore_header_in_place(*store_, task, clock_));
  EXPECT_EQ(placed.at("keys"), files.at("keys"));
  EXPECT_THAT(placed.at("warnings"), ElementsAre(HasSubstr("[point-in-future]"), HasSubstr("nothing in the recovery")));
}

TEST_F(HeaderRestore, FollowsNoLinkOfSomebodyElse) {
  NEEDS_CRYPTSETUP();
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a link to another user";
  luks();
  const PointName point = back_up();
  fs::create_symlink(image_, box_ / "link");
  EXPECT_TRUE(in_place(point, box_ / "link", false)) << "our own are followed";
  zero(0, kMiB);
  const Buffer before = read_all(image_);
  ASSERT_EQ(::lchown((box_ / "link").c_str(), 65534, 65534), 0);
  const auto refused = in_place(point, box_ / "link", true);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::wrong_file_type);
  EXPECT_THAT(refused.error().message(), HasSubstr("link of user 65534"));
  EXPECT_TRUE(same_bytes(read_all(image_), before));
}

}  // namespace
}  // namespace cairn
