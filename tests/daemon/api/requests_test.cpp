// SPDX-License-Identifier: GPL-3.0-or-later
// Bodies of requests: what is written is read again, and daemon/API.md lists what there is.
#include "daemon/service/requests.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "daemon/api/api_requests.h"

namespace cairn {
namespace {

using nlohmann::json;

template <class Request>
void expect_round_trip(const Request& request) {
  const json body = body_of(request);
  const auto read = parse_request<Request>(body.dump());
  ASSERT_TRUE(read) << body << read.error().message();
  for_each_member<Request>([&](const auto& member) {
    EXPECT_TRUE((*read).*member.place == request.*member.place) << member.name << " of " << body;
    EXPECT_EQ(body.contains(member.name), request.*member.place != Request().*member.place) << member.name;
  });
}

TEST(Requests, AreReadAsTheyWereWritten) {
  expect_round_trip(BackupRequest{{"web-01", "db"}, false, true});
  expect_round_trip(BackupRequest{{}, true, false});
  expect_round_trip(RestoreRequest{{}, "web@latest", "/out", std::nullopt});
  expect_round_trip(RestoreRequest{{.force = true, .salvage = true}, "web@latest", "/out", "root"});
  expect_round_trip(RestoreRequest{{.force = true}, "web@latest", "/out", "root", true});
  for (const RestoreFlag& flag : kRestoreFlags) {
    RestoreRequest request{{}, "web@latest", "/out", std::nullopt};
    request.*flag.place = true;
    expect_round_trip(request);
  }
  expect_round_trip(PruneRequest{});
  expect_round_trip(PruneRequest{"web", true, true, true, UINT64_MAX});
  expect_round_trip(PruneRequest{"web", false, false, false, 0, 30, "nightly"});
  expect_round_trip(DeleteRequest{"", true});
  expect_round_trip(ProtectRequest{"", true, std::nullopt});
  expect_round_trip(ProtectRequest{"", false, parse_iso_time("2027-01-31T00:00:00Z")});
  expect_round_trip(VerifyRequest{});
  expect_round_trip(VerifyRequest{12.5, true, "/mnt/copy", true, 1000});
}

TEST(Requests, SayWhatIsWrongWithThem) {
  const auto why = [](const auto& read) { return read ? std::string() : read.error().because; };
  EXPECT_EQ(why(parse_request<RestoreRequest>(R"({"to":"/o"})")), "it needs \"point\": MACHINE@POINT");
  EXPECT_EQ(why(parse_request<RestoreRequest>(R"({"point":"w@l","to":"/o","forse":true})")),
            "unknown member \"forse\"; did you mean \"force\"?");
  EXPECT_EQ(why(parse_request<RestoreRequest>(R"({"point":"w@l","to":"/o","force":0})")),
            "\"force\" must be true or false, not: number");
  EXPECT_EQ(why(parse_request<RestoreRequest>(R"({"point":"w@l","to":"/o","disk":null})")), "");
  EXPECT_EQ(why(parse_request<RestoreRequest>(R"({"point":null,"to":"/o"})")), "\"point\" must be a string, not: null");
  EXPECT_EQ(why(parse_request<PruneRequest>(R"({"rate":1.5})")),
            "\"rate\" must be a whole number (of garbage collection, bytes a second; 0: no limit), not: 1.5");
  EXPECT_EQ(why(parse_request<PruneRequest>("[1e999]")), "the body has a number that is too large");
  EXPECT_EQ(why(parse_request<VerifyRequest>(R"({"data_percent":100.5})")),
            "\"data_percent\" must be a number from 0 to 100");
  EXPECT_EQ(why(parse_request<ProtectRequest>(R"({"until":"tomorrow"})")),
            "\"until\" must be a time like 2027-01-31T00:00:00Z, not: \"tomorrow\"");
}

constexpr const char* kBegin =
    "<!-- Members of requests, as daemon/service/requests.h lists them; a test compares. -->\n";
constexpr const char* kEnd = "<!-- End of the members. -->";

std::string in_words(bool, double) {
  return "true or false";
}
std::string in_words(const std::string&, double) {
  return "text";
}
std::string in_words(std::uint64_t, double) {
  return "whole number";
}
std::string in_words(double, double most) {
  return fmt::format("number from 0 to {}", most);
}
std::string in_words(UtcTime, double) {
  return "time";
}
std::string in_words(const std::vector<std::string>&, double) {
  return "list of texts";
}
template <class Type>
std::string in_words(const std::optional<Type>&, double most) {
  return in_words(Type(), most) + " or null";
}

template <class Request>
void add_rows(std::string& table) {
  for_each_member<Request>([&](const auto& member) {
    table += fmt::format("| `{}` | `{}` | {}{} | {} |\n", Request::kPath, member.name,
                         in_words(Request().*member.place, member.most),
                         member.need == Need::required ? ", needed" : "", member.meaning);
  });
}

TEST(Requests, StandInApiMd) {
  std::ifstream file(CAIRN_SOURCE_ROOT "/daemon/API.md");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const auto begin = text.find(kBegin);
  const auto end = text.find(kEnd);
  ASSERT_NE(begin, std::string::npos);
  ASSERT_NE(end, std::string::npos);
  const std::string stands =
      text.substr(begin + std::string_view(kBegin).size(), end - begin - std::string_view(kBegin).size());
  std::string table = "\n| POST | member | type | meaning |\n|---|---|---|---|\n";
  add_rows<BackupRequest>(table);
  add_rows<RestoreRequest>(table);
  add_rows<PruneRequest>(table);
  add_rows<DeleteRequest>(table);
  add_rows<ProtectRequest>(table);
  add_rows<VerifyRequest>(table);
  EXPECT_EQ(stands, table + "\n") << "put this there:\n" << table;
}

}  // namespace
}  // namespace cairn
