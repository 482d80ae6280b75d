// SPDX-License-Identifier: GPL-3.0-or-later
// The error catalogue: virtual machines that run while they are backed up. Columns: CatalogueEntry in error.h. A backup
// goes on without its guest where it can, and says so; these are then why.
#include <cerrno>

#include "config/base/error_catalogue.h"

namespace cairn {
namespace {

using enum ErrorCode;

constexpr CatalogueEntry kGuestErrors[] = {
    {guest_unreachable, "guest-unreachable", "the hypervisor of a machine cannot be reached",
     "Nothing answers at libvirt's socket, or at the monitor socket (qmp) that the settings name; or the connection "
     "was "
     "closed in between.",
     "For libvirt: `virsh -c URI list` on this host, as root. For qmp: look whether the QEMU of the machine runs, and "
     "with `-qmp unix:PATH,server=on,wait=off`.",
     "see whether libvirtd, or the machine's QEMU, runs", EHOSTUNREACH, 503},
    {guest_not_found, "guest-not-found", "libvirt has no such domain",
     "The settings name a libvirt domain that the hypervisor at that URI does not have: it was renamed, removed, or is "
     "one of another URI.",
     "`virsh -c URI list --all` shows the domains; name one of them as `libvirt:`, and the right `uri:`.",
     "\"virsh list --all\" shows the domains", ENOENT, 404},
    {guest_busy, "guest-busy", "the guest is in somebody else's hands",
     "Its monitor socket has another client (it takes one at a time), libvirt is carrying out something else on the "
     "domain, or an earlier hold of it is not over yet.",
     "Wait until that is over. A monitor that somebody keeps open all the time needs a second one for Cairn: another "
     "`-qmp unix:...` of the same QEMU.",
     "wait until that is over, or give Cairn a monitor socket of its own", EBUSY, 409},
    {guest_silent, "guest-silent", "the hypervisor or the guest gave no answer in time",
     "The connection is there, but no answer came in the time that is allowed. What the guest was asked for may still "
     "happen: a freeze is made up for by thawing until the guest reads back as thawed.",
     "Look at the host's load, and at libvirtd or the QEMU of the machine.", "see whether it hangs", ETIMEDOUT, 504},
    {guest_bad_answer, "guest-bad-answer", "what the hypervisor or the guest answered makes no sense",
     "The answer is not of the form that QEMU's protocols have, or too long. A guest agent is a program inside the "
     "guest, so this may be the guest's doing; nothing of it was believed.",
     "Look whether the settings name the right sockets (the monitor's as `qmp:`, the agent's as `agent:`), and what "
     "runs behind them.",
     "look whether the settings name the right sockets", EPROTO, 502},
    {guest_refused, "guest-refused", "the hypervisor or the guest refused a command",
     "QEMU, libvirt or the guest agent answered with an error of its own, which the message has. A freeze is refused "
     "for example when a hook of the guest fails, or when the agent's configuration forbids the command.",
     "Do what the message says; in the guest look at the agent's configuration (blocked commands) and the output of "
     "its "
     "hooks.",
     "do what its words say", EIO, 502},
    {guest_agent_missing, "guest-agent-missing", "the guest agent does not answer",
     "Without the agent the file systems in the guest cannot be frozen: the backup has all disks at one instant while "
     "the guest stands for some milliseconds, as after a power cut (`crash`).",
     "In the guest install and start qemu-guest-agent (Windows: the agent of virtio-win). On the host give the machine "
     "its channel: in libvirt's XML <channel type='unix'><target type='virtio' "
     "name='org.qemu.guest_agent.0'/></channel>. `cairn config check` says whether it answers.",
     "install qemu-guest-agent in the guest, and give the machine its channel", EHOSTDOWN, 503},
    {guest_library_missing, "guest-library-missing", "libvirt's library is not installed",
     "The settings name a libvirt domain, and libvirt.so.0 cannot be loaded on this host.",
     "apt install libvirt0, or name the machine's sockets (`qmp:`, `agent:`) instead of `libvirt:`.",
     "\"apt install libvirt0\"", ENOENT},
    {guest_helper_failed, "guest-helper-failed", "the guest helper cannot be begun, or has ended",
     "Guests are spoken with by a process of its own, which this program begins as itself under another name. It could "
     "not be begun, or ended early. A guest that was held is let go by another one at once.",
     "See the log for the reason (memory, limits on processes, /proc not mounted).", "see the log for the reason", EIO},
    {guest_not_thawed, "guest-not-thawed", "a guest was not seen to run again after it was held",
     "The guest was frozen or paused for a backup, and it was not seen to be thawed since. Its programs may hang as "
     "soon as they write. Cairn goes on trying until it reads back as thawed, also after a restart.",
     "By hand: `virsh domfsthaw DOMAIN` and `virsh resume DOMAIN`; or, at the agent's socket, "
     "{\"execute\":\"guest-fsfreeze-thaw\"}. If the agent died in the guest, start it again there, or reset the guest.",
     "thaw it by hand: \"virsh domfsthaw DOMAIN\", \"virsh resume DOMAIN\"", EIO, 500},
    {less_consistent, "less-consistent", "the recovery point is less consistent than its policy asks for",
     "The policy asks for file systems that were frozen (`filesystem`), or for programs that were asked to settle too "
     "(`application`), and the guest could not be brought to it. The point is there, and good for what its CONSISTENCY "
     "says.",
     "The message says what stood in the way. If less is enough for this machine, say so in its policy: `consistency: "
     "crash`.",
     "see what stood in the way, or ask for less in the policy", EIO},
};

}  // namespace

std::span<const CatalogueEntry> guest_errors() {
  return kGuestErrors;
}

}  // namespace cairn
