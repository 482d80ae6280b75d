// SPDX-License-Identifier: GPL-3.0-or-later
// FakeGuest: a QEMU's monitor socket and a guest agent's, as far as the tests of fs/guest need them: one client each,
// as the real ones; whether the guest is frozen or paused is counted, and each of them can be told to misbehave.
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <functional>
#include <mutex>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "config/guest_settings.h"
#include "crypto/base64.h"

namespace cairn {

class FakeGuest {
 public:
  struct Manners {
    std::string status = "running";              // of query-status
    bool greets = true;                          // the monitor
    std::string monitor_says = {};               // instead of every answer
    bool agent_answers = true;                   // else the agent's socket takes everything and says nothing
    std::string agent_says = {};                 // instead of every answer
    bool freeze_refused = false;                 // a hook has failed
    std::chrono::milliseconds freeze_takes{0};   // before the agent answers, and only then is it frozen
    std::chrono::milliseconds thaws_itself{-1};  // so long after a freeze; negative: never
    int deaf_thaws = 0;                          // so many thaws are answered and not carried out
    bool stays_paused = false;                   // `cont` is answered and not carried out
    bool frozen = false;                         // already
    std::string system = "debian";
    bool has_hook = false;                  // there is a script
    std::string agent_line = "qemu-ga -F";  // the agent's command line
    bool floods = false;                    // the monitor sends events without end, and no answer
  };

  explicit FakeGuest(const std::filesystem::path& folder) : FakeGuest(folder, Manners()) {}
  FakeGuest(const std::filesystem::path& folder, Manners manners)
      : folder_(folder), manners_(std::move(manners)), frozen_(manners_.frozen) {
    monitor_ = listen_at(folder_ / "qmp.sock");
    agent_ = listen_at(folder_ / "qga.sock");
    threads_.emplace_back([this] { serve(monitor_, true); });
    threads_.emplace_back([this] { serve(agent_, false); });
  }
  ~FakeGuest() {
    ended_ = true;
    for (std::thread& thread : threads_) thread.join();
    ::close(monitor_);
    ::close(agent_);
  }
  FakeGuest(const FakeGuest&) = delete;
  FakeGuest& operator=(const FakeGuest&) = delete;

  [[nodiscard]] GuestSettings settings() const {
    GuestSettings settings;
    settings.kind = GuestSettings::Kind::qmp;
    settings.monitor = folder_ / "qmp.sock";
    settings.agent = folder_ / "qga.sock";
    return settings;
  }
  bool frozen() {
    const std::lock_guard lock(mutex_);
    return is_frozen();
  }
  bool paused() {
    const std::lock_guard lock(mutex_);
    return paused_;
  }
  // Whether it was ever so.
  [[nodiscard]] bool was_frozen() const { return was_frozen_; }
  [[nodiscard]] bool was_paused() const { return was_paused_; }
  // Waits until it is neither frozen nor paused, and no freeze is under way. False: not in that time.
  bool wait_until_free(std::chrono::milliseconds most = std::chrono::seconds(20)) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, most, [this] { return !is_frozen() && !paused_ && !freezing_; });
  }
  bool wait_until_frozen() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20), [this] { return is_frozen(); });
  }
  // The process that has the monitor, or had it last.
  [[nodiscard]] pid_t helper() const { return helper_; }
  // A command that came, in the order in which they came.
  std::vector<std::string> commands() {
    const std::lock_guard lock(mutex_);
    return commands_;
  }
  void set(const std::function<void(Manners&)>& change) {
    const std::lock_guard lock(mutex_);
    change(manners_);
  }

 private:
  using Clock = std::chrono::steady_clock;
  using json = nlohmann::json;

  static int listen_at(const std::filesystem::path& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.string().size() >= sizeof address.sun_path) throw std::runtime_error("too long: " + path.string());
    std::strcpy(address.sun_path, path.c_str());
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 || ::listen(fd, 4) != 0)
      throw std::runtime_error("no socket at " + path.string());
    return fd;
  }

  bool readable(int fd) const {
    while (!ended_) {
      pollfd one{fd, POLLIN, 0};
      if (::poll(&one, 1, 20) > 0) return true;
    }
    return false;
  }

  void serve(int listener, bool monitor) {
    while (readable(listener)) {
      const int client = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
      if (client < 0) continue;
      ucred peer{};
      socklen_t size = sizeof peer;
      if (monitor && ::getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0) helper_ = peer.pid;
      talk(client, monitor);
      ::close(client);
    }
  }

  void say(int client, const std::string& text) { (void)::send(client, text.data(), text.size(), MSG_NOSIGNAL); }

  void talk(int client, bool monitor) {
    if (monitor && manners_.greets)
      say(client, R"({"QMP":{"version":{"qemu":{"major":7,"minor":2,"micro":22}},"capabilities":[]}})"
                  "\r\n");
    std::string buffer;
    while (readable(client)) {
      char bytes[4096];
      const ssize_t got = ::recv(client, bytes, sizeof bytes, 0);
      if (got <= 0) return;
      buffer.append(bytes, static_cast<std::size_t>(got));
      for (std::size_t end = 0; (end = buffer.find('\n')) != std::string::npos; buffer.erase(0, end + 1)) {
        std::string line = buffer.substr(0, end);
        if (const std::size_t mark = line.rfind('\xff'); mark != std::string::npos) line.erase(0, mark + 1);
        if (monitor && manners_.floods && line.contains("query-status")) return flood(client);
        const std::string answer = answer_to(json::parse(line), monitor);
        if (!answer.empty()) say(client, answer + "\n");
      }
    }
  }

  void flood(int client) const {
    std::string events;
    for (int i = 0; i < 1000; ++i)
      events += R"({"event":"RTC_CHANGE","data":{}})"
                "\n";
    while (!ended_)
      if (::send(client, events.data(), events.size(), MSG_NOSIGNAL) < 0) return;
  }

  std::string answer_to(const json& question, bool monitor) {
    const auto command = question.at("execute").get<std::string>();
    std::unique_lock lock(mutex_);
    commands_.push_back(command);
    if (monitor ? !manners_.greets : !manners_.agent_answers) return {};
    if (const std::string& instead = monitor ? manners_.monitor_says : manners_.agent_says;
        !instead.empty() && command != "qmp_capabilities")
      return instead;
    json answer = json::object();
    if (monitor) {
      answer["id"] = question.at("id");
      answer["return"] = json::object();
      if (command == "query-status") answer["return"] = {{"status", paused_ ? "paused" : manners_.status}};
      if (command == "stop") was_paused_ = paused_ = true;
      if (command == "cont" && !manners_.stays_paused) paused_ = false;
      changed_.notify_all();
      return R"({"event":"RTC_CHANGE","data":{}})"
             "\n" +
             answer.dump();
    }
    if (command == "guest-sync-delimited") return "\xff" + json{{"return", question.at("arguments").at("id")}}.dump();
    if (command == "guest-fsfreeze-freeze") {
      if (manners_.freeze_refused) return R"({"error":{"class":"GenericError","desc":"the hook has failed"}})";
      freezing_ = true;
      const auto takes = manners_.freeze_takes;
      lock.unlock();
      for (const auto until = Clock::now() + takes; Clock::now() < until && !ended_;)
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
      lock.lock();
      freezing_ = false;
      was_frozen_ = frozen_ = true;
      since_ = Clock::now();
      answer["return"] = 2;
    } else if (command == "guest-fsfreeze-thaw") {
      const bool was = is_frozen();
      if (was && manners_.deaf_thaws > 0)
        --manners_.deaf_thaws;
      else
        frozen_ = false;
      answer["return"] = was && !frozen_ ? 2 : 0;
    } else if (command == "guest-fsfreeze-status") {
      answer["return"] = is_frozen() ? "frozen" : "thawed";
    } else if (command == "guest-get-osinfo") {
      answer["return"] = {{"id", manners_.system}};
    } else if (command == "guest-file-open" && question.at("arguments").at("path") == "/proc/self/cmdline") {
      answer["return"] = 1;
    } else if (command == "guest-file-read") {
      std::string line = question.at("arguments").at("handle") == 1 ? manners_.agent_line : "#!";
      std::ranges::replace(line, ' ', '\0');
      answer["return"] = {{"count", line.size()}, {"buf-b64", to_base64(as_bytes(line))}, {"eof", true}};
    } else if (command == "guest-file-open" && !manners_.has_hook) {
      return R"({"error":{"class":"GenericError","desc":"No such file or directory"}})";
    } else {
      answer["return"] = 1000;
    }
    changed_.notify_all();
    return answer.dump();
  }

  bool is_frozen() {
    if (frozen_ && manners_.thaws_itself.count() >= 0 && Clock::now() - since_ >= manners_.thaws_itself)
      frozen_ = false;
    return frozen_;
  }

  const std::filesystem::path folder_;
  Manners manners_;  // under mutex_ once the threads run
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> commands_;
  bool frozen_ = false;
  bool paused_ = false;
  bool freezing_ = false;
  Clock::time_point since_;
  std::atomic<bool> was_frozen_ = false;
  std::atomic<bool> was_paused_ = false;
  std::atomic<bool> ended_ = false;
  std::atomic<pid_t> helper_ = 0;
  int monitor_ = -1;
  int agent_ = -1;
  std::vector<std::thread> threads_;
};

}  // namespace cairn
