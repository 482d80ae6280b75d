// SPDX-License-Identifier: GPL-3.0-or-later
// FakeService: a service that answers what tests gave it and remembers what it was asked.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "daemon/service/service.h"

namespace cairn {

class FakeService final : public Service {
 public:
  using json = nlohmann::json;

  Result<json> points(const std::optional<std::string>& machine, PointsListed listed) override {
    wait_while(points_held_);
    return recorded((listed == PointsListed::deleted ? "deleted points " : "points ") + machine.value_or("-"),
                    json::array({{{"machine", "web"}}}));
  }
  Result<json> point(const std::string& name) override { return recorded("point " + name, {{"name", name}}); }
  Result<json> status() override {
    wait_while(status_held_);
    return recorded("status", {{"version", version_}});
  }
  Result<json> jobs(std::size_t limit) override { return recorded("jobs " + std::to_string(limit), json::array()); }
  Result<json> job(const std::string& id) override { return recorded("job " + id, {{"id", id}, {"revision", 1}}); }
  Result<json> start_backup(const BackupRequest& request) override {
    return recorded("backup" + words_of(request), {{"jobs", json::array()}});
  }
  Result<json> start_restore(const RestoreRequest& request) override {
    return recorded("restore" + words_of(request), {{"id", "r1"}});
  }
  Result<json> start_prune(const PruneRequest& request) override {
    return recorded("prune" + words_of(request), {{"id", "p1"}});
  }
  Result<json> delete_point(const std::string& name) override { return recorded("delete " + name, {{"name", name}}); }
  Result<json> undelete_point(const std::string& name) override {
    return recorded("undelete " + name, {{"name", name}});
  }
  Result<json> protect_point(const ProtectRequest& request) override {
    return recorded("protect " + request.point + words_of(request), {{"name", request.point}});
  }
  Result<json> start_verify(const VerifyRequest& request) override {
    return recorded("verify" + words_of(request), {{"id", "v1"}});
  }
  Result<json> wait_job(const std::string& id, std::uint64_t seen, std::chrono::milliseconds at_most) override {
    std::unique_lock lock(mutex_);
    ++waiting;
    changed_.notify_all();
    changed_.wait_for(lock, at_most, [&] { return revision_ != seen; });
    --waiting;
    return json{{"id", id}, {"revision", revision_}};
  }
  Result<json> cancel_job(const std::string& id) override { return recorded("cancel " + id, {{"id", id}}); }

  void set_revision(std::uint64_t revision) {
    const std::lock_guard lock(mutex_);
    revision_ = revision;
    changed_.notify_all();
  }
  void wait_until_somebody_waits() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return waiting > 0; });
  }
  std::vector<std::string> asked() {
    const std::lock_guard lock(mutex_);
    return asked_;
  }
  void fail_with(std::optional<Error> error) {
    const std::lock_guard lock(mutex_);
    error_ = std::move(error);
  }
  // From here on such a request waits until let_points_go().
  void hold_points() { points_held_ = true; }
  void hold_status() { status_held_ = true; }
  void wait_until_held(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return held_ == count; });
  }
  void let_points_go() {
    const std::lock_guard lock(mutex_);
    points_held_ = false;
    status_held_ = false;
    changed_.notify_all();
  }
  void answer_status_with(std::string version) { version_ = std::move(version); }
  void throw_next() { throws_ = true; }

 private:
  static std::string word(std::uint64_t value) { return std::to_string(value); }
  static std::string word(double value) { return json(value).dump(); }
  static std::string word(const std::string& value) { return value; }
  static std::string word(UtcTime value) { return iso_time(value); }
  static std::string word(const std::vector<std::string>& value) {
    std::string all;
    for (const std::string& name : value) all += (all.empty() ? "" : ",") + name;
    return all;
  }
  template <class Type>
  static std::string word(const std::optional<Type>& value) {
    return value ? word(*value) : "nothing";
  }
  // " force disk=root": the members that are not as the struct has them anyway, in its order.
  template <class Request>
  static std::string words_of(const Request& request) {
    std::string text;
    for_each_member<Request>([&](const auto& member) {
      const auto& value = request.*member.place;
      if (value == Request().*member.place) return;
      text.append(" ").append(member.name);
      if constexpr (!std::is_same_v<decltype(value), const bool&>) text.append("=").append(word(value));
    });
    return text;
  }

  void wait_while(const std::atomic<bool>& flag) {
    std::unique_lock lock(mutex_);
    ++held_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return !flag; });
    --held_;
  }

  Result<json> recorded(std::string what, json answer) {
    const std::lock_guard lock(mutex_);
    asked_.push_back(std::move(what));
    if (throws_.exchange(false)) throw std::runtime_error("surprise");
    if (error_) return pass_on(*error_);
    return answer;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> asked_;
  std::optional<Error> error_;
  std::uint64_t revision_ = 1;
  int waiting = 0;
  std::size_t held_ = 0;
  std::string version_ = "x";
  std::atomic<bool> points_held_ = false;
  std::atomic<bool> status_held_ = false;
  std::atomic<bool> throws_ = false;
};

}  // namespace cairn
