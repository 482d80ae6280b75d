// SPDX-License-Identifier: GPL-3.0-or-later
// Puts settings, store, journal and queue together.
#include "daemon/engine/engine.h"

#include <utility>

#include "config/base/guarded.h"
#include "config/base/log.h"
#include "crypto/unlock_key.h"
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

// `damage`: why a command that finds a damaged journal gets none. It goes on without: its job matters more than its
// note of it.
Result<std::unique_ptr<Journal>> open_journal(const Settings& settings, EngineRole role, std::optional<Error>& damage) {
  if (settings.state_dir.empty() && role == EngineRole::foreground) return std::unique_ptr<Journal>();
  const std::filesystem::path file = settings.state_dir / "journal.db";
  auto made = make_state_dir(settings.state_dir);
  if (!made) {
    if (role == EngineRole::daemon) return pass_on(std::move(made).error());
    return std::unique_ptr<Journal>();
  }
  auto journal = Journal::open(file);
  if (journal || role == EngineRole::daemon) return journal;
  const auto note = [&](const Error& error) {
    if (error.code == ErrorCode::journal_damaged) damage = error;
  };
  note(journal.error());
  auto readable = Journal::open(file, JournalMode::read_only);
  if (readable) return readable;
  note(readable.error());
  return std::unique_ptr<Journal>();
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
    CAIRN_TRY(const UnlockKey key, read_unlock_key(settings.store.key, options.stop_fd));
    CAIRN_TRY(state->store, Store::open(settings.store.path, key));
  }
  state->store->unlisted().keep_in(settings.state_dir);
  CAIRN_TRY(state->journal, open_journal(settings, options.role, state->journal_error));
  if (state->journal) {
    auto settled = settle_interrupted(*state->journal, options.clock->now());
    if (!settled && options.role == EngineRole::daemon) return pass_on(std::move(settled).error());
  }
  JobQueueOptions queue_options;
  queue_options.max_jobs = settings.daemon.max_jobs;
  queue_options.on_end = [journal = state->journal.get()](const JobRecord& record) {
    const bool scheduled = record.kind == JobKind::backup && record.trigger != JobTrigger::on_demand;
    if (journal != nullptr && scheduled && record.error && record.error->code == ErrorCode::shutting_down)
      note_missed(*journal, record);
  };
  state->queue = std::make_unique<JobQueue>(*options.clock, state->journal.get(), queue_options);
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
