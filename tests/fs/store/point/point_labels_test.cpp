// SPDX-License-Identifier: GPL-3.0-or-later
// What a point says of its own making: the words, how far disks are apart, and documents of before there were labels.
#include "fs/store/point/point_labels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "fs/store/point/recovery_point.h"
#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

using nlohmann::json;
using testing::HasSubstr;

DiskReading reading(Consistency consistency) {
  return {consistency, {}, {}};
}

std::uint64_t apart(std::vector<StateTime> disks) {
  return apart_ms(disks);
}
StateTime steady(double from, double until) {
  return {StateTime::Kind::throughout, from, until};
}
StateTime clone(double from, double until) {
  return {StateTime::Kind::once, from, until};
}
StateTime torn(double from, double until) {
  return {StateTime::Kind::spread, from, until};
}

TEST(PointLabels, TheWorstDiskIsWhatIsSaidOfThePoint) {
  using enum Consistency;
  EXPECT_EQ(worst_of({}), unknown) << "nothing was looked at";
  EXPECT_EQ(worst_of(std::vector{reading(crash)}), crash);
  EXPECT_EQ(worst_of(std::vector{reading(crash), reading(unknown)}), unknown);
  EXPECT_EQ(worst_of(std::vector{reading(torn), reading(unknown), reading(crash)}), torn);
  for (const Consistency word : {crash, filesystem, application, torn, unknown})
    EXPECT_EQ(parse_consistency(to_string(word)), word);
}

TEST(PointLabels, DisksAreOfOneInstantWhenThereWasOneAtWhichAllWereAsTheyWereRead) {
  EXPECT_EQ(apart({clone(0, 4)}), 0U) << "one clone is one instant";
  EXPECT_EQ(apart({steady(1, 900), steady(2, 1800)}), 0U) << "nobody wrote to either";
  EXPECT_EQ(apart({steady(1, 900), clone(2, 5)}), 0U);
  EXPECT_EQ(apart({clone(0, 2.5), clone(2.5, 7.2)}), 8U) << "each at some instant in its own time";
  EXPECT_EQ(apart({clone(0, 0.1), clone(0.1, 0.2)}), 1U) << "never rounded down to one instant";
  EXPECT_EQ(apart({torn(3, 8003)}), 8000U) << "the parts of one disk are apart";
  EXPECT_EQ(apart({steady(1, 900), torn(2, 1800)}), 1798U);
  EXPECT_EQ(apart({steady(10, 20), clone(30, 35)}), 15U) << "the clone was made after the other was last looked at";
  EXPECT_EQ(apart({steady(0, 10), steady(25, 30)}), 15U);
}

TEST(PointLabels, APointOfBeforeThereWereLabelsIsUnknownAndNotGood) {
  RecoveryPoint point;
  point.name = {"web", *parse_iso_time("2026-11-21T02:00:00Z")};
  point.disks.push_back({"root", {}, {}});
  point.disks[0].reading = {Consistency::crash, "", "file"};
  point.apart_ms = 0;
  json document = to_json(point);
  EXPECT_EQ(document["consistency"], "unknown") << "the writer says it of all disks";
  document["consistency"] = "crash";
  EXPECT_EQ(value_of(point_from_json(document, "p")).consistency, Consistency::crash);

  for (const char* member : {"consistency", "consistency_reason", "how"}) document["disks"][0].erase(member);
  for (const char* member : {"apart_ms", "left_out"}) document.erase(member);
  const RecoveryPoint old = value_of(point_from_json(document, "p"));
  EXPECT_EQ(old.consistency, Consistency::unknown);
  EXPECT_EQ(old.disks[0].reading.consistency, Consistency::unknown);
  EXPECT_THAT(old.disks[0].reading.reason, HasSubstr("did not record it"));
  EXPECT_EQ(old.apart_ms, std::nullopt);
  EXPECT_FALSE(old.suspect());
}

TEST(PointLabels, AWordOfALaterVersionIsUnknownAndNoDamage) {
  RecoveryPoint point;
  point.name = {"web", *parse_iso_time("2026-11-21T02:00:00Z")};
  point.disks.push_back({"root", {}, {}});
  json document = to_json(point);
  document["disks"][0]["consistency"] = "frozen";
  EXPECT_EQ(value_of(point_from_json(document, "p")).consistency, Consistency::unknown);
}

TEST(PointLabels, AllOfThemComeBackFromTheDocument) {
  RecoveryPoint point;
  point.name = {"web", *parse_iso_time("2026-11-21T02:00:00Z")};
  point.disks.push_back({"root", {}, {}});
  point.disks[0].reading = {Consistency::torn, "it was written to", "file"};
  point.disks[0].suspicion = Suspicion{"it has 0 bytes", "web@20261120T020000Z", 1048576, 65536};
  point.left_out = {{"data", "web@20261119T020000Z"}};
  point.apart_ms = 8000;
  point.trusted_time = *parse_iso_time("2026-11-20T02:00:00Z");
  const RecoveryPoint read = value_of(point_from_json(to_json(point), "p"));
  EXPECT_EQ(read.consistency, Consistency::torn);
  EXPECT_EQ(read.disks[0].reading.reason, "it was written to");
  EXPECT_EQ(read.disks[0].reading.how, "file");
  ASSERT_TRUE(read.disks[0].suspicion);
  EXPECT_EQ(read.disks[0].suspicion->size, 1048576U);
  EXPECT_EQ(read.disks[0].suspicion->data_bytes, 65536U);
  EXPECT_EQ(read.disks[0].suspicion->point, "web@20261120T020000Z");
  EXPECT_TRUE(read.suspect());
  ASSERT_EQ(read.left_out.size(), 1U);
  EXPECT_EQ(read.left_out[0].disk, "data");
  EXPECT_EQ(read.apart_ms, 8000U);
  EXPECT_EQ(read.trusted_time, point.trusted_time);
}

}  // namespace
}  // namespace cairn
