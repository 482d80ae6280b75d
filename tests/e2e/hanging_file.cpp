// SPDX-License-Identifier: GPL-3.0-or-later
// hanging_file FILE [failing]: serves FILE through FUSE over itself, as it was, until it is unmounted. Stopped with
// SIGSTOP it is a file on a network file system whose server is gone: whoever reads it waits, and cannot be
// interrupted. With "failing" it can be mapped, and after SIGUSR1 it is a file on a disk that fails: every read is EIO,
// and nothing is left in the page cache.
#define FUSE_USE_VERSION 35

#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

namespace {

int source = -1;
bool can_be_mapped = false;
std::atomic<bool> fails = false;

struct stat facts_of_source() {
  struct stat facts{};
  (void)fstat(source, &facts);
  facts.st_ino = FUSE_ROOT_ID;
  return facts;
}

void get_attributes(fuse_req_t request, fuse_ino_t, fuse_file_info*) {
  const struct stat facts = facts_of_source();
  (void)fuse_reply_attr(request, &facts, 0);
}

void open_it(fuse_req_t request, fuse_ino_t, fuse_file_info* info) {
  info->direct_io = can_be_mapped ? 0 : 1;  // 1: every read comes here
  (void)fuse_reply_open(request, info);
}

void read_it(fuse_req_t request, fuse_ino_t, std::size_t size, off_t offset, fuse_file_info*) {
  std::vector<char> bytes(size);
  const ssize_t got = fails ? -1 : pread(source, bytes.data(), size, offset);
  if (got < 0)
    (void)fuse_reply_err(request, EIO);
  else
    (void)fuse_reply_buf(request, bytes.data(), static_cast<std::size_t>(got));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 && argc != 3) return 2;
  can_be_mapped = argc == 3;
  sigset_t failing;
  sigemptyset(&failing);
  sigaddset(&failing, SIGUSR1);
  (void)pthread_sigmask(SIG_BLOCK, &failing, nullptr);
  source = open(argv[1], O_RDONLY | O_CLOEXEC);
  if (source < 0) return 1;
  std::string program = "hanging_file";
  std::string flag = "-o";
  std::string settings = "ro,fsname=hanging_file";
  char* words[] = {program.data(), flag.data(), settings.data(), nullptr};
  fuse_args arguments{3, words, 0};
  fuse_lowlevel_ops operations{};
  operations.getattr = get_attributes;
  operations.open = open_it;
  operations.read = read_it;
  fuse_session* const session = fuse_session_new(&arguments, &operations, sizeof operations, nullptr);
  if (session == nullptr || fuse_session_mount(session, argv[1]) != 0) return 1;
  std::puts("mounted");
  (void)std::fflush(stdout);
  std::thread([session, failing] {
    int number = 0;
    if (sigwait(&failing, &number) != 0) return;
    fails = true;
    (void)fuse_lowlevel_notify_inval_inode(session, FUSE_ROOT_ID, 0, 0);
    std::puts("failing");
    (void)std::fflush(stdout);
  }).detach();
  const int outcome = fuse_session_loop(session);
  fuse_session_unmount(session);
  return outcome == 0 ? 0 : 1;
}
