// SPDX-License-Identifier: GPL-3.0-or-later
// Puts settings, store, journal and queue together.
#include "daemon/engine/engine.h"

#include <unistd.h>

#include <cerrno>
#include <utility>

#include "config/base/guarded.h"
#include "config/base/log.h"
#include "daemon/engine/store_key.h"
#include "daemon/process/state_lock.h"
#include "daemon/queue/job_queue.h"
#include "daemon/queue/journal.h"
#include "fs/store/store.h"

namespace cairn {

struct Engine::State {
  EngineOptions options;
  std::unique_ptr<Store> store;
  std::unique_ptr<Journal> journal;
  std::optional<Error> journal_error;
  std::unique_ptr<JobQueue> queue;  // before store and journal in destruction: its jobs use them
  Guarded<std::shared_ptr<const Settings>> settings;
};

namespace {

struct OpenedJournal {
  std::unique_ptr<Journal> journal;  // null: there is none
  bool writable = false;
  std::optional<Error> error;  // why it is not used as it should be
};

Error not_writable(Error why, const std::filesystem::path& file) {
  if (why.code == ErrorCode::journal_damaged || why.code == ErrorCode::wrong_file_type) return why;
  // SQLite tells of a file beside the journal then, which it could not make.
  if (::access(file.parent_path().c_str(), W_OK) != 0 && errno == EROFS) why.sys_errno = EROFS;
  return Error{ErrorCode::journal_not_writable, "write", file.string(), why.because, why.sys_errno, {}};
}

// A command goes on without a journal that it cannot use: its job matters more than its note of it.
Result<OpenedJournal> open_journal(const Settings& settings, EngineRole role) {
  if (settings.state_dir.empty() && role == EngineRole::foreground) return OpenedJournal();
  const std::filesystem::path file = settings.state_dir / "journal.db";
  auto made = make_state_dir(settings.state_dir);
  if (!made) {
    if (role == EngineRole::daemon) return pass_on(std::move(made).error());
    return OpenedJournal{nullptr, false, not_writable(std::move(made).error(), file)};
  }
  auto journal = Journal::open(file);
  if (journal) return OpenedJournal{*std::move(journal), true, std::nullopt};
  if (role == EngineRole::daemon) return pass_on(std::move(journal).error());
  OpenedJournal opened{nullptr, false, not_writable(std::move(journal).error(), file)};
  if (auto readable = Journal::open(file, JournalMode::read_only)) opened.journal = *std::move(readable);
  return opened;
}

// A run that the end of its process broke off was missed. A catch-up that was broken off by a crash is not taken again:
// it may be what crashes.
void note_missed(Journal& journal, const JobRecord& record) {
  auto mark = journal.schedule_mark(record.object);
  if (!mark || !*mark) return;
  (*mark)->missed = true;
  if (auto kept = journal.set_schedule_mark(record.object, **mark); !kept)
    log_error("journal-failed", record.object, kept.error());
}

Result<void> settle_interrupted(Journal& journal, UtcTime now) {
  CAIRN_TRY(const auto interrupted, journal.end_interrupted(now));
  for (const JobRecord& record : interrupted) {
    log_error("job-interrupted", record.id, *record.error);
    if (record.kind == JobKind::backup && record.trigger == JobTrigger::schedule) note_missed(journal, record);
  }
  return {};
}

}  // namespace

Engine::Engine(std::unique_ptr<State> state) : state_(std::move(state)) {}

Engine::~Engine() {
  stop();
}

Result<std::unique_ptr<Engine>> Engine::open(Settings settings, const EngineOptions& options) {
  auto state = std::make_unique<State>();
  state->options = options;
  state->options.key = nullptr;  // borrowed by this call only
  if (options.key != nullptr) {
    CAIRN_TRY(state->store, Store::open(settings.store.path, *options.key));
  } else {
    CAIRN_TRY(const UnlockKey key, read_store_key(settings, options.stop_fd));
    CAIRN_TRY(state->store, Store::open(settings.store.path, key));
  }
  state->store->unlisted().keep_in(settings.state_dir);
  CAIRN_TRY(OpenedJournal opened, open_journal(settings, options.role));
  state->journal = std::move(opened.journal);
  state->journal_error = std::move(opened.error);
  Journal* const written = opened.writable ? state->journal.get() : nullptr;
  if (written != nullptr) {
    auto settled = settle_interrupted(*state->journal, options.clock->now());
    if (!settled && options.role == EngineRole::daemon) return pass_on(std::move(settled).error());
  }
  JobQueueOptions queue_options;
  queue_options.max_jobs = settings.daemon.max_jobs;
  queue_options.on_end = [journal = written](const JobRecord& record) {
    const bool scheduled = record.kind == JobKind::backup && record.trigger != JobTrigger::on_demand;
    if (journal != nullptr && scheduled && record.error && record.error->code == ErrorCode::shutting_down)
      note_missed(*journal, record);
  };
  state->queue = std::make_unique<JobQueue>(*options.clock, written, queue_options);
  *state->settings.lock() = std::make_shared<const Settings>(std::move(settings));
  return std::unique_ptr<Engine>(new Engine(std::move(state)));
}

Store& Engine::store() {
  return *state_->store;
}
JobQueue& Engine::queue() {
  return *state_->queue;
}
Journal* Engine::journal() {
  return state_->journal.get();
}
const std::optional<Error>& Engine::journal_error() const {
  return state_->journal_error;
}
const Clock& Engine::clock() const {
  return *state_->options.clock;
}
ClockReading Engine::read_clock() const {
  return state_->options.read_clock ? state_->options.read_clock() : cairn::read_clock(clock());
}
EngineRole Engine::role() const {
  return state_->options.role;
}

std::shared_ptr<const Settings> Engine::settings() const {
  return *state_->settings.lock();
}

void Engine::replace_settings(Settings settings) {
  const unsigned max_jobs = settings.daemon.max_jobs;
  auto replacement = std::make_shared<const Settings>(std::move(settings));
  state_->settings.lock()->swap(replacement);
  state_->queue->set_max_jobs(max_jobs);
}

void Engine::stop() {
  state_->queue->stop();
}

}  // namespace cairn
