// SPDX-License-Identifier: GPL-3.0-or-later
#include "config/base/standard_streams.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <initializer_list>

namespace cairn {

void settle_standard_streams() {
  for (const int wanted : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(wanted, F_GETFD) >= 0 || errno != EBADF) continue;
    // The lowest free number is this one: those below it are open by now.
    const int opened = ::open("/dev/null", wanted == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    if (opened == wanted) continue;
    // No /dev/null, perhaps: any directory keeps the number from being given to a file.
    if (opened < 0 && ::open("/", O_RDONLY | O_DIRECTORY) == wanted) continue;
    ::_exit(EXIT_FAILURE);
  }
}

void raise_open_files() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  files.rlim_cur = files.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &files);
}

void let_large_files_fail() {
  (void)std::signal(SIGXFSZ, SIG_IGN);
}

}  // namespace cairn
