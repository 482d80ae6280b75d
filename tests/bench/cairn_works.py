"""What is measured of Cairn, with cat and cp of the same image between."""
# SPDX-License-Identifier: GPL-3.0-or-later
import contextlib
import glob
import json
import os
import re
import shutil
import subprocess

from image import MIB, change_image, make_image
from measuring import COLD, Mount, bytes_on_disk, cool_down, fsync_file, measure, must_equal, note, random_reads

MANY_POINTS = 10000


class Cairn:
    """One store with its settings and key vault, in folders of its own below `work`: every point is proved."""

    def __init__(self, work, image, options, programs, tracking):
        self.work, self.image, self.options, self.programs = work, image, options, programs
        self.store, self.points, self.out = (os.path.join(work, n) for n in ("store", "points", "out"))
        config = os.path.join(work, "cairn.yaml")
        switch = "true" if tracking else "false"
        with open(config, "w") as file:
            file.write(f"store: {{ path: {self.store}, key_file: {work}/store.key }}\nstate_dir: {work}/state\nsocket: {work}/cairnd.sock\n"
                       f"mount: {{ path: {self.points} }}\n"
                       "policies: { default: { retention: { last: 1 }, soft_delete: off } }\n"
                       + (f"change_tracking: {{ enabled: {switch} }}\n" if programs.knows_tracking else "")
                       + f"key_vaults: {{ main: {{ provider: local, path: {work}/vault, key_file: {work}/vault.key }} }}\n"
                       + f"machines:\n  web: {{ disks: {{ root: {{ image: {image}, bek: main/root, kek: main/bench }} }} }}\n")
        self.command = [programs.cairn, "--config", config]

    def init(self):
        os.makedirs(self.work + "/state", exist_ok=True)
        size = ["--chunk-size", self.options.chunk_size] if self.options.chunk_size else []
        for words in (["store", "init", "--create-key-file"] + size, ["vault", "init", "--create-key-file"],
                      ["key", "create", "bench"], ["key", "import", "web/root", "--from", self.image + ".passphrase"]):
            subprocess.run(self.command + words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def backup(self):
        return measure(self.command + ["backup", "web"], fine=(0, 3))

    def restore(self):
        shutil.rmtree(self.out, ignore_errors=True)
        os.makedirs(self.out)
        return measure(self.command + ["restore", "web@latest", "--to", self.out], fine=(0, 3))

    def mount(self):
        disk = self.points + "/web/latest/disks/root.img"
        return Mount(self.command + ["mount", self.points, "--foreground"], self.points, lambda: os.path.exists(disk) and disk)

    def read_mounted(self):
        with self.mount() as mount:
            return {**measure(["cat", mount.found]), "peak_kib": mount.peak_kib()}

    def random_reads(self, warm, readers):
        with self.mount() as mount:
            cool_down()
            if warm:  # the packs in the page cache, the mounted disk not: what the server itself can do
                subprocess.run("find '%s' -type f -exec cat {} + >/dev/null" % self.store, shell=True, check=True)
            return {**random_reads(mount.found, self.options.read_seconds, readers), "peak_kib": mount.peak_kib()}

    def all_points(self):
        said = subprocess.run(self.command + ["points", "web", "--json"], stdout=subprocess.PIPE, check=True, text=True).stdout
        return json.loads(said)

    def newest_point(self):
        return self.all_points()[-1]

    def fill(self, count):
        subprocess.run([self.programs.make_points, self.store, self.work + "/store.key", "web@latest", str(count)], check=True)

    def remove(self):
        for leftover in (self.store, self.out, self.points, *(self.work + "/" + n for n in ("state", "store.key", "vault", "vault.key"))):
            shutil.rmtree(leftover, ignore_errors=True) if os.path.isdir(leftover) else os.path.exists(leftover) and os.unlink(leftover)


def cat(image):
    return lambda: measure(["cat", image])


def cp(image, copy):
    def run():
        values = measure(["cp", "--reflink=never", image, copy], after=lambda: fsync_file(copy))
        os.unlink(copy)
        return values
    return run


def measure_rounds(samples, work, image, options, programs):
    copies = cp(image, work + "/copy.img")
    for number in range(options.rounds):
        note(f"round {number + 1} of {options.rounds}")
        last = number == options.rounds - 1
        make_image(image, options)
        cairn = Cairn(work, image, options, programs, tracking=False)
        cairn.init()
        if number == 0:
            copies()  # the first one on a machine that was idle takes longer: not counted
        samples.between("cp + fsync", copies, [("initial backup", cairn.backup)])
        stored = bytes_on_disk(cairn.store)
        changed = change_image(image, options, number)
        samples.between("cat", cat(image), [("second backup, all read", cairn.backup), ("read the mounted disk", cairn.read_mounted)])
        samples.add("space", {"stored_bytes": stored, "changed_bytes": changed, "grown_bytes": bytes_on_disk(cairn.store) - stored})
        samples.between("cp + fsync", copies, [("restore", cairn.restore)])
        if last:
            note("  comparing mounted and restored disk with the image")
            must_equal(image, glob.glob(cairn.out + "/**/root.img", recursive=True)[0], "the restored disk")
            with cairn.mount() as mount:
                must_equal(image, mount.found, "the mounted disk")
        shutil.rmtree(cairn.out)
        for readers in (1, 8):
            cool_down()  # what the disk below gives without any of us
            samples.add(f"plain image: random reads by {readers}, cold", random_reads(image, options.read_seconds, readers))
            for warm in (False, True):
                samples.add(f"random reads by {readers}, {'warm' if warm else 'cold'}", cairn.random_reads(warm, readers))
        measure_upkeep(samples, cairn, programs)
        if last:
            measure_many_points(samples, cairn)
        cairn.remove()


def measure_upkeep(samples, cairn, programs):
    if programs.has("verify"):
        samples.add("verify", measure(cairn.command + ["verify", "--data", "100"]))
    if programs.has("prune"):
        before = bytes_on_disk(cairn.store)
        # No rule expires a point of today: the older ones are deleted by hand, and the prune gives their space back.
        for point in cairn.all_points()[:-1]:
            subprocess.run(cairn.command + ["delete", point["name"], "--yes"], check=True, stdout=subprocess.DEVNULL)
        values = measure(cairn.command + ["prune"])
        samples.add("prune + gc", {**values, "freed_bytes": before - bytes_on_disk(cairn.store)})


def measure_many_points(samples, cairn):
    """Time until the mount shows its machines, from cold caches; `ls -l` of a machine with 1,000 points."""
    for count in (10, MANY_POINTS):
        note(f"  making {count:,} recovery points")
        cairn.fill(count)
        work = f"mount, {count:,} points"
        for _ in range(3):
            cool_down()
            with Mount(cairn.command + ["mount", cairn.points, "--foreground"], cairn.points, lambda: os.listdir(cairn.points)) as mount:
                values = {"seconds": mount.seconds}
                if count == MANY_POINTS:
                    listing = measure(["ls", "-l", cairn.points + "/many"])
                    samples.add("ls -l of 1,000 points", {"seconds": listing["seconds"]})
                samples.add(work, {**values, "peak_kib": mount.peak_kib()})


# --- change tracking needs a file system with reflinks ------------------------------------------------------------------
def has_reflinks(folder):
    a, b = folder + "/reflink-a", folder + "/reflink-b"
    with open(a, "wb") as file:
        file.write(b"x" * 4096)
    cloned = subprocess.run(["cp", "--reflink=always", a, b], stderr=subprocess.DEVNULL).returncode == 0
    for path in (a, b):
        if os.path.exists(path):
            os.unlink(path)
    return cloned


@contextlib.contextmanager
def place_with_reflinks(work, size):
    """A folder on a file system with reflinks and its name: in `work`, else on an XFS loop device. Nothing: no such."""
    own = work + "/tracked"
    os.makedirs(own)
    if has_reflinks(own):
        yield own, "the same file system"
        return
    if not COLD or not shutil.which("mkfs.xfs"):
        yield None, "no file system with reflinks, and only root can make an XFS loop device"
        return
    backing, device = work + "/xfs.img", None
    try:
        with open(backing, "wb") as file:
            file.truncate(size + 1024 * MIB)
        subprocess.run(["mkfs.xfs", "-q", backing], check=True)
        device = subprocess.run(["losetup", "--find", "--show", "--direct-io=on", backing], stdout=subprocess.PIPE, check=True, text=True).stdout.strip()
        subprocess.run(["mount", device, own], check=True)
        yield own, "XFS on a loop device"
    finally:
        if os.path.ismount(own):
            subprocess.run(["umount", own])
        if device:
            subprocess.run(["losetup", "-d", device])
        if os.path.exists(backing):
            os.unlink(backing)


def measure_tracking(samples, work, options, programs):
    """The image, and so cat and the clones, on the file system with reflinks; the store where all stores are. Says where."""
    if not programs.knows_tracking:
        note("this version has no change tracking: left out")
        return None
    with place_with_reflinks(work, options.size * 2) as (place, what):
        if place is None:
            note("change tracking is left out: " + what)
            return None
        note("change tracking, on " + what)
        image = place + "/image.img"
        make_image(image, options)
        cairn = Cairn(work, image, options, programs, tracking=True)
        cairn.init()
        cairn.backup()
        for number in range(options.rounds):
            change_image(image, options, 3000 + number)

            def second():
                return {**cairn.backup(), "read_bytes": cairn.newest_point().get("read_bytes")}
            samples.between("cat, for change tracking", cat(image), [("second backup, change tracking", second)])
        with cairn.mount() as mount:
            must_equal(image, mount.found, "the disk backed up with change tracking")
        cairn.remove()
        return what


class Programs:
    def __init__(self, build, work):
        self.cairn = os.path.join(build, "daemon/cli/cairn")
        self.make_points = os.path.join(build, "tests/bench/make_points")
        self.help = subprocess.run([self.cairn, "--help"], stdout=subprocess.PIPE, text=True, check=True).stdout
        probe = os.path.join(work, "probe.yaml")
        with open(probe, "w") as file:
            file.write(f"store: {{ path: {work}/none, key_file: {work}/none.key }}\nchange_tracking: {{ enabled: true }}\nmachines: {{}}\n")
        said = subprocess.run([self.cairn, "--config", probe, "config", "check"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
        self.knows_tracking = 'unknown key "change_tracking"' not in said

    def has(self, command):
        return re.search(rf"^  {command}\s", self.help, re.M) is not None
