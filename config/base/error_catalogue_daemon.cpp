// SPDX-License-Identifier: GPL-3.0-or-later
// The error catalogue: the daemon, its jobs and change tracking. Columns: CatalogueEntry in error.h.
#include <cerrno>

#include "config/base/error_catalogue.h"

namespace cairn {
namespace {

using enum ErrorCode;

constexpr CatalogueEntry kDaemonErrors[] = {
    {daemon_unreachable, "daemon-unreachable", "the daemon does not answer",
     "No cairnd listens on the socket named in the settings, or it stopped answering.",
     "systemctl status cairnd; journalctl -u cairnd. Commands also work without a daemon: --no-daemon.",
     "\"systemctl status cairnd\" tells more", ECONNREFUSED},
    {daemon_running, "daemon-running", "a daemon is running already",
     "Another cairnd uses the same state directory or socket.", "Use that one, or stop it: systemctl stop cairnd.",
     "stop the other one first", EBUSY},
    {daemon_failed, "daemon-failed", "the daemon could not start", "The reason stands in the message.",
     "Correct what the message names and start it again.", "correct it and start again", EIO},
    {job_conflict, "job-conflict", "a job that excludes this one waits or runs",
     "One backup at a time runs for a machine, and one verification for a store.", "Wait for it: `cairn jobs`.",
     "see \"cairn jobs\"", EBUSY, 409},
    {no_such_job, "no-such-job", "there is no such job", "No job has that number, or it is too old.",
     "`cairn jobs` lists them.", "see \"cairn jobs\"", ENOENT, 404},
    {journal_damaged, "journal-damaged", "the journal of jobs cannot be used",
     "journal.db in the state directory is damaged or of a newer version. It only holds the history of jobs; recovery "
     "points do not depend on it.",
     "Move journal.db away; a new one is made. Schedules then start from now.", "move it away; a new one is made", EIO},
    {shutting_down, "shutting-down", "the daemon is stopping", "No new jobs are taken while the daemon stops.",
     "Try again when it has been restarted.", "try again after its restart", EAGAIN, 503},
    {interrupted, "interrupted", "the job was interrupted",
     "The process that ran the job (the daemon, or a command) was killed or the host went down before the job ended. "
     "Recovery points committed before are whole, and what the job had stored is found again by the next run.",
     "Start it again: `cairn backup MACHINE`. A scheduled run is taken again by itself.", "start it again", EINTR},
    {clone_not_kept, "clone-not-kept", "the reference snapshot for change tracking could not be kept",
     "After a backup Cairn keeps a reference snapshot (a reflink clone) of the image, or the note about it in "
     "state_dir, and this could not be done. The recovery point is whole; only the next backup of the disk has to read "
     "all of it.",
     "Correct what the message names. `cairn config check` says for each disk whether change tracking can work; "
     "change_tracking: { enabled: false } in the settings does without it.",
     "the next backup reads all of the disk; see \"cairn config check\"", EIO},
    {tracking_base_lost, "tracking-base-lost", "what the previous recovery point has cannot be read",
     "Change tracking takes over what did not change from the previous recovery point, and a part of that point's disk "
     "map cannot be read. The backup reads all of the disk instead.",
     "`cairn store rebuild-index` names damaged packs; put them back from a copy of the store.",
     "the disk is read whole instead", EIO},
    {tracking_wrong, "tracking-wrong", "change tracking has missed a change",
     "A full read (full_read in the policy, or cairn backup --full-read) found a difference where change tracking had "
     "said that there is none. The recovery point of that full read is right. Those that were made with change "
     "tracking since the previous full read may have old data in the byte ranges that are named.",
     "Do not rely on the named recovery points for those ranges. Tracking stays off for the disk until a full read "
     "finds no difference. Report it with the message, the kernel's version and the file system: this is an error of "
     "Cairn's or of the file system's.",
     "do not rely on the points that are named; please report it", EIO},
};

}  // namespace

std::span<const CatalogueEntry> daemon_errors() {
  return kDaemonErrors;
}

}  // namespace cairn
