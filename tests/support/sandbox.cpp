// SPDX-License-Identifier: GPL-3.0-or-later
// Sandbox. For tests only.
#include "tests/support/sandbox.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "config/base/result.h"
#include "config/base/unique_fd.h"

namespace cairn::testing {

namespace {

constexpr const char* kPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

}  // namespace

Sandbox::Sandbox(const std::filesystem::path& parent) {
  const std::filesystem::path where = parent.empty() ? std::filesystem::temp_directory_path() : parent;
  std::string name = (where / "cairn-test-XXXXXX").string();
  CAIRN_ASSERT(::mkdtemp(name.data()) != nullptr);
  path_ = name;
}

Sandbox::~Sandbox() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::filesystem::path Sandbox::sparse_file(std::string_view name, std::uint64_t size) const {
  const std::filesystem::path file = path_ / name;
  const UniqueFd fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  CAIRN_ASSERT(fd && ::ftruncate(fd.get(), static_cast<off_t>(size)) == 0);
  return file;
}

ProgramResult run(const std::vector<std::string>& command, std::string_view input) {
  // Input and output go through files: neither side can block the other.
  const auto scratch = [] { return UniqueFd(::open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)); };
  const UniqueFd in = scratch();
  const UniqueFd out = scratch();
  CAIRN_ASSERT(in && out && ::write(in.get(), input.data(), input.size()) == static_cast<ssize_t>(input.size()));
  ::lseek(in.get(), 0, SEEK_SET);

  const pid_t child = ::fork();
  CAIRN_ASSERT(child >= 0);
  if (child == 0) {
    ::dup2(in.get(), 0);
    ::dup2(out.get(), 1);
    ::dup2(out.get(), 2);
    ::setenv("PATH", kPath, 1);
    ::setenv("LC_ALL", "C", 1);
    std::vector<char*> arguments;
    for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    ::execvp(arguments[0], arguments.data());
    ::_exit(127);
  }
  ProgramResult result;
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) CAIRN_ASSERT(errno == EINTR);
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  result.output.resize(static_cast<std::size_t>(::lseek(out.get(), 0, SEEK_END)));
  CAIRN_ASSERT(::pread(out.get(), result.output.data(), result.output.size(), 0) ==
               static_cast<ssize_t>(result.output.size()));
  return result;
}

bool have_program(std::string_view name) {
  return run({"sh", "-c", "command -v \"$1\" >/dev/null", "sh", std::string(name)}).status == 0;
}

bool is_root() {
  return ::geteuid() == 0;
}

Buffer read_all(const std::filesystem::path& file) {
  const UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  CAIRN_ASSERT(fd);
  Buffer bytes(static_cast<std::size_t>(std::filesystem::file_size(file)));
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t got = ::pread(fd.get(), bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
    CAIRN_ASSERT(got > 0);
    done += static_cast<std::size_t>(got);
  }
  return bytes;
}

void write_at(const std::filesystem::path& file, std::uint64_t offset, ByteView bytes) {
  const UniqueFd fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  CAIRN_ASSERT(fd && ::pwrite(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset)) ==
                         static_cast<ssize_t>(bytes.size()));
}

std::uint64_t seed() {
  const char* wanted = std::getenv("CAIRN_TEST_SEED");
  const std::uint64_t value = wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : 20261121;
  fmt::print("seed {} (CAIRN_TEST_SEED)\n", value);
  return value;
}

LoopDevice::LoopDevice(const std::filesystem::path& file, std::initializer_list<std::string> options) {
  std::vector<std::string> command = {"losetup", "--find", "--show"};
  command.insert(command.end(), options.begin(), options.end());
  command.push_back(file.string());
  const ProgramResult result = run(command);
  if (result.status == 0) name_ = result.output.substr(0, result.output.find('\n'));
}

LoopDevice::~LoopDevice() {
  if (!name_.empty()) run({"losetup", "--detach", name_});
}

MountedFileSystem::MountedFileSystem(const std::filesystem::path& file, std::uint64_t size,
                                     std::vector<std::string> mkfs, std::filesystem::path at)
    : at_(std::move(at)) {
  const UniqueFd fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  CAIRN_ASSERT(fd && ::ftruncate(fd.get(), static_cast<off_t>(size)) == 0);
  mkfs.push_back(file.string());
  if (const auto made = run(mkfs); made.status != 0) {
    reason_ = mkfs.front() + ": " + made.output;
    return;
  }
  std::filesystem::create_directories(at_);
  if (const auto mounted = run({"mount", "-o", "loop", file.string(), at_.string()}); mounted.status != 0) {
    reason_ = mounted.output.empty() ? "mount failed" : mounted.output;
    return;
  }
  reason_.clear();
}

MountedFileSystem::~MountedFileSystem() {
  // The loop device was made by mount, which has it detach itself.
  if (ok()) ::umount2(at_.c_str(), MNT_DETACH);
}

RamFileSystem::RamFileSystem() {
  if (::mount("cairn-test", path().c_str(), "ramfs", MS_NOSUID | MS_NODEV, nullptr) != 0)
    reason_ = std::string("a ramfs cannot be mounted: ") + std::strerror(errno);
}

RamFileSystem::~RamFileSystem() {
  if (ok()) ::umount2(path().c_str(), MNT_DETACH);
}

}  // namespace cairn::testing
