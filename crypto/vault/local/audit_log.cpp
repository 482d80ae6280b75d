// SPDX-License-Identifier: GPL-3.0-or-later
// The file of the audit log.
#include "crypto/vault/local/audit_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace cairn {
namespace {

constexpr std::size_t kPiece = std::size_t{256} * 1024;
constexpr std::size_t kMaxTorn = std::size_t{64} * 1024;  // a line that a power cut tore is much shorter

// Feeds the whole lines of `file` from `offset` to `reader`. Where the whole lines end.
Result<std::uint64_t> read_lines(int file, std::uint64_t offset, AuditReader& reader, const std::string& object,
                                 std::size_t keep, std::deque<std::string>* kept) {
  std::string text;
  Buffer piece(kPiece);
  std::uint64_t at = offset + text.size();
  while (true) {
    const ssize_t got = ::pread(file, piece.data(), piece.size(), static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(errno, "read audit log", object);
    if (got == 0) return offset;
    at += static_cast<std::uint64_t>(got);
    text.append(as_text(ByteView(piece).first(static_cast<std::size_t>(got))));
    std::size_t begin = 0;
    for (std::size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n', begin)) {
      const std::string_view line = std::string_view(text).substr(begin, end - begin);
      CAIRN_CHECK(reader.next(line));
      if (kept != nullptr) {
        kept->emplace_back(line);
        if (kept->size() > keep) kept->pop_front();
      }
      begin = end + 1;
    }
    offset += begin;
    text.erase(0, begin);
    if (text.size() > kMaxTorn)
      return fail(ErrorCode::audit_damaged, "use audit log", object, "it ends with something that is no entry");
  }
}

}  // namespace

Result<AuditLog> AuditLog::open(const VaultDirectory& directory, VaultSystem& system, const SecretBytes& key,
                                const AuditMark& mark, Memory& memory, const Clock& clock, bool from_first,
                                std::size_t keep, std::deque<std::string>* kept) {
  AuditLog log(directory, system, key, memory, clock);
  CAIRN_TRY(auto file, directory.open_file(kAuditName, O_RDWR | O_APPEND));
  if (!file) {
    CAIRN_CHECK(log.begin_anew(mark));
    CAIRN_TRY(file, directory.open_file(kAuditName, O_RDWR | O_APPEND));
    if (!file) return fail_errno(ENOENT, "open audit log", directory.path_of(kAuditName));
  }
  log.file_ = *std::move(file);
  CAIRN_CHECK(log.check(mark, from_first, keep, kept));
  CAIRN_CHECK(log.note_undone(mark));
  return log;
}

Result<void> AuditLog::begin_anew(const AuditMark& mark) {
  AuditEntry entry;
  entry.number = std::max(mark.number, memory_->state.last.number) + 1;
  entry.time = clock_->now();
  entry.principal = "cairn";
  entry.operation = kAuditBegin;
  entry.object = kAuditName;
  entry.outcome = "done";
  entry.detail =
      "the log before this one is gone; it had entries up to " + std::to_string(entry.number - 1) + " at least";
  entry.pid = ::getpid();
  Buffer mac;
  const std::string line = write_audit_line(entry, Buffer(32), *key_, mac);
  CAIRN_CHECK(directory_->write_new(kAuditTemporary, as_bytes(line)));
  return directory_->publish(kAuditTemporary, kAuditName);
}

Result<void> AuditLog::check(const AuditMark& mark, bool from_first, std::size_t keep, std::deque<std::string>* kept) {
  const std::string object = directory_->path_of(kAuditName);
  struct stat facts{};
  if (::fstat(file_.get(), &facts) != 0) return fail_errno(errno, "look at", object);
  const bool same_file = memory_->device == facts.st_dev && memory_->inode == facts.st_ino && memory_->size > 0;
  if (same_file && static_cast<std::uint64_t>(facts.st_size) < memory_->size)
    return fail(ErrorCode::audit_damaged, "use audit log", object, "its end was cut off since it was last used");
  const bool goes_on = same_file && !from_first && (mark == memory_->mark || mark.number > memory_->state.last.number);
  AuditReader reader(*key_, mark, object, goes_on ? memory_->state : AuditState());
  CAIRN_TRY(const std::uint64_t whole,
            read_lines(file_.get(), goes_on ? memory_->size : 0, reader, object, keep, kept));
  CAIRN_CHECK(reader.finish());
  // A line without its end was torn by a crash: whoever wrote it never got its answer.
  if (whole < static_cast<std::uint64_t>(facts.st_size) &&
      system_->truncate(file_.get(), static_cast<off_t>(whole)) != 0)
    return fail_errno(errno, "repair audit log", object);
  *memory_ = {facts.st_dev, facts.st_ino, whole, mark, reader.state()};
  return {};
}

Result<void> AuditLog::note_undone(const AuditMark& mark) {
  const AuditState& state = memory_->state;
  if (state.last_change <= mark.number || state.last_undone > state.last_change) return {};
  AuditEntry entry;
  entry.principal = "cairn";
  entry.operation = kAuditUndone;
  entry.object = "entry " + std::to_string(state.last_change);
  entry.outcome = "done";
  entry.detail = "changes after entry " + std::to_string(mark.number) +
                 " are not in the vault: it was interrupted, or an older vault was put back";
  return append(prepare(std::move(entry)));
}

AuditLog::Prepared AuditLog::prepare(AuditEntry entry) const {
  Prepared prepared;
  entry.number = memory_->state.last.number + 1;
  entry.time = clock_->now();
  entry.pid = ::getpid();
  prepared.mark.number = entry.number;
  prepared.line = write_audit_line(entry, memory_->state.last.mac, *key_, prepared.mark.mac);
  prepared.entry = std::move(entry);
  return prepared;
}

Result<void> AuditLog::append(const Prepared& prepared) {
  const std::string object = directory_->path_of(kAuditName);
  CAIRN_ASSERT(prepared.mark.number == memory_->state.last.number + 1);
  auto written = write_all(*system_, file_.get(), as_bytes(prepared.line), object);
  if (written && system_->sync(file_.get()) != 0) written = fail_errno(errno, "sync audit log", object);
  if (!written) {
    // A piece that stays all the same is cut off by the next call.
    static_cast<void>(system_->truncate(file_.get(), static_cast<off_t>(memory_->size)));
    return written;
  }
  memory_->size += prepared.line.size();
  memory_->state.last = prepared.mark;
  if (prepared.entry.outcome == "done" && is_change(prepared.entry.operation))
    memory_->state.last_change = prepared.mark.number;
  if (prepared.entry.operation == kAuditUndone) memory_->state.last_undone = prepared.mark.number;
  return {};
}

void AuditLog::marked(const AuditMark& mark) {
  memory_->mark = mark;
}

}  // namespace cairn
