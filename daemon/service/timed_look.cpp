// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/service/timed_look.h"

#include <condition_variable>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <thread>

#include "config/base/exception_door.h"
#include "config/base/guarded.h"
#include "config/base/left_behind.h"

namespace cairn {
namespace {

using nlohmann::json;

// One look, of the thread and of who waits for it.
struct Look {
  struct Outcome {
    std::optional<json> found;
    bool ended = false;
    bool left = false;
  };
  Guarded<Outcome> outcome;
  std::condition_variable changed;
};

// The names whose looks hang. Never destroyed: their threads may come back after everything else.
Guarded<std::set<std::string>>& hanging() {
  static auto* const names = new Guarded<std::set<std::string>>;
  return *names;
}

void run(const std::shared_ptr<Look>& look, const std::string& name, const std::function<json()>& work) {
  auto found = without_exceptions("look at the disks of", name, [&]() -> Result<json> { return work(); });
  const auto outcome = look->outcome.lock();
  if (found) outcome->found = *std::move(found);
  outcome->ended = true;
  if (outcome->left) {
    hanging().lock()->erase(name);
    note_came_back();
  }
  look->changed.notify_all();
}

}  // namespace

TimedLook::TimedLook(std::chrono::milliseconds at_most) : until_(std::chrono::steady_clock::now() + at_most) {}

json TimedLook::at(const std::string& name, const std::function<json()>& look, const json& otherwise) {
  if (hanging().lock()->contains(name)) return otherwise;
  const auto shared = std::make_shared<Look>();
  std::thread thread([shared, name, look] { run(shared, name, look); });
  auto outcome = shared->outcome.lock();
  // Those after one that hangs have a moment of their own.
  const auto until = std::max(until_, std::chrono::steady_clock::now() + std::chrono::milliseconds(20));
  if (!shared->changed.wait_until(outcome.held(), until, [&] { return outcome->ended; })) {
    outcome->left = true;
    hanging().lock()->insert(name);
    note_left_behind();
    thread.detach();
    return otherwise;
  }
  json found = outcome->found.value_or(otherwise);
  outcome.held().unlock();
  thread.join();
  return found;
}

}  // namespace cairn
