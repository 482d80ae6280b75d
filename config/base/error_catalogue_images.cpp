// SPDX-License-Identifier: GPL-3.0-or-later
// The error catalogue: formats of disk images, and disks that a server gives. Columns: CatalogueEntry in error.h.
#include <cerrno>

#include "config/base/error_catalogue.h"

namespace cairn {
namespace {

using enum ErrorCode;

constexpr CatalogueEntry kImageErrors[] = {
    {image_not_raw, "image-not-raw", "the image is of a format that is not read",
     "The image's own bytes say that it is a file of another format than those that are read (raw, qcow2, VMDK in one "
     "file, VDI, VHDX, VHD): qcow of version 1, QED, Parallels, DMG, a VMDK descriptor or a VHD overlay, whose data "
     "lie in other files. Backed up as it is, perhaps none of the disk's data would be stored. So the backup is "
     "refused. As a warning: a raw disk looks like such a file, as whoever rules its guest can make it; the same file "
     "was a raw disk at the previous recovery point, so the backup went on as raw.",
     "Convert it: `qemu-img convert -O qcow2 IMAGE NEW.qcow2`, and name that. If the file is a raw disk, or is meant "
     "to be stored as it is: `format: raw` in the disk's settings.",
     "convert it (qemu-img convert -O qcow2), or say format: raw in the disk's settings", EINVAL},
    {image_format_changed, "image-format-changed", "the image is of another format than at the previous point",
     "Neither the settings nor the machine's definition say which format the image has. What it looked like at its "
     "first recovery point was written down there, and now it looks otherwise. Whoever rules a guest can write such "
     "bytes onto a raw disk, so Cairn does not follow what the image looks like. Nothing was read.",
     "If the image was converted or replaced on purpose, say what it is: `format: qcow2` (or raw, ...) in the disk's "
     "settings. If not, look for who wrote to it.",
     "if that was on purpose, say format: in the disk's settings", EINVAL},
    {image_not_opened, "image-not-opened", "the image cannot be opened as what it is said to be",
     "QEMU's reader, which Cairn starts for images that are not raw, refused the image; its words stand in the "
     "message. The image is damaged, of another format than `format:` says, or needs a newer QEMU. The machine's "
     "backup failed; earlier points are intact.",
     "`qemu-img check IMAGE` and `qemu-img info IMAGE` while the machine is off say more. `format: raw` stores the "
     "file's bytes as they are.",
     "qemu-img info says more; or say format: raw, which stores the file as it is", EIO},
    {image_damaged, "image-damaged", "the image's own tables are damaged",
     "A warning. `qemu-img check` found errors in the image, of the kind that makes QEMU read zeros or other data "
     "where the guest once wrote. The recovery point has what QEMU reads, and perhaps not what the guest wrote.",
     "Shut the machine down and run `qemu-img check IMAGE`; compare the guest's data with an earlier recovery point.",
     "shut the machine down and run qemu-img check; earlier points may have better data", EIO},
    {image_encrypted, "image-encrypted", "the image is encrypted in a way that cannot be backed up",
     "qcow2 images that are encrypted with LUKS (encrypt.format=luks) are stored as they are, in ciphertext, and "
     "proved. That cannot be done for the old AES encryption, for an encrypted image that is an overlay or has an "
     "external data file, or for an encrypted backing file.",
     "Make one encrypted image of it: `qemu-img convert` with encrypt.format=luks. `format: raw` stores this file "
     "alone, as it is.",
     "convert it to one qcow2 file with encrypt.format=luks", EINVAL},
    {image_tool_missing, "image-tool-missing", "a QEMU tool is missing",
     "Images that are not raw are read by qemu-nbd and looked at by qemu-img, which are not installed. Raw images and "
     "block devices are read without them.",
     "apt-get install qemu-utils (qemu-img on other systems)", "install the package qemu-utils", ENOENT},
    {backing_file_not_named, "backing-file-not-named", "the image leads to a file that the settings do not name",
     "The image's header names a backing file or an external data file. A header can name any file of the host, so "
     "such a file is read only when the settings or the machine's definition name it, too.",
     "Add the line that the message has to the disk's settings, if these are the right files. A backing file whose "
     "format the header does not say: `qemu-img rebase -u -F FORMAT -b FILE IMAGE`.",
     "add the line to the disk's settings if it is the right file", EINVAL},
    {backing_file_missing, "backing-file-missing", "a file that the image needs is not there",
     "The image is an overlay, or its data lie in another file, and that file is missing or cannot be opened. Without "
     "it the disk cannot be read.",
     "Bring the file back to its place, or mount its file system. The machine itself cannot start without it, either.",
     "bring the file back to its place", ENOENT},
    {image_chain_loop, "image-chain-loop", "the image's backing files form a circle",
     "Following the backing files of the image leads back to one that was there before, or through more than 200 "
     "files. Such an image cannot be read by anybody.",
     "`qemu-img info --backing-chain IMAGE` shows the files; `qemu-img rebase -u` corrects what a header names.",
     "see qemu-img info --backing-chain", EINVAL},
    {nbd_server_failed, "nbd-server-failed", "the NBD server failed",
     "The server that gives the disk did not answer, ended, or said something that the protocol does not allow. The "
     "machine's backup failed; earlier points are intact.",
     "Look whether the server runs and has the export: `nbdinfo URI`. Then run the backup again.",
     "see whether the server runs: nbdinfo URI", EIO},
};

}  // namespace

std::span<const CatalogueEntry> image_errors() {
  return kImageErrors;
}

}  // namespace cairn
