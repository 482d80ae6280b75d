// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/cli/text/prompt.h"

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "config/base/unique_fd.h"
#include "config/base/units.h"

namespace cairn::cli {
namespace {

constexpr std::size_t kLongestTyped = 8 * 1024;

// Echo off for as long as it lives.
class SilentTerminal {
 public:
  explicit SilentTerminal(int fd) : fd_(fd) {
    if (::tcgetattr(fd_, &before_) != 0) return;
    termios silent = before_;
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    silent.c_lflag |= ECHONL;
    changed_ = ::tcsetattr(fd_, TCSAFLUSH, &silent) == 0;
  }
  ~SilentTerminal() {
    if (changed_) ::tcsetattr(fd_, TCSAFLUSH, &before_);
  }
  SilentTerminal(const SilentTerminal&) = delete;
  SilentTerminal& operator=(const SilentTerminal&) = delete;

 private:
  int fd_;
  termios before_{};
  bool changed_ = false;
};

// Up to the end, or the first newline when `one_line`; straight into locked memory.
Result<SecretBytes> read_secret(int fd, bool one_line, std::size_t longest, const std::string& object) {
  SecretBytes secret(std::min(longest, kLongestTyped) + 1);  // one more, to see that it is too long
  std::size_t size = 0;
  bool ended = false;
  while (!ended) {
    if (size > longest)
      return fail(ErrorCode::key_file_invalid, "read key", object, "it is over " + format_size(longest));
    if (size == secret.size()) {
      // Locked memory is scarce: more of it only when it is needed.
      SecretBytes larger(std::min(2 * size, longest + 1));
      std::ranges::copy(std::as_const(secret).reveal(), larger.reveal().begin());
      secret = std::move(larger);
    }
    const ssize_t got = ::read(fd, secret.reveal().data() + size, secret.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(errno, "read key", object);
    size += static_cast<std::size_t>(got);
    ended = got == 0 || (one_line && secret.reveal()[size - 1] == '\n');
  }
  if (one_line && size > 0 && secret.reveal()[size - 1] == '\n') --size;
  if (size == 0) return fail(ErrorCode::key_file_invalid, "read key", object, "nothing was given");
  secret.shrink_to(size);
  return secret;
}

Result<void> write_all(int fd, ByteView bytes, const std::string& object) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return fail_errno(errno, "write key to", object);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return {};
}

}  // namespace

Result<SecretBytes> ask_secret(const std::string& prompt) {
  const UniqueFd terminal(::open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY));
  if (!terminal)
    return fail(ErrorCode::used_wrongly, "ask for passphrase", {}, "there is no terminal",
                "give it in a file: --passphrase-file FILE");
  const SilentTerminal silent(terminal.get());
  CAIRN_CHECK(write_all(terminal.get(), as_bytes(prompt), "the terminal"));
  return read_secret(terminal.get(), true, kLongestTyped, "the terminal");
}

Result<SecretBytes> read_secret_from_input(const std::string& prompt, std::size_t longest) {
  if (::isatty(STDIN_FILENO) == 0) return read_secret(STDIN_FILENO, false, longest, "standard input");
  const SilentTerminal silent(STDIN_FILENO);
  std::fputs(prompt.c_str(), stderr);
  return read_secret(STDIN_FILENO, true, longest, "the terminal");
}

bool is_terminal(int fd) {
  return ::isatty(fd) != 0;
}

Result<void> confirm(const std::string& question, bool yes, const std::string& doing, const std::string& object) {
  if (yes) return {};
  if (::isatty(STDIN_FILENO) == 0)
    return fail(ErrorCode::used_wrongly, doing, object, "there is no terminal to ask on",
                "give --yes to say that this is meant");
  std::fprintf(stderr, "%s [y/N] ", question.c_str());
  const int answer = std::getchar();
  if (answer == 'y' || answer == 'Y') return {};
  return fail(ErrorCode::cancelled, doing, object, "the answer was no", "answer y, or give --yes");
}

Result<void> write_secret_file(const std::string& path, const SecretBytes& secret, std::string_view ending) {
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file && errno == EEXIST)
    return fail(ErrorCode::target_exists, "write key to", path, "the file exists already", "name a new file");
  if (!file) return fail_errno(errno, "write key to", path);
  auto written = write_all(file.get(), secret.reveal(), path);
  if (written) written = write_all(file.get(), as_bytes(ending), path);
  if (written && ::fsync(file.get()) != 0) written = fail_errno(errno, "write key to", path);
  if (!written) ::unlink(path.c_str());
  return written;
}

Result<void> print_secret(const SecretBytes& secret, std::string_view ending) {
  std::fflush(stdout);
  CAIRN_CHECK(write_all(STDOUT_FILENO, secret.reveal(), "standard output"));
  return write_all(STDOUT_FILENO, as_bytes(ending), "standard output");
}

}  // namespace cairn::cli
