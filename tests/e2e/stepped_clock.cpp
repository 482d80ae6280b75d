// SPDX-License-Identifier: GPL-3.0-or-later
// For LD_PRELOAD: the programs of an end-to-end script see the time of day put forward by as many seconds as the file
// $CAIRN_STEPPED_CLOCK says, read anew at each look, so that a script can come close to the minute at which a schedule
// runs. Timers, file times and the time since boot stay real. Any thread.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <ctime>

namespace {

time_t seconds_ahead() {
  const char* const path = std::getenv("CAIRN_STEPPED_CLOCK");
  const int fd = path == nullptr ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  char text[32] = {};
  const ssize_t got = read(fd, text, sizeof text - 1);
  close(fd);
  return got > 0 ? std::strtoll(text, nullptr, 10) : 0;
}

using ClockGettime = int (*)(clockid_t, timespec*);
ClockGettime real_clock_gettime() {
  static const auto kReal = reinterpret_cast<ClockGettime>(dlsym(RTLD_NEXT, "clock_gettime"));
  return kReal;
}

}  // namespace

#define SEEN extern "C" __attribute__((visibility("default")))

SEEN int clock_gettime(clockid_t clock, timespec* now) {
  const int done = real_clock_gettime()(clock, now);
  const int before = errno;
  if (done == 0 && clock == CLOCK_REALTIME) now->tv_sec += seconds_ahead();
  errno = before;
  return done;
}

SEEN int gettimeofday(timeval* now, void*) {
  timespec precise{};
  const int done = clock_gettime(CLOCK_REALTIME, &precise);
  *now = {precise.tv_sec, precise.tv_nsec / 1000};
  return done;
}

SEEN time_t time(time_t* now) {
  timespec precise{};
  (void)clock_gettime(CLOCK_REALTIME, &precise);
  if (now != nullptr) *now = precise.tv_sec;
  return precise.tv_sec;
}
