// SPDX-License-Identifier: GPL-3.0-or-later
// The error catalogue: limits of the process, and what the system around it lacks. None of these is damage. Columns:
// CatalogueEntry in error.h.
#include <cerrno>

#include "config/base/error_catalogue.h"

namespace cairn {
namespace {

using enum ErrorCode;

constexpr CatalogueEntry kEnvironmentErrors[] = {
    {memory_not_lockable, "memory-not-lockable", "keys cannot be kept in locked memory",
     "Keys stand in memory that is never written to swap, and the process may not lock as much as it needs "
     "(RLIMIT_MEMLOCK). Nothing was begun, or the job that needed it failed; the store is not touched by it.",
     "Allow 4 MiB at least: `ulimit -l 4096` in the shell, LimitMEMLOCK=infinity in a unit (cairnd's own has it), "
     "--ulimit memlock=-1 for a container.",
     "allow more with \"ulimit -l\" or LimitMEMLOCK=", ENOMEM},
    {helper_failed, "helper-failed", "a helper process ended before its work was done",
     "Key derivation, and reading a file system that a guest has written, are done by a process of their own: the same "
     "program, run once more, that can be ended at any time and takes nothing with it. It could not be started, was "
     "ended by somebody else, or by the system for want of memory. Nothing is damaged.",
     "Look into the system's log (`journalctl -k`) for processes that were ended for want of memory, and try again. A "
     "key slot of LUKS2 may ask for 1 GiB and more (`cryptsetup luksDump`).",
     "look for \"out of memory\" in the system's log, and try again", EIO},
    {no_proc, "no-proc", "/proc is not mounted",
     "What was asked for needs /proc, and this system has none: a rescue system or a chroot, perhaps.",
     "mount -t proc proc /proc. Listing points and restoring to a directory work without it.",
     "try \"mount -t proc proc /proc\"", ENOSYS},
    {too_many_open_files, "too-many-open-files", "too many files are open",
     "The process, or the whole system, has as many files open as it may (RLIMIT_NOFILE, fs.file-max). Nothing is "
     "damaged: the same works with a higher limit.",
     "Raise the limit: `ulimit -n 4096` in the shell, LimitNOFILE= in a unit.",
     "allow more with \"ulimit -n\" or LimitNOFILE=", EMFILE},
    {file_size_limit, "file-size-limit", "a file would become larger than allowed",
     "The file system, or the limit of the process (RLIMIT_FSIZE), does not allow a file of that size. Earlier "
     "recovery points are intact.",
     "`ulimit -f unlimited` in the shell, LimitFSIZE=infinity in a unit; a target on a file system that takes files "
     "of the disk's size (FAT takes 4 GiB).",
     "see \"ulimit -f\", or use another file system", EFBIG, 507},
    {journal_not_writable, "journal-not-writable", "the journal of jobs cannot be written",
     "journal.db in state_dir cannot be written: its file system is read-only or full, or the process may not. Jobs "
     "run all the same and say so; they are not in the history afterwards, and change tracking reads all of each disk. "
     "The daemon does not start, since it could not follow its schedules.",
     "Make state_dir writable, or free space there. It needs a few MiB.", "make state_dir writable", EROFS},
    {too_many_requests, "too-many-requests", "too much was asked for at once",
     "The daemon takes a limited number of requests from one user at a time, and a limited number of waiting jobs. "
     "The request was not carried out.",
     "Wait until earlier ones are done (`cairn jobs`), or cancel some (`cairn jobs cancel JOB-ID`). `cairn status` "
     "and "
     "cancelling always get through.",
     "wait for earlier ones, or cancel some", EAGAIN, 429},
};

}  // namespace

std::span<const CatalogueEntry> environment_errors() {
  return kEnvironmentErrors;
}

}  // namespace cairn
