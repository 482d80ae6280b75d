// SPDX-License-Identifier: GPL-3.0-or-later
// PokedThread: a thread that does a piece of work again and again: whenever it is poked, and when the wait that the
// work asked for is over. It is for work that looks for what is due: the wait is real time that no clock being set
// moves, so who goes by a clock asks for short waits and looks at the clock each time.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>

#include "config/base/guarded.h"

namespace cairn {

class PokedThread {
 public:
  enum class Why { poked, due };  // poked: since the work was begun last
  // How long to wait at most until the next time; nothing: until it is poked. Called by the thread alone. An exception
  // is logged as `failure` about `object`, and the work is done again after kAfterFailure.
  using Work = std::function<std::optional<std::chrono::milliseconds>(Why why, const std::stop_token& stop)>;
  static constexpr std::chrono::seconds kAfterFailure{30};

  PokedThread(std::string failure, std::string object, Work work);
  // As stop().
  ~PokedThread();
  PokedThread(const PokedThread&) = delete;
  PokedThread& operator=(const PokedThread&) = delete;

  // Begins; the first piece of work is due after `first_wait`. By one thread, before or after any poke(); once.
  void start(std::chrono::milliseconds first_wait = {});
  // Never waits. Several pokes may become one. Any thread.
  void poke();
  // Asks the work to stop. Any thread.
  void ask_to_stop() { thread_.request_stop(); }
  // Asks the work to stop and waits for its end. By the thread that starts; safe to call twice.
  void stop();
  // The same, but waits no longer than that. False: the work goes on and was left behind (config/base/left_behind.h);
  // this may then not be destroyed.
  bool stop_within(std::chrono::milliseconds most);

 private:
  void run(std::optional<std::chrono::milliseconds> wait, const std::stop_token& stop);
  std::optional<std::chrono::milliseconds> work_once(Why why, const std::stop_token& stop);

  const std::string failure_;
  const std::string object_;
  const Work work_;
  std::condition_variable_any wake_;
  Guarded<bool> poked_;
  std::condition_variable has_ended_;
  Guarded<bool> ended_;
  std::jthread thread_;  // last: it uses all the others
};

}  // namespace cairn
