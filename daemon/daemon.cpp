// SPDX-License-Identifier: GPL-3.0-or-later
// The life of cairnd. Order up: settings, signals, state lock, engine (store, journal, queue), service, mount, control
// API, scheduler. Down: scheduler, engine (jobs; clients still learn how theirs ended), mount, control API: nothing new
// begins once something has stopped.
#include "daemon/daemon.h"

#include <fmt/core.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <initializer_list>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <stop_token>
#include <thread>
#include <utility>

#include "config/base/guarded.h"
#include "config/base/left_behind.h"
#include "config/base/log.h"
#include "config/base/unique_fd.h"
#include "config/settings.h"
#include "daemon/api/control_api.h"
#include "daemon/backup/guest_session.h"
#include "daemon/engine/engine.h"
#include "daemon/engine/store_key.h"
#include "daemon/process/service_manager.h"
#include "daemon/process/state_lock.h"
#include "daemon/queue/job_queue.h"
#include "daemon/queue/job_record.h"
#include "daemon/service/local_service.h"
#include "daemon/upkeep/key_watch.h"
#include "daemon/upkeep/mount_keeper.h"
#include "daemon/upkeep/scheduler.h"
#include "daemon/upkeep/scrubber.h"
#include "fs/store/store.h"

namespace cairn {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr int kTickMs = 1000;
// The main loop ticks every second and the scheduler makes a pass every 30 s; twice that is a hang.
constexpr seconds kMainLoopLate{20};
constexpr seconds kSchedulerLate{90};

// Stopping may take this long, as the unit's TimeoutStopSec; only then is it a hang to the watchdog.
constexpr seconds kStopLate{60};
// The parts have bounds of their own: jobs and the mount kLeaveAfter each, the control API that and its grace. After
// this the process ends whatever hangs.
constexpr seconds kStopAtMost{25};
constexpr seconds kKeyWatchGrace{1};
constexpr seconds kLookForGuests{30};
// Clients whose jobs were ended by our end look again after 250 ms at most (follow_jobs.cpp); then the socket goes.
constexpr std::chrono::milliseconds kLastAnswers{1000};

// Blocks signals and gives them as a file to wait on.
Result<UniqueFd> take_signals(std::initializer_list<int> numbers) {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : numbers) sigaddset(&signals, number);
  if (pthread_sigmask(SIG_BLOCK, &signals, nullptr) != 0) return fail_errno(errno, "block", "signals");
  UniqueFd fd(signalfd(-1, &signals, SFD_CLOEXEC));
  if (!fd) return fail_errno(errno, "wait for", "signals");
  return fd;
}

// Settings that only a restart can change. Empty: none did.
std::string needs_restart(const Settings& now, const Settings& wanted) {
  std::string changed;
  const auto add = [&](bool differs, const char* key) {
    if (!differs) return;
    if (!changed.empty()) changed += ", ";
    changed += key;
  };
  add(now.store.path != wanted.store.path || now.store.key.key_file != wanted.store.key.key_file ||
          now.store.key.passphrase_file != wanted.store.key.passphrase_file ||
          now.store.key.passphrase_command != wanted.store.key.passphrase_command,
      "store");
  add(now.state_dir != wanted.state_dir, "state_dir");
  add(now.socket != wanted.socket, "socket");
  add(now.mount.path != wanted.mount.path || now.mount.allow_other != wanted.mount.allow_other, "mount");
  return changed;
}

// Which file of which time it was: says whether it is still the one that was read.
struct FileMark {
  dev_t device = 0;
  ino_t inode = 0;
  std::int64_t changed_ns = 0;
  bool operator==(const FileMark&) const = default;
};
// Nothing: it cannot be looked at.
std::optional<FileMark> mark_of(const std::filesystem::path& file) {
  struct stat facts{};
  if (::stat(file.c_str(), &facts) != 0) return std::nullopt;
  return FileMark{facts.st_dev, facts.st_ino, facts.st_mtim.tv_sec * 1'000'000'000 + facts.st_mtim.tv_nsec};
}

// The settings in force, for the status.
struct SettingsInForce {
  std::optional<FileMark> mark = {};       // of the file when it was read
  std::optional<UtcTime> reloaded = {};    // when it was read again
  std::optional<Error> reload_error = {};  // why the last reading changed nothing
  std::string needs_restart = {};          // what the file says otherwise, and only a restart changes
};

class Daemon {
 public:
  explicit Daemon(std::filesystem::path settings_file) : settings_file_(std::move(settings_file)) {}
  // Also when start() failed half way: whatever runs by then uses the parts below it, so it stops before they go.
  ~Daemon() {
    manager_.stop_watchdog();
    if (scheduler_) scheduler_->stop();
    if (scrubber_) scrubber_->stop();
    if (engine_) engine_->stop();
    if (api_) api_->stop();
  }
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  Result<void> run() {
    // Looked at before it is read: a change in between shows as one.
    in_force_.lock()->mark = mark_of(settings_file_);
    CAIRN_TRY(Settings settings, load_settings(settings_file_));
    (void)signal(SIGPIPE, SIG_IGN);  // a client that goes away is not our end
    CAIRN_TRY(signals_, take_signals({SIGTERM, SIGINT, SIGHUP}));
    CAIRN_TRY(end_signals_, take_signals({SIGTERM, SIGINT}));
    if (auto started = start(std::move(settings)); !started) {
      if (started.error().code != ErrorCode::cancelled) return started;
      log_event(LogLevel::info, "daemon-stopped", settings_file_.string(), {{"because", started.error().because}});
      return {};
    }
    manager_.ready(status_line());
    loop();
    stop();
    return {};
  }

 private:
  Result<void> start(Settings settings) {
    const std::filesystem::path socket = settings.socket;
    const MountSettings mount = settings.mount;
    CAIRN_TRY(StateLock lock, StateLock::take(settings.state_dir));
    lock_.emplace(std::move(lock));
    // First of all: opening the store may take long.
    release_left_guests(settings);
    EngineOptions options;
    options.role = EngineRole::daemon;
    options.stop_fd = end_signals_.get();
    CAIRN_TRY(engine_, Engine::open(std::move(settings), options));
    service_.emplace(*engine_);
    mount_.emplace(engine_->store(), mount);
    service_->on_points_changed([this] { mount_->refresh(); });
    if (auto mounted = mount_->mount(); !mounted) log_error("mount-failed", mount.path.string(), mounted.error());

    scheduler_.emplace(engine_->clock(), *engine_->journal(),
                       Scheduler::Hooks{[this] { return engine_->settings(); },
                                        [this](const std::string& machine, JobTrigger trigger) -> Result<void> {
                                          auto started = service_->start_machine(machine, trigger);
                                          if (!started) return pass_on(std::move(started).error());
                                          return {};
                                        }});
    key_watch_.emplace([this] { return engine_->settings(); }, engine_->store(), engine_->clock());
    started_ = engine_->clock().now();
    service_->set_daemon_view({[this] { return daemon_status(); }, [this] { return mount_->status(); },
                               [this](const std::string& machine) { return scheduler_->next_run(machine); },
                               [this](const std::string& machine) { return key_watch_->status(machine); }});
    // Before anything is due: a daemon that cannot have its socket must not begin a backup.
    CAIRN_TRY(api_, ControlApi::start(*service_, socket));
    // Not before either: it may be deriving keys for minutes, and a start that fails would wait for it.
    key_watch_->start();
    scheduler_->start();
    start_scrubber();
    beat();
    manager_.start_watchdog([this] { return healthy(); });
    const auto in_force = engine_->settings();
    log_event(LogLevel::info, "daemon-started", settings_file_.string(),
              {{"version", CAIRN_VERSION},
               {"pid", getpid()},
               {"store", in_force->store.path.string()},
               {"socket", in_force->socket.string()},
               {"machines", in_force->machines.size()}});
    return {};
  }

  void start_scrubber() {
    scrubber_.emplace(engine_->clock(), Scrubber::Hooks{[this] { return engine_->settings(); },
                                                        [this] { return last_verify({kVerifyStore, kVerifySlice}); },
                                                        [this](seconds every) { return start_slice(every); }});
    scrubber_->start();
  }
  std::optional<UtcTime> last_verify(std::initializer_list<const char*> objects) {
    std::optional<UtcTime> last;
    for (const char* object : objects) {
      const auto job = engine_->journal()->last_job(JobKind::verify, object);
      if (job && *job) last = std::max(last.value_or((*job)->queued), (*job)->queued);
    }
    return last;
  }
  // The structure is looked at in a part of the slices: every quarter of the goal, or every week.
  Result<void> start_slice(seconds every) {
    const auto last = last_verify({kVerifyStore});
    const bool structure =
        !last || engine_->clock().now() - *last >= std::min<seconds>(every / 4, std::chrono::days(7));
    auto started = service_->start_scrub(every, structure);
    if (!started) return pass_on(std::move(started).error());
    return {};
  }

  void loop() {
    for (;;) {
      pollfd waiting{signals_.get(), POLLIN, 0};
      const int ready = poll(&waiting, 1, kTickMs);
      beat();
      if (ready > 0) {
        signalfd_siginfo signal{};
        if (read(signals_.get(), &signal, sizeof signal) != sizeof signal) continue;
        if (signal.ssi_signo != SIGHUP) {
          log_event(LogLevel::info, "daemon-stopping", settings_file_.string(),
                    {{"signal", signal.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM"}});
          return;
        }
        reload();
      }
      if (mount_->lost())
        log_event(
            LogLevel::error, "mount-lost", engine_->settings()->mount.path.string(),
            {{"because", "it was unmounted from outside"}, {"resolution", "systemctl reload cairnd mounts it again"}});
      tell_status();
      // A helper that was killed leaves its guest to nobody; where no note is this costs a look at a folder.
      if (const auto now = steady_clock::now(); now >= look_for_guests_) {
        release_left_guests(*engine_->settings());
        look_for_guests_ = now + kLookForGuests;
      }
    }
  }

  void reload() {
    manager_.reloading();
    const auto mark = mark_of(settings_file_);
    auto wanted = load_settings(settings_file_);
    if (!wanted) {
      log_error("reload-failed", settings_file_.string(), wanted.error());
      in_force_.lock()->reload_error = wanted.error();
    } else {
      const auto now = engine_->settings();
      const std::string restart = needs_restart(*now, *wanted);
      if (!restart.empty())
        log_event(LogLevel::warning, "reload-incomplete", settings_file_.string(),
                  {{"needs_restart", restart}, {"because", "these settings only change with a restart"}});
      // What is in force stays visible as what is in force.
      wanted->store = now->store;
      wanted->state_dir = now->state_dir;
      wanted->socket = now->socket;
      wanted->mount = now->mount;
      engine_->replace_settings(*std::move(wanted));
      *in_force_.lock() = {mark, engine_->clock().now(), std::nullopt, restart};
      log_event(LogLevel::info, "reloaded", settings_file_.string(),
                {{"machines", engine_->settings()->machines.size()}});
      scheduler_->poke();
      key_watch_->poke();
      scrubber_->poke();
    }
    if (auto mounted = mount_->mount(); !mounted)
      log_error("mount-failed", engine_->settings()->mount.path.string(), mounted.error());
    manager_.ready(status_line());
  }

  void stop() {
    beat();
    stopping_ = true;
    manager_.stopping(kStopLate);
    const std::jthread last_resort(
        [file = settings_file_.string()](const std::stop_token& stopped) { end_when_late(file, stopped); });
    // Its keys may take minutes, and nobody needs them any more: it has until the end of all the rest.
    key_watch_->ask_to_stop();
    scheduler_->stop();
    scrubber_->stop();
    const JobQueue::Counts cut = engine_->queue().counts();
    engine_->stop();
    const auto answers_until = steady_clock::now() + (cut.queued + cut.running > 0 ? kLastAnswers : seconds(0));
    if (auto stopped = mount_->stop(); !stopped)
      log_error("unmount-failed", engine_->settings()->mount.path.string(), stopped.error());
    std::this_thread::sleep_until(answers_until);
    api_->stop();
    (void)key_watch_->stop_within(kKeyWatchGrace);
    manager_.stop_watchdog();
    if (!anything_left_behind()) {
      log_event(LogLevel::info, "daemon-stopped", settings_file_.string());
      return;
    }
    log_event(LogLevel::warning, "daemon-stopped", settings_file_.string(),
              {{"because", "something that was waited for does not answer, and was left behind"}});
    lock_.reset();
    end_process(static_cast<int>(ExitCode::done));
  }

  // What no bound of the parts' own has ended: a lock of theirs, perhaps, that a hanging thread has.
  static void end_when_late(const std::string& settings_file, const std::stop_token& stopped) {
    std::mutex mutex;
    std::condition_variable_any wake;
    std::unique_lock lock(mutex);
    wake.wait_for(lock, stopped, kStopAtMost, [] { return false; });
    if (stopped.stop_requested()) return;
    log_event(LogLevel::error, "stop-forced", settings_file,
              {{"because", "a part of the daemon did not stop"}, {"after_s", kStopAtMost.count()}});
    end_process(static_cast<int>(ExitCode::failed));
  }

  void beat() { heartbeat_ = steady_clock::now().time_since_epoch().count(); }

  // Touches the locks that everything goes through: a deadlock starves the watchdog.
  bool healthy() {
    const steady_clock::time_point beat_at{steady_clock::duration(heartbeat_.load())};
    const auto now = steady_clock::now();
    (void)engine_->queue().counts();
    (void)engine_->settings();
    if (stopping_) return now - beat_at < kStopLate;
    return now - beat_at < kMainLoopLate && now - scheduler_->last_pass() < kSchedulerLate;
  }

  std::string status_line() {
    const JobQueue::Counts counts = engine_->queue().counts();
    const bool mounted = mount_->is_mounted();
    return fmt::format("{} machines, {} jobs running, {} waiting{}", engine_->settings()->machines.size(),
                       counts.running, counts.queued, mounted ? "" : "; the recovery points are not mounted");
  }

  void tell_status() {
    std::string line = status_line();
    if (line == reported_) return;
    manager_.status(line);
    reported_ = std::move(line);
  }

  nlohmann::json daemon_status() {
    const SettingsInForce in_force = *in_force_.lock();
    const auto mark = mark_of(settings_file_);
    nlohmann::json status{{"running", true},
                          {"pid", getpid()},
                          {"started", iso_time(started_)},
                          {"settings", settings_file_.string()},
                          {"clock_jump", nullptr},
                          {"settings_time", nullptr},
                          {"settings_changed", nullptr},
                          {"reloaded", nullptr},
                          {"reload_error", nullptr},
                          {"needs_restart", nullptr}};
    if (const auto jump = scheduler_->clock_jump())
      status["clock_jump"] = {{"from", iso_time(jump->from)}, {"to", iso_time(jump->to)}};
    if (in_force.mark) {
      status["settings_time"] = iso_time(UtcTime(seconds(in_force.mark->changed_ns / 1'000'000'000)));
      status["settings_changed"] = mark != in_force.mark;
    }
    if (in_force.reloaded) status["reloaded"] = iso_time(*in_force.reloaded);
    if (in_force.reload_error) status["reload_error"] = to_json(*in_force.reload_error);
    if (!in_force.needs_restart.empty()) status["needs_restart"] = in_force.needs_restart;
    return status;
  }

  // Destroyed from the last to the first.
  const std::filesystem::path settings_file_;
  UniqueFd signals_;
  UniqueFd end_signals_;  // SIGTERM and SIGINT only, never read: whether the end was asked for
  steady_clock::time_point look_for_guests_ = steady_clock::now() + kLookForGuests;
  std::optional<StateLock> lock_;
  std::unique_ptr<Engine> engine_;
  std::optional<LocalService> service_;
  std::optional<MountKeeper> mount_;
  std::optional<Scheduler> scheduler_;
  std::optional<KeyWatch> key_watch_;
  std::optional<Scrubber> scrubber_;
  std::unique_ptr<ControlApi> api_;
  std::atomic<steady_clock::rep> heartbeat_ = 0;
  std::atomic<bool> stopping_ = false;
  UtcTime started_;
  Guarded<SettingsInForce> in_force_;
  std::string reported_;
  ServiceManager manager_;  // its watchdog looks at all the others
};

}  // namespace

Result<void> run_daemon(const std::filesystem::path& settings_file) {
  return Daemon(settings_file).run();
}

Result<void> check_daemon(const std::filesystem::path& settings_file) {
  CAIRN_TRY(const Settings settings, load_settings(settings_file));
  CAIRN_TRY(const UnlockKey key, read_store_key(settings));
  CAIRN_TRY(const auto store, Store::open(settings.store.path, key));
  CAIRN_TRY(const auto points, store->points().list());
  log_event(LogLevel::info, "checked", settings_file.string(),
            {{"machines", settings.machines.size()}, {"points", points.size()}});
  return {};
}

}  // namespace cairn
