// SPDX-License-Identifier: GPL-3.0-or-later
// The journal's database: schema, statements, and how its failures become errors. Any thread: one connection under a
// lock.
#include "daemon/queue/journal.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "config/base/bytes.h"
#include "config/base/guarded.h"
#include "config/base/json.h"
#include "daemon/queue/job.h"
#include "fs/file/folder.h"

namespace cairn {
namespace {

constexpr int kSchemaVersion = 2;
constexpr int kBusyMs = 10'000;

constexpr const char* kSchema = R"(
  CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    object TEXT NOT NULL,
    ended INTEGER NOT NULL,        -- 0 or 1
    pid INTEGER NOT NULL,          -- who runs it
    start_ticks INTEGER NOT NULL,
    document TEXT NOT NULL         -- daemon/API.md "Job"
  );
  CREATE INDEX IF NOT EXISTS jobs_by_object ON jobs (kind, object, number);
  CREATE INDEX IF NOT EXISTS jobs_not_ended ON jobs (ended) WHERE ended = 0;
  CREATE TABLE IF NOT EXISTS schedules (
    machine TEXT PRIMARY KEY,
    handled INTEGER NOT NULL,      -- seconds since 1970
    owed INTEGER NOT NULL,         -- 0 or 1: a run was missed
    schedule TEXT NOT NULL DEFAULT ''  -- the schedule that was followed; since version 2
  );
)";
constexpr const char* kFromVersion1 = "ALTER TABLE schedules ADD COLUMN schedule TEXT NOT NULL DEFAULT '';";

// Field 22 of /proc/PID/stat; nothing when there is no such process. The second field is in parentheses and may hold
// spaces, so counting begins behind the last one.
std::optional<std::uint64_t> start_ticks_of(std::int64_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  const auto after_name = line.rfind(')');
  if (after_name == std::string::npos) return std::nullopt;
  std::istringstream fields(line.substr(after_name + 1));
  std::string field;
  for (int number = 3; number <= 22; ++number)
    if (!(fields >> field)) return std::nullopt;
  std::uint64_t ticks = 0;
  const auto [end, problem] = std::from_chars(field.data(), field.data() + field.size(), ticks);
  if (problem != std::errc() || end != field.data() + field.size()) return std::nullopt;
  return ticks;
}

struct CloseDatabase {
  void operator()(sqlite3* database) const { sqlite3_close(database); }
};
struct FinalizeStatement {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Database = std::unique_ptr<sqlite3, CloseDatabase>;
using Statement = std::unique_ptr<sqlite3_stmt, FinalizeStatement>;

}  // namespace

ProcessMark this_process() {
  return {getpid(), start_ticks_of(getpid()).value_or(0)};
}

bool is_running(const ProcessMark& process) {
  const auto ticks = start_ticks_of(process.pid);
  if (ticks) return process.start_ticks == 0 || *ticks == process.start_ticks;
  // Without /proc only whether there is such a process can be told; it has not ended as long as that is not known.
  if (access("/proc/self/stat", F_OK) == 0) return false;
  return kill(static_cast<pid_t>(process.pid), 0) == 0 || errno == EPERM;
}

namespace {

// The database and what is done with it.
struct Connection {
  std::string file;
  Database database;

  [[nodiscard]] std::unexpected<Error> failed(int code, const char* doing) const {
    const char* text = database ? sqlite3_errmsg(database.get()) : sqlite3_errstr(code);
    switch (code & 0xff) {
      case SQLITE_CORRUPT:
      case SQLITE_NOTADB:
        return fail(ErrorCode::journal_damaged, doing, file, text);
      case SQLITE_FULL:
        return fail(ErrorCode::no_space, doing, file, text);
      case SQLITE_PERM:
      case SQLITE_READONLY:
      case SQLITE_AUTH:
        return fail(ErrorCode::permission_denied, doing, file, text);
      case SQLITE_CANTOPEN: {
        const int number = sqlite3_system_errno(database.get());
        return fail_errno(number, doing, file, ErrorCode::io_error, number == 0 ? text : "");
      }
      default: {
        // A full file system is not always SQLITE_FULL: the memory beside the log is a file, too.
        const int number = database ? sqlite3_system_errno(database.get()) : 0;
        if ((code & 0xff) == SQLITE_IOERR && number != 0)
          return fail_errno(number, doing, file, ErrorCode::io_error, text);
        return fail(ErrorCode::io_error, doing, file, text);
      }
    }
  }

  Result<void> run(const char* sql, const char* doing) const {
    const int code = sqlite3_exec(database.get(), sql, nullptr, nullptr, nullptr);
    if (code != SQLITE_OK) return failed(code, doing);
    return {};
  }

  Result<Statement> prepare(const char* sql, const char* doing) const {
    sqlite3_stmt* statement = nullptr;
    const int code = sqlite3_prepare_v2(database.get(), sql, -1, &statement, nullptr);
    if (code != SQLITE_OK) return failed(code, doing);
    return Statement(statement);
  }

  // Runs a statement that gives no rows.
  Result<void> finish(const Statement& statement, const char* doing) const {
    const int code = sqlite3_step(statement.get());
    if (code != SQLITE_DONE) return failed(code, doing);
    return {};
  }

  // The document of the row that the statement stands on (column 0).
  Result<JobRecord> read_job_row(const Statement& statement, const char* doing) const {
    const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement.get(), 0));
    auto record = job_from_json(parse_json(text != nullptr ? text : "").value_or(nullptr));
    if (!record) return fail(ErrorCode::journal_damaged, doing, file, record.error().because);
    return record;
  }

  // All rows' documents.
  Result<std::vector<JobRecord>> read_jobs(const Statement& statement, const char* doing) const {
    std::vector<JobRecord> records;
    int code = SQLITE_OK;
    while ((code = sqlite3_step(statement.get())) == SQLITE_ROW) {
      CAIRN_TRY(JobRecord record, read_job_row(statement, doing));
      records.push_back(std::move(record));
    }
    if (code != SQLITE_DONE) return failed(code, doing);
    return records;
  }

  Result<int> schema_version() const {
    CAIRN_TRY(const Statement statement, prepare("PRAGMA user_version", "open journal"));
    const int code = sqlite3_step(statement.get());
    if (code != SQLITE_ROW) return failed(code, "open journal");
    return sqlite3_column_int(statement.get(), 0);
  }

  // Makes the tables, or brings those of an older version up to date.
  Result<void> make_schema() const {
    constexpr const char* kDoing = "make journal";
    CAIRN_CHECK(run("BEGIN IMMEDIATE", kDoing));
    auto made = [&]() -> Result<void> {
      // Asked again: another process may have done it meanwhile.
      CAIRN_TRY(const int version, schema_version());
      if (version >= kSchemaVersion) return {};
      const std::string sql =
          (version == 0 ? kSchema : kFromVersion1) + ("PRAGMA user_version = " + std::to_string(kSchemaVersion));
      return run(sql.c_str(), kDoing);
    }();
    if (made) made = run("COMMIT", kDoing);
    if (!made) (void)run("ROLLBACK", kDoing);
    return made;
  }

  Result<void> write_job(const JobRecord& record, const ProcessMark& owner) const {
    constexpr const char* kDoing = "write job to journal";
    CAIRN_TRY(const Statement statement,
              prepare("INSERT INTO jobs (id, kind, object, ended, pid, start_ticks, document) VALUES (?,?,?,?,?,?,?) "
                      "ON CONFLICT (id) DO UPDATE SET ended = excluded.ended, document = excluded.document "
                      "WHERE jobs.ended = 0 OR excluded.ended = 1",
                      kDoing));
    const std::string document = json_text(to_json(record));
    bind(statement, 1, record.id);
    bind(statement, 2, to_string(record.kind));
    bind(statement, 3, record.object);
    sqlite3_bind_int(statement.get(), 4, has_ended(record.state) ? 1 : 0);
    sqlite3_bind_int64(statement.get(), 5, owner.pid);
    sqlite3_bind_int64(statement.get(), 6, static_cast<sqlite3_int64>(owner.start_ticks));
    bind(statement, 7, document);
    return finish(statement, kDoing);
  }

  static void bind(const Statement& statement, int place, std::string_view text) {
    sqlite3_bind_text(statement.get(), place, text.data(), static_cast<int>(text.size()), SQLITE_TRANSIENT);
  }
};

// SQLite opens by path, and waits for whoever writes to a pipe: so each of its files must be one, or not be there. The
// journal with no link on the way to it, as SQLITE_OPEN_NOFOLLOW wants it.
Result<std::filesystem::path> place_of_journal(const std::filesystem::path& file) {
  CAIRN_TRY(const Folder folder, Folder::open(file.has_parent_path() ? file.parent_path() : "."));
  for (const char* suffix : {"", "-wal", "-shm", "-journal"}) {
    const std::string name = file.filename().string() + suffix;
    CAIRN_TRY(const auto facts, folder.look_at(name));
    if (facts && !S_ISREG(facts->st_mode))
      return fail(ErrorCode::wrong_file_type, "open journal", folder.path_of(name),
                  std::string("it is ") + kind_of_file(*facts) + ", not a file");
  }
  std::error_code problem;
  std::filesystem::path real = std::filesystem::canonical(folder.path(), problem);
  if (problem) return fail_errno(problem.value(), "open journal", file.string());
  return real / file.filename();
}

}  // namespace

namespace {

// https://www.sqlite.org/uri.html
std::string uri_of(const std::filesystem::path& file) {
  std::string uri = "file:";
  for (const char c : file.native()) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = std::isalnum(byte) != 0 || c == '/' || c == '-' || c == '_' || c == '.';
    uri += plain ? std::string(1, c) : "%" + to_hex(ByteView(&byte, 1));
  }
  return uri + "?immutable=1";
}

}  // namespace

struct Journal::State {
  explicit State(Connection opened) : connection(std::move(opened)) {}
  const ProcessMark process = this_process();
  // One statement at a time; locked across the database's own I/O, which is short.
  Guarded<Connection> connection;
};

Journal::Journal(std::unique_ptr<State> state) : state_(std::move(state)) {}
Journal::~Journal() = default;

Result<std::unique_ptr<Journal>> Journal::open(const std::filesystem::path& file, JournalMode mode) {
  Connection connection;
  connection.file = file.string();
  const int flags =
      (mode == JournalMode::read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE) |
      SQLITE_OPEN_FULLMUTEX | SQLITE_OPEN_NOFOLLOW;
  CAIRN_TRY(const std::filesystem::path real, place_of_journal(file));
  // What nobody can write does not change while it is read, and its log needs no memory beside it, which could not be
  // made there.
  const bool frozen = mode == JournalMode::read_only && access(real.parent_path().c_str(), W_OK) != 0;
  sqlite3* database = nullptr;
  const int opened = frozen ? sqlite3_open_v2(uri_of(real).c_str(), &database, flags | SQLITE_OPEN_URI, nullptr)
                            : sqlite3_open_v2(real.c_str(), &database, flags, nullptr);
  connection.database.reset(database);
  if (opened != SQLITE_OK) return connection.failed(opened, "open journal");
  sqlite3_extended_result_codes(database, 1);
  sqlite3_busy_timeout(database, kBusyMs);
  // SQLite opens lazily: the first statement is what finds a file that is no database.
  CAIRN_TRY(const int version, connection.schema_version());
  if (version > kSchemaVersion)
    return fail(ErrorCode::journal_damaged, "open journal", connection.file,
                "it was written by a newer Cairn (schema " + std::to_string(version) + ", this one knows up to " +
                    std::to_string(kSchemaVersion) + ")",
                "use that Cairn, or move the file away: a new journal is made, recovery points are not affected");
  if (mode == JournalMode::read_write) {
    static_cast<void>(::fchmodat(AT_FDCWD, real.c_str(), 0600, AT_SYMLINK_NOFOLLOW));
    CAIRN_CHECK(connection.run("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL", "open journal"));
    if (version < kSchemaVersion) CAIRN_CHECK(connection.make_schema());
  } else if (version == 0) {
    return fail(ErrorCode::journal_damaged, "open journal", connection.file, "it has no tables");
  }
  // Damage is found now, not in the middle of a night's backup. quick_check reads the whole file, which trim() keeps
  // small.
  CAIRN_TRY(const Statement check, connection.prepare("PRAGMA quick_check(1)", "check journal"));
  const int code = sqlite3_step(check.get());
  if (code != SQLITE_ROW) return connection.failed(code, "check journal");
  const std::string verdict = reinterpret_cast<const char*>(sqlite3_column_text(check.get(), 0));
  if (verdict != "ok") return fail(ErrorCode::journal_damaged, "open journal", connection.file, verdict);
  return std::unique_ptr<Journal>(new Journal(std::make_unique<State>(std::move(connection))));
}

Result<void> Journal::save(const JobRecord& record) {
  const auto connection = state_->connection.lock();
  return connection->write_job(record, state_->process);
}

Result<std::vector<JobRecord>> Journal::jobs(std::size_t limit) {
  const auto connection = state_->connection.lock();
  CAIRN_TRY(const Statement statement,
            connection->prepare("SELECT document FROM jobs ORDER BY number DESC LIMIT ?", "read journal"));
  sqlite3_bind_int64(statement.get(), 1, static_cast<sqlite3_int64>(limit));
  return connection->read_jobs(statement, "read journal");
}

Result<std::optional<JobRecord>> Journal::job(const std::string& id) {
  const auto connection = state_->connection.lock();
  CAIRN_TRY(const Statement statement, connection->prepare("SELECT document FROM jobs WHERE id = ?", "read journal"));
  Connection::bind(statement, 1, id);
  CAIRN_TRY(auto records, connection->read_jobs(statement, "read journal"));
  if (records.empty()) return std::optional<JobRecord>();
  return std::optional<JobRecord>(std::move(records.front()));
}

Result<std::optional<JobRecord>> Journal::last_job(JobKind kind, const std::string& object) {
  const auto connection = state_->connection.lock();
  CAIRN_TRY(const Statement statement,
            connection->prepare("SELECT document FROM jobs WHERE kind = ? AND object = ? ORDER BY number DESC LIMIT 1",
                                "read journal"));
  Connection::bind(statement, 1, to_string(kind));
  Connection::bind(statement, 2, object);
  CAIRN_TRY(auto records, connection->read_jobs(statement, "read journal"));
  if (records.empty()) return std::optional<JobRecord>();
  return std::optional<JobRecord>(std::move(records.front()));
}

namespace {
// Jobs that have not ended and whose process `wanted` takes; oldest first.
Result<std::vector<JobRecord>> jobs_not_ended(const Connection& connection,
                                              const std::function<bool(const ProcessMark&)>& wanted) {
  constexpr const char* kDoing = "read journal";
  std::vector<JobRecord> found;
  CAIRN_TRY(const Statement statement,
            connection.prepare("SELECT document, pid, start_ticks FROM jobs WHERE ended = 0 ORDER BY number", kDoing));
  int code = SQLITE_OK;
  while ((code = sqlite3_step(statement.get())) == SQLITE_ROW) {
    const ProcessMark owner{sqlite3_column_int64(statement.get(), 1),
                            static_cast<std::uint64_t>(sqlite3_column_int64(statement.get(), 2))};
    if (!wanted(owner)) continue;
    CAIRN_TRY(JobRecord record, connection.read_job_row(statement, kDoing));
    found.push_back(std::move(record));
  }
  if (code != SQLITE_DONE) return connection.failed(code, kDoing);
  return found;
}
}  // namespace

Result<std::vector<JobRecord>> Journal::running_elsewhere(const std::function<bool(const ProcessMark&)>& alive) {
  const auto connection = state_->connection.lock();
  return jobs_not_ended(*connection,
                        [&](const ProcessMark& owner) { return !(owner == state_->process) && alive(owner); });
}

Result<std::vector<JobRecord>> Journal::end_interrupted(UtcTime now,
                                                        const std::function<bool(const ProcessMark&)>& alive) {
  const auto connection = state_->connection.lock();
  CAIRN_TRY(std::vector<JobRecord> interrupted,
            jobs_not_ended(*connection, [&](const ProcessMark& owner) { return !alive(owner); }));
  for (JobRecord& record : interrupted) {
    record.state = JobState::failed;
    record.ended = now;
    ++record.revision;
    record.error = Error{ErrorCode::interrupted,
                         std::string("finish ").append(to_string(record.kind)),
                         record.object,
                         "the process that ran it ended before the job did",
                         0,
                         {}};
    CAIRN_CHECK(connection->write_job(record, state_->process));
  }
  return interrupted;
}

Result<void> Journal::trim(std::size_t keep) {
  const auto connection = state_->connection.lock();
  CAIRN_TRY(const Statement statement,
            connection->prepare("DELETE FROM jobs WHERE ended = 1 AND number <= "
                                "(SELECT number FROM jobs ORDER BY number DESC LIMIT 1 OFFSET ?)",
                                "trim journal"));
  sqlite3_bind_int64(statement.get(), 1, static_cast<sqlite3_int64>(keep));
  return connection->finish(statement, "trim journal");
}

Result<std::optional<ScheduleMark>> Journal::schedule_mark(const std::string& machine) {
  const auto connection = state_->connection.lock();
  CAIRN_TRY(const Statement statement,
            connection->prepare("SELECT handled, owed, schedule FROM schedules WHERE machine = ?", "read journal"));
  Connection::bind(statement, 1, machine);
  const int code = sqlite3_step(statement.get());
  if (code == SQLITE_DONE) return std::optional<ScheduleMark>();
  if (code != SQLITE_ROW) return connection->failed(code, "read journal");
  const auto* schedule = reinterpret_cast<const char*>(sqlite3_column_text(statement.get(), 2));
  return std::optional<ScheduleMark>(
      ScheduleMark{UtcTime(std::chrono::seconds(sqlite3_column_int64(statement.get(), 0))),
                   sqlite3_column_int(statement.get(), 1) != 0, schedule != nullptr ? schedule : ""});
}

Result<void> Journal::set_schedule_mark(const std::string& machine, const ScheduleMark& mark) {
  const auto connection = state_->connection.lock();
  CAIRN_TRY(const Statement statement,
            connection->prepare("INSERT INTO schedules (machine, handled, owed, schedule) VALUES (?,?,?,?) "
                                "ON CONFLICT (machine) DO UPDATE SET handled = excluded.handled, owed = excluded.owed, "
                                "schedule = excluded.schedule",
                                "write schedule to journal"));
  Connection::bind(statement, 1, machine);
  sqlite3_bind_int64(statement.get(), 2, mark.handled.time_since_epoch().count());
  sqlite3_bind_int(statement.get(), 3, mark.missed ? 1 : 0);
  Connection::bind(statement, 4, mark.schedule);
  return connection->finish(statement, "write schedule to journal");
}

void warn_of_journal(const std::optional<Error>& damage, JobContext& job) {
  if (damage && damage->code == ErrorCode::journal_damaged)
    job.warn("this job is not in the journal: " + damage->message() + " [" + std::string(damage->name()) + "]");
}

}  // namespace cairn
