// SPDX-License-Identifier: GPL-3.0-or-later
// MountSession: see session.h. Threads: one that runs libfuse's loop (which has its workers), a watcher that follows
// the store, and those of read-ahead. How they start and end, and in which order: fs/mount/MOUNT.md.
#include "fs/mount/session.h"

#include "fs/mount/fuse_api.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstdarg>
#include <cstdio>
#include <mutex>
#include <thread>

#include "config/base/exception_door.h"
#include "config/base/guarded.h"
#include "config/base/left_behind.h"
#include "config/base/log.h"
#include "config/base/unique_fd.h"
#include "config/base/units.h"
#include "fs/mount/mount_point.h"
#include "fs/mount/mount_users.h"
#include "fs/mount/operations.h"
#include "fs/mount/signal_block.h"
#include "fs/store/store.h"

namespace cairn {
namespace {

constexpr std::chrono::seconds kListAtLeastEvery{30};
constexpr std::uint64_t kMaxReadAhead = 4 * kMiB;  // a sequential reader
constexpr std::size_t kMaxQueuedReadAhead = 128;
constexpr const char* kKernelReadAheadKib = "1024";

// Store, as the tree sees it.
class StorePoints : public PointSource {
 public:
  explicit StorePoints(Store& store) : store_(store) {}
  // Now and then: a good time to give back what another process has removed.
  Result<std::vector<PointName>> latest_points(const std::vector<PointName>& names) override {
    return store_.points().latest_of(names);
  }
  Result<std::vector<PointName>> list_points() override {
    store_.chunks().let_go_of_removed_packs();
    return store_.points().list();
  }
  Result<std::optional<std::uint64_t>> points_token() override { return store_.points().change_token(); }
  Result<RecoveryPoint> load_point(const PointName& name) override { return store_.points().load(name); }

 private:
  Store& store_;
};

unsigned cores() {
  return std::max(1U, std::thread::hardware_concurrency());
}

// The last thing libfuse said on this thread: it says why a mount failed there, and nowhere else.
thread_local std::string last_fuse_message;

__attribute__((format(printf, 2, 0))) void hear_fuse(fuse_log_level level, const char* format, va_list arguments) {
  char line[512];
  const int length = std::vsnprintf(line, sizeof line, format, arguments);
  if (length <= 0) return;
  last_fuse_message.assign(line, std::min<std::size_t>(static_cast<std::size_t>(length), sizeof line - 1));
  while (!last_fuse_message.empty() && last_fuse_message.back() == '\n') last_fuse_message.pop_back();
  log_event(level <= FUSE_LOG_WARNING ? LogLevel::warning : LogLevel::debug, "fuse-said", "libfuse",
            {{"message", last_fuse_message}});
}

fuse_session* make_session(const MountOptions& options, Served& served) {
  std::string program = "cairn";
  std::string flag = "-o";
  std::string settings = "ro,nosuid,nodev,noatime,fsname=cairn,subtype=cairn,default_permissions,max_read=" +
                         std::to_string(kMaxReadBytes) + (options.allow_other ? ",allow_other" : "");
  char* argv[] = {program.data(), flag.data(), settings.data(), nullptr};
  fuse_args arguments{3, argv, 0};
  fuse_session* session = fuse_session_new(&arguments, &mount_operations(), sizeof(fuse_lowlevel_ops), &served);
  fuse_opt_free_args(&arguments);
  return session;
}

// The kernel's own read-ahead is 128 KiB by default: an eighth of what one request can carry. Only root may raise it.
void widen_kernel_read_ahead(dev_t device) {
  const std::string knob =
      "/sys/class/bdi/" + std::to_string(major(device)) + ":" + std::to_string(minor(device)) + "/read_ahead_kb";
  const UniqueFd file(::open(knob.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file || ::write(file.get(), kKernelReadAheadKib, std::char_traits<char>::length(kKernelReadAheadKib)) < 0)
    log_event(LogLevel::debug, "read-ahead-kept", knob, {{"reason", "may not be set"}});
}

}  // namespace

struct MountSession::State {
  State(Store& store, const MountOptions& wanted)
      : options(wanted),
        points(store),
        tree(points),
        cache(store.chunks(), wanted.cache_bytes, store.info().chunk_size),
        disks([this, &store](const PointImage& image) { return store.open_disk(image.map, image.object, &cache); },
              [&store](const PointName& point) { return store.points().hold(point); }),
        read_ahead(std::clamp(cores(), 1U, 4U), kMaxQueuedReadAhead),
        served{.tree = tree,
               .disks = disks,
               .read_ahead = read_ahead,
               .failures = failures,
               .handles = handles,
               // Several readers at once must not push out each other's read-ahead before it is used.
               .read_ahead_bytes = std::min(kMaxReadAhead, wanted.cache_bytes / 8),
               .chunk_size = store.info().chunk_size,
               .allow_other = wanted.allow_other,
               .store_path = store.path(),
               .answering = [this] { note_answering(); },
               .changes_waiting = [this] { wake_watcher(); }} {}
  ~State() {
    if (session != nullptr) fuse_session_destroy(session);
  }

  Result<void> mount();
  void run_threads();
  void serve();
  void watch();
  Result<void> look(RefreshMode mode);
  void tell_kernel();
  void tell_watcher_to_end();
  void end_watcher();
  Result<void> take_down_own(WhenBusy when_busy);
  void end_loop();
  void note_answering() {
    const auto set = flags.lock();
    set->answering = true;
    changed.notify_all();
  }
  void wake_watcher() {
    const auto set = flags.lock();
    set->watcher_woken = true;
    changed.notify_all();
  }

  MountOptions options;  // path settled
  StorePoints points;
  PointTree tree;
  ChunkCache cache;
  FailureLog failures;
  OpenDisks disks;
  ReadAhead read_ahead;  // after what its work uses
  Handles handles;       // their files use what stands above
  Served served;

  dev_t device = 0;       // of the mount; constant once mounted
  std::mutex stop_mutex;  // one stop() at a time; taken before the others
  // Held by whoever tells the kernel something through `session`, one at a time, and by the loop's thread when it ends
  // `session`; that thread, whose own it is, needs no lock to use it. Taken before `flags`.
  std::mutex tell_mutex;
  fuse_session* session = nullptr;
  struct Flags {
    bool answering = false;
    bool watcher_woken = false;
    bool watcher_ending = false;
    bool ended = false;
  };
  Guarded<Flags> flags;  // a leaf
  std::condition_variable changed;
  std::thread loop;
  bool left = false;             // the loop is left behind; of stop()
  Guarded<std::thread> watcher;  // locked while it is joined
};

Result<void> MountSession::State::mount() {
  const std::string object = options.path.string();
  constexpr const char* kDoing = "mount recovery points";
  session = make_session(options, served);
  if (session == nullptr) return fail(ErrorCode::mount_failed, kDoing, object, last_fuse_message);
  errno = 0;
  if (fuse_session_mount(session, options.path.c_str()) != 0) {
    const bool refused = errno == EPERM || errno == EACCES;
    return fail(refused ? ErrorCode::permission_denied : ErrorCode::mount_failed, kDoing, object, last_fuse_message);
  }
  return {};
}

void MountSession::State::run_threads() {
  const SignalBlock block;  // signals are for the program's own threads
  loop = std::thread([this] { serve(); });
  *watcher.lock() = std::thread([this] { watch(); });
}

// libfuse's loop and its workers, until the connection or the session ends.
void MountSession::State::serve() {
  fuse_loop_config* config = fuse_loop_cfg_create();
  const unsigned threads = options.threads != 0 ? options.threads : std::clamp(2 * cores(), 4U, 16U);
  fuse_loop_cfg_set_clone_fd(config, 1);
  fuse_loop_cfg_set_max_threads(config, threads);
  fuse_loop_cfg_set_idle_threads(config, threads);
  const int outcome = fuse_session_loop_mt(session, config);
  fuse_loop_cfg_destroy(config);
  end_watcher();
  if (outcome < 0) log_event(LogLevel::error, "mount-ended", options.path.string(), {{"errno", -outcome}});
  // Normally it has been unmounted, which is why the loop ended.
  if (auto down = take_down_own(WhenBusy::detach); !down)
    log_error("unmount-failed", options.path.string(), down.error());
  {
    const std::lock_guard telling(tell_mutex);
    // Not fuse_session_unmount(): it unmounts whatever is at the path, which may be somebody else's by now.
    fuse_session_destroy(session);
    session = nullptr;
  }
  const auto set = flags.lock();  // held while it is told: nobody may take this away before
  set->ended = true;
  changed.notify_all();
}

// Unmounts if what is mounted at our path is ours.
Result<void> MountSession::State::take_down_own(WhenBusy when_busy) {
  CAIRN_TRY(const auto mount, mounted_at(options.path));
  if (!mount || mount->type != kMountType || mount->device != device) return {};
  auto down = take_down(options.path, when_busy);
  if (!down && down.error().code == ErrorCode::not_mounted) return {};
  return down;
}

// Where the connection could not be ended (it was unmounted here before, files are open or another mount namespace has
// a copy, and fusectl is not mounted) libfuse's workers end when they find the session ended after their next request;
// so we make one: asking the kernel for a piece of each disk that is open.
void MountSession::State::end_loop() {
  const std::unique_lock telling(tell_mutex, std::try_to_lock);
  if (!telling) return;  // somebody waits for the kernel, which answers when it has ended the connection
  if (session == nullptr) return;
  fuse_session_exit(session);
  for (const InodeNumber inode : disks.open_inodes())
    (void)fuse_lowlevel_notify_retrieve(session, inode, 0, 0, nullptr);
}

void MountSession::State::watch() {
  auto last_listed = std::chrono::steady_clock::now();
  bool failing = false;
  auto now_set = flags.lock();
  while (true) {
    changed.wait_for(now_set.held(), options.refresh,
                     [&] { return now_set->watcher_woken || now_set->watcher_ending; });
    if (now_set->watcher_ending) return;
    now_set->watcher_woken = false;
    now_set.held().unlock();
    const auto now = std::chrono::steady_clock::now();
    const bool due = now - last_listed >= kListAtLeastEvery;
    if (due) last_listed = now;
    const auto looked = look(due ? RefreshMode::always : RefreshMode::if_changed);
    if (!looked && !failing) log_error("refresh-failed", options.path.string(), looked.error());
    if (looked && failing) log_event(LogLevel::info, "refresh-works-again", options.path.string());
    failing = !looked;
    now_set.held().lock();
  }
}

Result<void> MountSession::State::look(RefreshMode mode) {
  return without_exceptions("list recovery points", options.path.native(), [&]() -> Result<void> {
    CAIRN_CHECK(tree.refresh(mode));
    tell_kernel();
    return {};
  });
}

// Has the kernel forget what changed. Never from a FUSE callback: the kernel may wait for that with the directory
// locked.
void MountSession::State::tell_kernel() {
  const std::lock_guard telling(tell_mutex);  // held across the calls: whoever waits may rely on the kernel knowing
  const TreeChanges changes = tree.take_changes();
  if (session == nullptr) return;
  // What the kernel does not know it cannot forget (ENOENT); a connection that has ended needs nothing (ENODEV).
  for (const TreeChanges::Name& gone : changes.names)
    (void)fuse_lowlevel_notify_inval_entry(session, gone.parent, gone.name.c_str(), gone.name.size());
  for (const InodeNumber inode : changes.inodes) (void)fuse_lowlevel_notify_inval_inode(session, inode, 0, 0);
}

void MountSession::State::tell_watcher_to_end() {
  const auto set = flags.lock();
  set->watcher_ending = true;
  changed.notify_all();
}

void MountSession::State::end_watcher() {
  tell_watcher_to_end();
  if (const auto thread = watcher.lock(); thread->joinable()) thread->join();
}

MountSession::MountSession(std::unique_ptr<State> state) : state_(std::move(state)) {}

Result<std::unique_ptr<MountSession>> MountSession::start(Store& store, const MountOptions& options) {
  CAIRN_CHECK(check_fuse());
  MountOptions settled = options;
  settled.path = settle_path(options.path);
  CAIRN_CHECK(prepare_mount_point(settled.path));
  fuse_set_log_func(hear_fuse);

  auto state = std::make_unique<State>(store, settled);
  CAIRN_CHECK(state->tree.refresh(RefreshMode::always));
  CAIRN_CHECK(state->mount());
  const auto mounted = mounted_at(settled.path);
  if (!mounted || !*mounted) {
    (void)take_down(settled.path, WhenBusy::detach);
    return fail(ErrorCode::mount_failed, "mount recovery points", settled.path.string(),
                "the mount cannot be found again");
  }
  state->device = (*mounted)->device;
  state->run_threads();
  {
    auto flags = state->flags.lock();
    state->changed.wait(flags.held(), [&] { return flags->answering || flags->ended; });
  }
  const dev_t device = state->device;
  std::unique_ptr<MountSession> session(new MountSession(std::move(state)));
  // statfs(2) always comes to us: once it is answered the kernel has made up its mind about read-ahead, too.
  struct statvfs facts{};
  (void)statvfs(settled.path.c_str(), &facts);
  widen_kernel_read_ahead(device);
  if (session->ended())
    return fail(ErrorCode::mount_failed, "mount recovery points", settled.path.string(),
                "the kernel ended the connection at once");
  return session;
}

MountSession::~MountSession() {
  if (auto stopped = stop(); !stopped) log_error("unmount-failed", state_->options.path.string(), stopped.error());
  if (state_->left) (void)state_.release();  // its threads still use it
}

void MountSession::refresh() {
  if (const auto looked = state_->look(RefreshMode::always); !looked)
    log_error("refresh-failed", state_->options.path.string(), looked.error());
}

void MountSession::wait() {
  auto flags = state_->flags.lock();
  state_->changed.wait(flags.held(), [&] { return flags->ended; });
}

bool MountSession::ended() const {
  return state_->flags.lock()->ended;
}

Result<void> MountSession::stop() {
  State& state = *state_;
  const std::lock_guard stopping(state.stop_mutex);
  Result<void> down;
  if (!state.loop.joinable()) return down;
  // Once it has ended its device's number may be another's.
  if (const auto users = ended() ? std::vector<MountUser>() : users_of_mount(state.device, LookAt::all_but_maps);
      !users.empty())
    log_event(LogLevel::warning, "unmounted-in-use", state.options.path.string(), {{"because", in_words(users)}});
  // First of all: a notification of the watcher's may wait for a request, and that for a store that does not answer.
  down = state.take_down_own(WhenBusy::abort);
  // It was unmounted here before, perhaps, and another mount namespace has it still.
  if (!ended() && is_mounted_somewhere(state.device)) (void)abort_connection(state.device);
  state.tell_watcher_to_end();
  state.end_loop();
  {
    auto flags = state.flags.lock();
    if (!state.changed.wait_for(flags.held(), kLeaveAfter, [&] { return flags->ended; })) {
      flags.held().unlock();
      log_event(LogLevel::error, "mount-left", state.options.path.string(),
                {{"because", "a read of the store does not come back"}});
      note_left_behind();
      state.loop.detach();
      state.left = true;
      return down;
    }
  }
  state.loop.join();
  return down;
}

}  // namespace cairn
