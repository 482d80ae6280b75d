// SPDX-License-Identifier: GPL-3.0-or-later
// Who uses a mount, in whatever mount namespace, and ending its connection with the kernel. Nothing here looks into the
// mount itself, whose server may not answer. proc(5), fuse(4). Any thread.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

namespace cairn {

struct MountUser {
  pid_t pid = 0;
  std::string name;  // "cp"
  std::string what;  // a path that it has open, as it sees it; or "its working directory", "its root", "a mapped file"
};

// Processes that have files of the file system with this device number open or mapped, or are in it. Those of other
// users are seen by root alone. `at_most` of them.
// all_but_maps: /proc/PID/maps of a process that waits in a page fault of this very mount may not be read before the
// fault has ended. For who is going to end it.
enum class LookAt { all, all_but_maps };
std::vector<MountUser> users_of_mount(dev_t device, LookAt look = LookAt::all, std::size_t at_most = 16);
// "in use by cp (pid 812: /mnt/web-01/...), bash (pid 900: its working directory)"; empty: nobody is known.
std::string in_words(const std::vector<MountUser>& users);

// The numbers by which a process's mountinfo names its mounts of the device.
std::vector<std::string> mounts_of_device(std::string_view mountinfo, dev_t device);

// Whether some process sees a mount of Cairn's with this number: a copy in another mount namespace keeps the connection
// with its server.
bool is_mounted_somewhere(dev_t device);
// Ends the FUSE connection: all that wait for its server, and all that come, get ENOTCONN; the server's read of
// /dev/fuse ends. The number must be that of a mount that is there: the kernel gives those that have gone to others.
// False: it may not be done, or fusectl is not mounted.
bool abort_connection(dev_t device);

}  // namespace cairn
