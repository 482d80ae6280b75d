// SPDX-License-Identifier: GPL-3.0-or-later
// Documents as text. The documents are those of daemon/API.md.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "daemon/cli/commands/render.h"
#include "daemon/cli/text/documents.h"
#include "daemon/cli/text/output.h"
#include "daemon/cli/work/finish_jobs.h"
#include "daemon/cli/work/follow_jobs.h"

namespace cairn::cli {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const UtcTime kNow = *parse_iso_time("2026-11-21T05:00:00Z");

json point_row() {
  return json::parse(R"({"machine":"web-01","point":"20261121T020000Z","name":"web-01@20261121T020000Z",
    "time":"2026-11-21T02:00:00Z","consistency":"crash","proof":"unproved","new_bytes":4096,
    "disks":[{"name":"root","size":1073741824},{"name":"data","size":1073741824}],"warnings":[]})");
}

TEST(RenderPoints, ShowsOneRowAPoint) {
  EXPECT_EQ(render_points(json::array({point_row()}), kNow),
            "POINT                    AGE      SIZE       NEW  CONSISTENCY  PROOF\n"
            "web-01@20261121T020000Z  3 h  2.00 GiB  4.00 KiB  crash        unproved\n");
}

TEST(RenderPoints, ADamagedPointIsListedWithItsError) {
  const json damaged = json::parse(R"({"machine":"m","point":"20261121T020000Z","name":"m@20261121T020000Z",
    "time":"2026-11-21T02:00:00Z","error":{"name":"point-damaged","message":"cannot read point m: cut off"}})");
  const std::string text = render_points(json::array({damaged}), kNow);
  EXPECT_THAT(text, HasSubstr("[point-damaged]"));
  EXPECT_THAT(text, HasSubstr("warning: cannot read point m: cut off\n"));
}

TEST(RenderPoints, ShowsMarksInAColumnOnlyWhenThereAreSome) {
  json kept = point_row();
  kept["protected"] = {{"since", "2026-11-21T02:00:00Z"}, {"until", nullptr}};
  json until = point_row();
  until["protected"] = {{"since", "2026-11-21T02:00:00Z"}, {"until", "2027-12-31T00:00:00Z"}};
  until["immutable_until"] = "2026-12-21T02:00:00Z";
  json plain = point_row();
  plain["protected"] = nullptr;
  plain["immutable_until"] = nullptr;
  const std::string text = render_points(json::array({kept, until, plain}), kNow);
  EXPECT_THAT(text, HasSubstr("PROOF     KEPT\n"));
  EXPECT_THAT(text, HasSubstr("unproved  protected\n"));
  EXPECT_THAT(text, HasSubstr("protected until 2027-12-31, immutable until 2026-12-21\n"));
  EXPECT_THAT(text, HasSubstr("unproved  -\n"));
  EXPECT_THAT(render_points(json::array({plain}), kNow), Not(HasSubstr("KEPT")));
}

TEST(RenderPoints, DeletedOnesSayUntilWhenTheyComeBack) {
  json row = point_row();
  row["deleted"] = {
      {"time", "2026-11-21T04:00:00Z"}, {"purge_after", "2026-12-05T04:00:00Z"}, {"because", "retention"}};
  const std::string text = render_points(json::array({row}), kNow);
  EXPECT_THAT(text, HasSubstr("DELETED"));
  EXPECT_THAT(text, HasSubstr("2026-11-21 04:00:00Z  2026-12-05 04:00:00Z  retention\n"));
}

json prune_result(bool dry_run) {
  json result = json::parse(R"({"clock":{"state":"trusted","doubtful_s":0,"error":null},
    "machines":[{"machine":"web","in_settings":true,"policy":"nightly","kept":1,"deleted":1,"waiting":1,"purged":1,
      "points":[
        {"name":"web@4","action":"keep","reasons":["newest","daily 1 of 30"],"purge_after":null,"damaged":false},
        {"name":"web@3","action":"delete","reasons":[],"purge_after":"2026-12-05T04:00:00Z","damaged":false},
        {"name":"web@2","action":"wait","reasons":[],"purge_after":"2026-11-25T04:00:00Z","damaged":false},
        {"name":"web@1","action":"purge","reasons":[],"purge_after":"2026-11-20T04:00:00Z","damaged":false}]}],
    "collection":{"freed_bytes":2097152,"removed_packs":3,"rewritten_packs":1,"waiting_bytes":4096},"duration_ms":7})");
  result["dry_run"] = dry_run;
  return result;
}

TEST(RenderPrune, ADryRunTellsEveryPointsFateAndWhy) {
  EXPECT_EQ(render_prune(prune_result(true)),
            "web: policy nightly, 1 kept, 1 to be deleted, 1 deleted before, 1 to be removed\n"
            "POINT  FATE              UNTIL                 WHY\n"
            "web@4  keep              -                     newest, daily 1 of 30\n"
            "web@3  would be deleted  2026-12-05 04:00:00Z  -\n"
            "web@2  deleted           2026-11-25 04:00:00Z  -\n"
            "web@1  would be removed  -                     -\n"
            "to be freed now: 2.00 MiB in 3 packs, 1 of them rewritten; 4.00 KiB more by the next prune\n");
}

TEST(RenderPrune, ARealRunTellsWhatWent) {
  EXPECT_EQ(render_prune(prune_result(false)),
            "web: policy nightly, 1 kept, 1 deleted, 1 deleted before, 1 removed\n"
            "POINT  FATE     UNTIL                 WHY\n"
            "web@3  deleted  2026-12-05 04:00:00Z  -\n"
            "web@1  removed  -                     -\n"
            "freed 2.00 MiB in 3 packs, 1 of them rewritten; 4.00 KiB more by the next prune\n");
}

TEST(RenderPrune, NamesDamagedPointsAndASkippedCollection) {
  json result = prune_result(false);
  result["machines"][0]["points"] = json::array({{{"name", "web@4"},
                                                  {"action", "keep"},
                                                  {"reasons", {"damaged"}},
                                                  {"purge_after", nullptr},
                                                  {"damaged", true},
                                                  {"note", "cannot read it"}}});
  result["collection"] = {{"skipped", "another one runs"}};
  const std::string text = render_prune(result);
  EXPECT_THAT(text, HasSubstr("web@4  keep  -      damaged\n"));
  EXPECT_THAT(text, HasSubstr("warning: web@4: cannot read it\n"));
  EXPECT_THAT(text, HasSubstr("no garbage was collected: another one runs\n"));
}

TEST(RenderDeletions, SayHowToComeBack) {
  EXPECT_EQ(render_deletions(json::parse(R"({"points":[
              {"name":"web@1","deleted":"2026-11-21T04:00:00Z","purge_after":"2026-12-05T04:00:00Z","purged":false},
              {"name":"web@2","deleted":"2026-11-21T04:00:00Z","purge_after":null,"purged":true},
              {"name":"web@3"}]})")),
            "deleted web@1; \"cairn undelete web@1\" brings it back until 2026-12-05 04:00:00Z\n"
            "removed web@2 for good\n"
            "brought back web@3\n");
}

TEST(RenderPoints, SaysWhenThereAreNone) {
  EXPECT_THAT(render_points(json::array(), kNow), HasSubstr("no recovery points"));
}

TEST(RenderPoint, ShowsDisksAndVolumes) {
  const json document = json::parse(R"({"machine":"web-01","point":"20261121T020000Z","time":"2026-11-21T02:00:00Z",
    "consistency":"crash","proof":{"state":"unproved","reason":"no keys"},"new_bytes":4096,
    "disks":[{"name":"root","map":{"size":1048576,"data_bytes":65536},
              "facts":{"volumes":[{"type":"LUKS2","partition":2,"uuid":"u-1","cipher":"aes-xts-plain64"}]},
              "headers":[{"name":"root-part2.luks2"}]}],"warnings":["image changed"]})");
  const std::string text = render_point(document);
  EXPECT_THAT(text, HasSubstr("web-01@20261121T020000Z"));
  EXPECT_THAT(text, HasSubstr("unproved (no keys)"));
  EXPECT_THAT(text, HasSubstr("disk root: 1.00 MiB, 64.0 KiB of it data\n"));
  EXPECT_THAT(text, HasSubstr("LUKS2 on partition 2, aes-xts-plain64, UUID u-1"));
  EXPECT_THAT(text, HasSubstr("warning: image changed\n"));
}

TEST(RenderPoint, SaysHowItWasMade) {
  json document = json::parse(R"({"machine":"web-01","point":"20261121T020000Z","consistency":"torn","apart_ms":8000,
    "disks":[{"name":"root","size":1048576,"consistency":"torn","consistency_reason":"it was written to",
              "suspect":{"because":"it has 0 bytes"}}],"left_out":[{"disk":"data","point":"web-01@20261101T020000Z"}]})");
  std::string text = render_point(document);
  EXPECT_THAT(text, HasSubstr("8000 ms apart"));
  EXPECT_THAT(text, HasSubstr("  torn: it was written to\n  suspect: it has 0 bytes\n"));
  EXPECT_THAT(text, HasSubstr("not in it: disk data, which web-01@20261101T020000Z has\n"));
  document["apart_ms"] = 0;
  EXPECT_THAT(render_point(document), HasSubstr("one instant"));
  document["apart_ms"] = nullptr;
  EXPECT_THAT(render_point(document), Not(HasSubstr("instant"))) << "not known, nothing is said";
}

TEST(RenderPoints, MarksWhatIsToBeLookedAt) {
  json suspect = point_row();
  suspect["suspect"] = true;
  suspect["in_future"] = true;
  EXPECT_THAT(render_points(json::array({suspect, point_row()}), kNow), HasSubstr("suspect, in the future"));
  EXPECT_THAT(render_points(json::array({point_row()}), kNow), Not(HasSubstr("LOOK AT")));
}

TEST(StatusWarnings, SayWhatTheLastPointSaysOfItselfAndThatTheClockJumped) {
  const json document = json::parse(R"({"daemon":{"running":true,"clock_jump":{"from":"2026-11-21T02:00:00Z",
      "to":"2026-11-20T02:00:00Z"}},"clock":{"error":{"name":"clock-jumped","message":"it went back"}},
    "machines":[{"machine":"web-01","in_settings":true,"points":1,"last_point":"web-01@20261121T020000Z",
      "last_point_labels":{"consistency":"torn","suspect":true,"in_future":true}}]})");
  EXPECT_THAT(
      status_warnings(document, kNow),
      testing::IsSupersetOf({HasSubstr("[clock-jumped]"), HasSubstr("from 2026-11-21 02:00:00"),
                             HasSubstr("[disk-torn]"), HasSubstr("[disk-suspect]"), HasSubstr("[point-in-future]")}));
}

json job(const char* state) {
  json document = json::parse(R"({"id":"j-1","kind":"backup","object":"web-01","trigger":"on-demand",
    "queued":"2026-11-21T02:00:00Z","started":"2026-11-21T02:00:00Z","ended":"2026-11-21T02:03:10Z",
    "point":"web-01@20261121T020000Z","revision":4,"progress":{"done_bytes":4096,"total_bytes":4096},
    "result":{"read_bytes":4096,"new_bytes":2048,"stored_bytes":1024,"duration_ms":3200},"warnings":[],"error":null})");
  document["state"] = state;
  return document;
}

TEST(RenderFinishedJob, SaysWhatWasDone) {
  EXPECT_EQ(render_finished_job(job("Completed")),
            "web-01@20261121T020000Z  Completed  read 4.00 KiB, new 2.00 KiB, stored 1.00 KiB, 3.2 s\n");
  json warned = job("CompletedWithWarnings");
  warned["warnings"] = {"image changed"};
  EXPECT_THAT(render_finished_job(warned), HasSubstr("\n  warning: image changed\n"));
}

TEST(RenderZeros, ListsRangesAndSaysHowManyMoreThereAre) {
  EXPECT_THAT(render_zeros(json{{"damaged", nullptr}}), IsEmpty());
  json file{{"damaged", {{"bytes", 23 * 65536}, {"ranges", json::array()}}}};
  json& ranges = file["damaged"]["ranges"];
  for (unsigned i = 0; i < 2; ++i) ranges.push_back({i * 1'000'000, 65536});
  EXPECT_EQ(render_zeros(file), "    zeros: bytes 0-65535\n    zeros: bytes 1000000-1065535\n");
  for (unsigned i = 2; i < 20; ++i) ranges.push_back({i * 1'000'000, 65536});
  EXPECT_THAT(render_zeros(file), Not(HasSubstr("more")));
  for (unsigned i = 20; i < 23; ++i) ranges.push_back({i * 1'000'000, 65536});
  EXPECT_THAT(render_zeros(file),
              HasSubstr("19000000-19065535\n    zeros: and more, 1.44 MiB in all: --json lists 23 ranges\n"));
}

TEST(RenderJobs, ShowsStateTimeAndRemark) {
  json failed = job("Failed");
  failed["error"] = {{"name", "no-space"}, {"message", "cannot write"}};
  failed["result"] = nullptr;  // then the whole seconds of started and ended are all there is
  const std::string text = render_jobs(json::array({job("Completed"), failed}));
  EXPECT_THAT(text, HasSubstr("3:10 min"));
  EXPECT_THAT(text, HasSubstr("[no-space]"));
  EXPECT_THAT(render_job(failed), HasSubstr("error: cannot write [no-space]\n"));
}

TEST(ExitCodeOf, IsThatOfTheWorstJob) {
  EXPECT_EQ(exit_code_of(json::array({job("Completed")})), ExitCode::done);
  EXPECT_EQ(exit_code_of(json::array({job("CompletedWithWarnings"), job("Completed")})), ExitCode::warnings);
  EXPECT_EQ(exit_code_of(json::array({job("Failed"), job("CompletedWithWarnings")})), ExitCode::failed);
  EXPECT_EQ(exit_code_of(json::array({job("Completed"), job("Cancelled")})), ExitCode::failed);
}

json status() {
  return json::parse(R"({"version":"0.1.0","daemon":{"running":true,"pid":812,"started":"2026-11-20T00:00:00Z"},
    "store":{"path":"/srv/s","id":"x","points":7},"mount":{"path":"/srv/p","state":"mounted","error":null},
    "jobs":{"queued":0,"running":1},
    "machines":[{"machine":"web-01","policy":"nightly","last_point_time":"2026-11-21T02:00:00Z","points":7,
                 "next_run":"2026-11-21T07:00:00Z","last_job":null,"in_settings":true}]})");
}

TEST(RenderStatus, ShowsTheMachines) {
  json document = status();
  document["machines"][0]["last_job"] = job("Completed");
  EXPECT_THAT(status_warnings(document, kNow), IsEmpty());
  const std::string text = render_status(document, kNow);
  EXPECT_THAT(text, Not(HasSubstr("warning")));
  EXPECT_THAT(text, HasSubstr("running, pid 812"));
  EXPECT_THAT(text, HasSubstr("in 2 h"));
  EXPECT_THAT(text, HasSubstr("/srv/p (mounted)"));
}

TEST(RenderStatus, ShowsHowDisksAreTracked) {
  json document = status();
  EXPECT_THAT(render_status(document, kNow), Not(HasSubstr("TRACKING")));
  document["machines"][0]["disks"] = json::parse(R"([
      {"disk":"root","tracking":"on","reason":null,"last_full_read":"2026-11-20T02:00:00Z",
       "clone":"/img/.cairn-clones/web-01@root.x.y","clone_bytes":1048576,"clone_bytes_complete":true},
      {"disk":"data","tracking":"starting","reason":"no clone is kept yet","last_full_read":null,"clone":null,
       "clone_bytes":null,"clone_bytes_complete":null},
      {"disk":"logs","tracking":"on","reason":null,"last_full_read":null,"clone":"/c","clone_bytes":4096,
       "clone_bytes_complete":false}])");
  const std::string text = render_status(document, kNow);
  EXPECT_THAT(text, testing::ContainsRegex("web-01/root +on +2026-11-20 02:00:00Z +1.00 MiB +/img/.cairn-clones/"));
  EXPECT_THAT(text, testing::ContainsRegex("web-01/data +starting +- +- +no clone is kept yet"));
  EXPECT_THAT(text, HasSubstr("more than 4.00 KiB"));
}

TEST(RenderStatus, WarningsComeFirst) {
  json document = status();
  document["mount"] = {{"path", "/srv/p"}, {"state", "failed"}, {"error", {{"message", "cannot mount: busy"}}}};
  document["machines"][0]["last_job"] = job("Failed");
  document["machines"][0]["last_job"]["error"] = {{"name", "no-space"}, {"message", "cannot write"}};
  document["machines"][0]["next_run"] = "2026-11-21T03:00:00Z";
  EXPECT_THAT(status_warnings(document, kNow),
              ElementsAre(HasSubstr("cannot mount: busy"), HasSubstr("[no-space]"), HasSubstr("has not started")));
  EXPECT_TRUE(render_status(document, kNow).starts_with("warning: "));
}

TEST(RenderStatus, ASpaceThatRunsOutIsAWarning) {
  json document = status();
  document["store"].update(
      json::parse(R"({"stored_bytes":1073741824,"free_bytes":21474836480,"total_bytes":107374182400,
                                           "used_percent":79.9,"days_left":9.7})"));
  EXPECT_THAT(status_warnings(document, kNow), IsEmpty());
  EXPECT_THAT(render_status(document, kNow), HasSubstr("20.0 GiB free of 100 GiB, 9 days left"));
  EXPECT_THAT(render_status(document, kNow), HasSubstr("1.00 GiB stored"));
  document["store"]["used_percent"] = 80.0;
  EXPECT_THAT(status_warnings(document, kNow), ElementsAre(HasSubstr("80 % full (20.0 GiB free")));
  document["store"]["used_percent"] = 99.6;
  document["store"]["days_left"] = 0.4;
  EXPECT_THAT(
      status_warnings(document, kNow),
      ElementsAre(::testing::AllOf(HasSubstr("99 % full"), HasSubstr("less than a day"), HasSubstr("backups fail"))));
}

TEST(RenderStatus, SaysWhichSettingsAreInForce) {
  json document = status();
  document["daemon"].update(json::parse(R"({"settings":"/etc/cairn/cairn.yaml","settings_time":"2026-11-19T00:00:00Z",
      "settings_changed":false,"reload_error":null,"needs_restart":null})"));
  EXPECT_THAT(status_warnings(document, kNow), IsEmpty());
  EXPECT_THAT(render_status(document, kNow), HasSubstr("/etc/cairn/cairn.yaml of 2026-11-19 00:00:00Z"));
  document["daemon"]["settings_changed"] = true;
  EXPECT_THAT(status_warnings(document, kNow), ElementsAre(HasSubstr("reload cairnd")));
  document["daemon"]["reload_error"] = {{"name", "settings-invalid"}, {"message", "line 3"}};
  document["daemon"]["needs_restart"] = "store";
  EXPECT_THAT(status_warnings(document, kNow),
              ElementsAre(::testing::AllOf(HasSubstr("2026-11-19 00:00:00Z"), HasSubstr("line 3")),
                          HasSubstr("restart cairnd")));
}

TEST(RenderStatus, SaysOfTheMountWhatTheKernelSays) {
  json document = status();
  document["mount"]["state"] = "covered";
  EXPECT_THAT(status_warnings(document, kNow), ElementsAre(HasSubstr("something else is mounted")));
  document["mount"]["state"] = "unknown";
  EXPECT_THAT(status_warnings(document, kNow), ElementsAre(HasSubstr("is not known")));
}

TEST(RenderStatus, CountsWhatOtherProcessesRun) {
  json document = status();
  document["jobs"]["elsewhere"] = json::parse(R"([{"id":"j","kind":"backup","object":"db"}])");
  EXPECT_THAT(render_status(document, kNow), HasSubstr("1 running, 0 waiting; in other processes: backup of db"));
}

TEST(RenderPoints, ADamagedPointIsMarked) {
  const json rows = json::parse(R"([{"machine":"web","point":"1","name":"web@1","time":"2026-11-21T04:00:00Z",
      "disks":[],"proof":"proved","consistency":"crash","damaged_bytes":65536}])");
  const std::string text = render_points(rows, kNow);
  EXPECT_THAT(text, HasSubstr("proved, DAMAGED"));
  EXPECT_THAT(text, HasSubstr("64.0 KiB of it cannot be read"));
}

TEST(RenderStatus, WithoutADaemonSaysSo) {
  json document = status();
  document["daemon"] = {{"running", false}};
  document["mount"] = nullptr;
  EXPECT_THAT(status_warnings(document, kNow), ElementsAre(HasSubstr("no daemon is running")));
  EXPECT_THAT(render_status(document, kNow), HasSubstr("not running"));
}

// What comes over a socket may be anything.
TEST(Rendering, SurvivesDocumentsOfTheWrongShape) {
  for (const char* text : {"null", "{}", "[]", "[1]", "\"x\"", R"([{"disks":7,"error":[],"name":4}])",
                           R"({"machines":{"a":1},"daemon":3,"disks":"x","warnings":[1],"progress":[],"result":"r"})",
                           R"([{"time":"yesterday","new_bytes":-4,"progress":{"total_bytes":"x"}}])"}) {
    const json document = json::parse(text);
    (void)render_points(document, kNow);
    (void)render_point(document);
    (void)render_status(document, kNow);
    (void)render_jobs(document);
    (void)render_job(document);
    (void)render_finished_job(document);
    (void)render_store_info(document);
    (void)render_key_slots(document);
    (void)render_config_check(document);
    (void)render_rebuild(document);
  }
}

TEST(ErrorDocument, AlwaysHasNameMessageAndResolution) {
  for (const CatalogueEntry& entry : error_catalogue()) {
    const json document = error_document(Error{entry.code, "do", "it", {}, 0, {}});
    EXPECT_EQ(document["name"], entry.name);
    EXPECT_FALSE(text_of(document, "message").empty());
    EXPECT_FALSE(text_of(document, "resolution").empty());
  }
}

}  // namespace
}  // namespace cairn::cli
