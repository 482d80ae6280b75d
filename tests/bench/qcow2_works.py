"""What is measured of Cairn on a qcow2 image, with `qemu-img convert` to nothing and cat of the raw disk between."""
# SPDX-License-Identifier: GPL-3.0-or-later
import os
import shutil
import subprocess

from cairn_works import Cairn, cat, place_with_reflinks
from image import MIB, make_image
from measuring import measure, must_equal, note

CONVERT = "qemu-img convert to nothing"


def convert_to_nothing(image, size):
    # null-co takes what is written to it and keeps nothing: what QEMU's own reading costs.
    source = f"driver=qcow2,file.driver=file,file.filename={image}"
    target = f"driver=null-co,size={size}"
    return lambda: measure(["qemu-img", "convert", "-n", "--image-opts", "--target-image-opts", source, target])


def change_qcow2(path, options, number):
    """As the guest's writes of image.py: 16 MiB in runs of 256 KiB, and 200 of 4 KiB."""
    words = ["qemu-io", "-f", "qcow2"]
    for i in range(64):
        words += ["-c", f"write -q -P {1 + (number + i) % 250} {(i * 37 + number * 5) % (options.size // MIB)}M 256k"]
    for i in range(200):
        words += ["-c", f"write -q -P {1 + (number + i) % 250} {(i * 7919 + number * 31) % (options.size // 4096) * 4096} 4k"]
    subprocess.run(words + [path], check=True, stdout=subprocess.DEVNULL)


def measure_qcow2(samples, work, options, programs):
    """On a file system with reflinks where one can be had, so that changes are tracked; else all is read. Says where."""
    if not shutil.which("qemu-nbd") or not shutil.which("qemu-io"):
        note("qcow2 is left out: qemu-utils is not installed")
        return None
    with place_with_reflinks(work, options.size * 3) as (place, what):
        place = place or work
        note("qcow2, on " + (what if place != work else "a file system without reflinks"))
        raw, image = place + "/disk.raw", place + "/disk.qcow2"
        for number in range(options.rounds):
            make_image(raw, options)
            subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, image], check=True)
            os.replace(raw + ".passphrase", image + ".passphrase")
            convert = convert_to_nothing(image, options.size)
            cairn = Cairn(work, image, options, programs, tracking=False)
            cairn.init()
            samples.add("cat of the raw disk", cat(raw)())
            samples.between(CONVERT, convert, [("qcow2: initial backup", cairn.backup), ("qcow2: second backup, all read", cairn.backup)])
            cairn.remove()
            if place == work:
                continue
            cairn = Cairn(work, image, options, programs, tracking=True)
            cairn.init()
            cairn.backup()
            change_qcow2(image, options, number)
            samples.between(CONVERT, convert, [("qcow2: second backup, change tracking", cairn.backup)])
            subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", image, raw], check=True)
            with cairn.mount() as mount:
                must_equal(raw, mount.found, "the qcow2 that was backed up with change tracking")
            cairn.remove()
        return what
