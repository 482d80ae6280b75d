// The restore job. Threads claim runs of data in the disk's order, fetch their chunks and write them where they belong;
// zero chunks are never written, so holes stay holes.
// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/jobs/restore.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>
#include <vector>

#include "config/base/unique_fd.h"
#include "config/base/units.h"
#include "daemon/jobs/job.h"
#include "fs/store/disk_reader.h"
#include "fs/store/store.h"

namespace cairn {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr std::uint64_t kClaim = 4 * kMiB;  // what a thread takes at a time
constexpr std::size_t kMaxVectors = 256;    // below IOV_MAX

fs::path target_of(const RestoreTask& task, const std::string& disk) {
  return task.to / (disk + ".img");
}

Result<std::vector<const DiskRecord*>> wanted_disks(const RecoveryPoint& point, const RestoreTask& task) {
  std::vector<const DiskRecord*> disks;
  std::vector<std::string> names;
  for (const DiskRecord& disk : point.disks) {
    names.push_back(disk.name);
    if (!task.disk || *task.disk == disk.name) disks.push_back(&disk);
  }
  if (!disks.empty() || !task.disk) return disks;
  const auto nearest = nearest_name(*task.disk, names);
  return fail(ErrorCode::no_such_disk, "restore", fmt::format("{}/{}", task.point.text(), *task.disk),
              nearest ? fmt::format("the point has no such disk; did you mean \"{}\"?", *nearest)
                      : fmt::format("the point has no such disk, only: {}", fmt::join(names, ", ")));
}

// A file without a name until publish(), so that nothing is left of it when this process is killed; where the file
// system cannot do that (NFS), one under a temporary name.
class PendingFile {
 public:
  static Result<PendingFile> create(const fs::path& final_path) {
    PendingFile file;
    file.final_ = final_path;
    const std::string folder = final_path.parent_path().string();
    file.fd_ = UniqueFd(open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    // EISDIR: a kernel that does not know O_TMPFILE, or a file system behind one that does not (open(2)).
    if (file.fd_) return file;
    const int refused = errno;
    if (refused != EOPNOTSUPP && refused != EISDIR && refused != EINVAL)
      return fail_errno(refused, "create file in", folder);
    std::string name = file.temporary_pattern();
    file.fd_ = UniqueFd(mkostemp(name.data(), O_CLOEXEC));  // mode 0600
    if (!file.fd_) return fail_errno(errno, "create file in", folder);
    file.temporary_ = name;
    return file;
  }
  PendingFile(PendingFile&& other) noexcept
      : fd_(std::move(other.fd_)), final_(std::move(other.final_)), temporary_(std::exchange(other.temporary_, {})) {}
  PendingFile& operator=(PendingFile&&) = delete;
  ~PendingFile() {
    if (!temporary_.empty()) unlink(temporary_.c_str());
  }
  [[nodiscard]] int fd() const { return fd_.get(); }

  // Durable under its name on return.
  Result<void> publish(bool replace) {
    if (fsync(fd_.get()) != 0) return fail_errno(errno, "write", final_.string());
    if (temporary_.empty() && !replace) {
      if (!link_as(final_.string())) return not_named();
    } else {
      // Only rename(2) replaces a file in one step, and it needs a name to begin with.
      if (temporary_.empty() && !link_as_temporary()) return not_named();
      if (!rename_to_final(replace)) return not_named();
    }
    const UniqueFd folder(open(final_.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder || fsync(folder.get()) != 0) return fail_errno(errno, "sync directory", final_.parent_path().string());
    return {};
  }

 private:
  PendingFile() = default;

  [[nodiscard]] std::string temporary_pattern() const {
    return (final_.parent_path() / ("." + final_.filename().string() + ".XXXXXX")).string();
  }
  // These give false with errno. linkat(2) of the descriptor itself would need CAP_DAC_READ_SEARCH, by way of /proc
  // none.
  [[nodiscard]] bool link_as(const std::string& name) const {
    const std::string self = fmt::format("/proc/self/fd/{}", fd_.get());
    return linkat(AT_FDCWD, self.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) == 0;
  }
  [[nodiscard]] bool link_as_temporary() {
    for (int tries = 0; tries < 100; ++tries) {
      // A name that is free; mkostemp makes it, and the file must go before the link.
      std::string name = temporary_pattern();
      const UniqueFd taken(mkostemp(name.data(), O_CLOEXEC));
      if (!taken) return false;
      unlink(name.c_str());
      if (link_as(name)) {
        temporary_ = name;
        return true;
      }
      if (errno != EEXIST) return false;
    }
    return false;
  }
  [[nodiscard]] bool rename_to_final(bool replace) {
    // RENAME_NOREPLACE closes the gap between looking and renaming; where it is not known, link(2) does the same.
    int done = replace ? rename(temporary_.c_str(), final_.c_str())
                       : renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, final_.c_str(), RENAME_NOREPLACE);
    if (done != 0 && !replace && (errno == EINVAL || errno == ENOSYS)) {
      done = link(temporary_.c_str(), final_.c_str());
      if (done == 0) unlink(temporary_.c_str());
    }
    if (done != 0) return false;
    temporary_.clear();
    return true;
  }
  [[nodiscard]] std::unexpected<Error> not_named() const {
    const int problem = errno;
    if (problem == EEXIST)
      return fail(ErrorCode::target_exists, "restore to", final_.string(), "the file appeared meanwhile");
    return fail_errno(problem, "name the restored file", final_.string());
  }

  UniqueFd fd_;
  fs::path final_;
  std::string temporary_;  // empty: it has no name yet
};

class DiskWriter {
 public:
  DiskWriter(DiskReader& disk, int fd, std::string path, JobContext& job)
      : disk_(disk), fd_(fd), path_(std::move(path)), job_(job) {}

  Result<void> run() {
    const unsigned count = std::clamp(std::thread::hardware_concurrency(), 2U, 8U);
    {
      std::vector<std::jthread> threads;
      for (unsigned i = 0; i < count; ++i) threads.emplace_back([this] { work(); });
    }
    if (error_) return pass_on(*std::move(error_));
    return {};
  }

 private:
  struct Run {
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
  };

  // The door: an exception (out of memory) must not leave a thread.
  void work() {
    try {
      for (;;) {
        auto run = claim();
        if (run && !*run) return;
        auto done = run ? write_run(**run) : Result<void>(pass_on(run.error()));
        if (!done) return give_up(std::move(done).error());
      }
    } catch (const std::exception& error) {
      give_up(Error{ErrorCode::out_of_memory, "restore to", path_, error.what(), 0, {}});
    }
  }

  void give_up(Error error) {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::move(error);
  }

  // The next run of data, within one claim's size and alignment; nothing when there is none left or something failed.
  // Reads map nodes with the lock held: they are few, and everybody needs the same next one.
  Result<std::optional<Run>> claim() {
    const std::lock_guard lock(mutex_);
    if (error_) return std::optional<Run>();
    if (job_.stop().stop_requested()) return fail(ErrorCode::cancelled, "restore to", path_, "it was asked to stop");
    if (next_ >= disk_.size()) return std::optional<Run>();
    CAIRN_TRY(const std::optional<std::uint64_t> data, disk_.seek_data(next_));
    const std::uint64_t skipped_from = next_;
    const std::uint64_t begin = data.value_or(disk_.size());
    const std::uint64_t end = std::min(disk_.size(), (begin / kClaim + 1) * kClaim);
    next_ = data ? end : disk_.size();
    job_.add_done(begin - skipped_from);
    if (!data) return std::optional<Run>();
    return std::optional<Run>(Run{begin, end - begin});
  }

  Result<void> write_run(const Run& run) {
    std::vector<SharedBuffer> chunks;
    std::uint64_t from = run.offset;
    const std::uint64_t end = run.offset + run.size;
    // seek_data gives chunk starts, and a claim is a whole number of chunks.
    for (std::uint64_t at = run.offset; at < end;) {
      CAIRN_TRY(SharedBuffer chunk, disk_.chunk(at / disk_.chunk_size()));
      const std::uint64_t next = std::min<std::uint64_t>(end, at + disk_.chunk_size());
      if (chunk == nullptr || chunks.size() == kMaxVectors) {
        CAIRN_CHECK(write_chunks(chunks, from));
        chunks.clear();
        from = chunk == nullptr ? next : at;
      }
      if (chunk != nullptr) chunks.push_back(std::move(chunk));
      at = next;
    }
    CAIRN_CHECK(write_chunks(chunks, from));
    // Writing back begins now, so that the fsync at the end has little left to do. Only a hint.
    (void)sync_file_range(fd_, static_cast<off64_t>(run.offset), static_cast<off64_t>(run.size), SYNC_FILE_RANGE_WRITE);
    job_.add_done(run.size);
    return {};
  }

  Result<void> write_chunks(const std::vector<SharedBuffer>& chunks, std::uint64_t offset) {
    std::vector<iovec> vectors;
    for (const SharedBuffer& chunk : chunks)
      vectors.push_back({const_cast<std::uint8_t*>(chunk->data()), chunk->size()});  // NOLINT: pwritev's type
    std::span<iovec> left(vectors);
    while (!left.empty()) {
      const ssize_t wrote = pwritev(fd_, left.data(), static_cast<int>(left.size()), static_cast<off_t>(offset));
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote < 0) return fail_errno(errno, "write", path_);
      offset += static_cast<std::uint64_t>(wrote);
      auto done = static_cast<std::size_t>(wrote);
      while (!left.empty() && done >= left.front().iov_len) {
        done -= left.front().iov_len;
        left = left.subspan(1);
      }
      if (!left.empty() && done > 0) {
        left.front().iov_base = static_cast<std::uint8_t*>(left.front().iov_base) + done;
        left.front().iov_len -= done;
      }
    }
    return {};
  }

  DiskReader& disk_;
  const int fd_;
  const std::string path_;
  JobContext& job_;
  std::mutex mutex_;
  std::uint64_t next_ = 0;      // guarded by mutex_, as the rest: where claiming goes on
  std::optional<Error> error_;  // the first
};

Result<json> restore_disk(Store& store, const RestoreTask& task, const DiskRecord& record, JobContext& job) {
  const fs::path target = target_of(task, record.name);
  CAIRN_TRY(PendingFile file, PendingFile::create(target));
  if (ftruncate(file.fd(), static_cast<off_t>(record.map.size)) != 0)
    return fail_errno(errno, "set the size of", target.string(), ErrorCode::io_error,
                      fmt::format("it needs a file of {}", format_size(record.map.size)));
  const auto disk = store.open_disk(record.map, fmt::format("{}/{}", task.point.text(), record.name));
  CAIRN_CHECK(DiskWriter(*disk, file.fd(), target.string(), job).run());
  CAIRN_CHECK(file.publish(task.force));
  return json{{"disk", record.name},
              {"path", target.string()},
              {"size", record.map.size},
              {"data_bytes", record.map.data_bytes}};
}

Result<void> check_target(const RecoveryPoint& point, const RestoreTask& task) {
  if (!task.to.is_absolute())
    return fail(ErrorCode::used_wrongly, "restore to", task.to.string(), "the directory must be an absolute path",
                "give the whole path, from / on");
  struct stat facts{};
  if (stat(task.to.c_str(), &facts) != 0) {
    if (errno == ENOENT || errno == ENOTDIR)
      return fail(ErrorCode::target_missing, "restore to", task.to.string(), "there is no such directory");
    return fail_errno(errno, "restore to", task.to.string());
  }
  if (!S_ISDIR(facts.st_mode))
    return fail(ErrorCode::target_missing, "restore to", task.to.string(), "it is not a directory");
  CAIRN_TRY(const auto disks, wanted_disks(point, task));
  std::uint64_t needed = 0;
  for (const DiskRecord* disk : disks) {
    needed += disk->map.data_bytes;
    const fs::path target = target_of(task, disk->name);
    if (lstat(target.c_str(), &facts) != 0) continue;
    if (S_ISDIR(facts.st_mode))
      return fail(ErrorCode::target_exists, "restore to", target.string(), "a directory is in its place");
    if (!task.force) return fail(ErrorCode::target_exists, "restore to", target.string(), "the file is there already");
  }
  struct statvfs room{};
  if (statvfs(task.to.c_str(), &room) != 0) return fail_errno(errno, "restore to", task.to.string());
  const std::uint64_t free_bytes = static_cast<std::uint64_t>(room.f_bavail) * room.f_frsize;
  if (needed > free_bytes)
    return fail(
        ErrorCode::no_space, "restore to", task.to.string(),
        fmt::format("{} needs {} and {} are free", task.point.text(), format_size(needed), format_size(free_bytes)));
  return {};
}

}  // namespace

Result<void> check_restore(Store& store, const RestoreTask& task) {
  CAIRN_TRY(const RecoveryPoint point, store.load_point(task.point));
  return check_target(point, task);
}

Result<json> run_restore(Store& store, const RestoreTask& task, JobContext& job) {
  const auto began = std::chrono::steady_clock::now();
  job.set_point(task.point.text());
  CAIRN_TRY(const RecoveryPoint point, store.load_point(task.point));
  CAIRN_CHECK(check_target(point, task));
  CAIRN_TRY(const auto disks, wanted_disks(point, task));
  std::uint64_t total = 0;
  for (const DiskRecord* disk : disks) total += disk->map.size;
  job.set_total(total);
  json files = json::array();
  for (const DiskRecord* disk : disks) {
    CAIRN_TRY(json file, restore_disk(store, task, *disk, job));
    files.push_back(std::move(file));
  }
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began);
  return json{{"machine", task.point.machine}, {"point", task.point.stamp()}, {"name", task.point.text()},
              {"to", task.to.string()},        {"files", std::move(files)},   {"duration_ms", took.count()}};
}

}  // namespace cairn
