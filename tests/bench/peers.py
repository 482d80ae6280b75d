"""The same work by restic and borg, and their mounts."""
# SPDX-License-Identifier: GPL-3.0-or-later
import os
import shutil

import subprocess

from image import change_image, make_image
from measuring import Mount, bytes_on_disk, cool_down, fsync_file, measure, newest_below, random_reads


class Peer:
    """Commands of one program, run in the image's folder with `env`."""

    def __init__(self, name, work, image, env):
        self.name, self.work, self.image, self.file = name, work, image, os.path.basename(image)
        self.repository, self.points, self.out = (os.path.join(work, name + suffix) for suffix in ("", "-points", "-out"))
        self.env = dict(os.environ, **env)

    def run(self, command, **more):
        return measure(command, env=self.env, cwd=more.pop("cwd", os.path.dirname(self.image)), **more)

    def restored(self):
        fsync_file(newest_below(self.out, self.file))


class Restic(Peer):
    def __init__(self, work, image):
        super().__init__("restic", work, image, {"RESTIC_PASSWORD": "bench", "RESTIC_REPOSITORY": work + "/restic",
                                                  "RESTIC_CACHE_DIR": work + "/restic-cache"})

    def init(self):
        subprocess.run(["restic", "init", "-q"], env=self.env, check=True)

    def backup(self, _):
        return self.run(["restic", "backup", "-q", "--force", self.file])

    def mount(self):
        return Mount(["restic", "mount", "-q", self.points], self.points, lambda: newest_below(self.points + "/ids", self.file), self.env)

    def restore(self):
        return self.run(["restic", "restore", "-q", "latest", "--target", self.out], after=self.restored)

    def verify(self):
        return self.run(["restic", "check", "-q", "--read-data"])

    def prune(self):
        return self.run(["restic", "forget", "-q", "--keep-last", "1", "--prune"])


class Borg(Peer):
    def __init__(self, work, image):
        super().__init__("borg", work, image, {"BORG_PASSPHRASE": "bench", "BORG_REPO": work + "/borg", "BORG_BASE_DIR": work + "/borg-base",
                                                "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"})

    def init(self):
        subprocess.run(["borg", "init", "-e", "repokey-blake2"], env=self.env, check=True, stderr=subprocess.DEVNULL)

    def backup(self, number):
        return self.run(["borg", "create", "--compression", "none", "--chunker-params", "fixed,4194304", "--files-cache", "disabled",
                         f"::{number}", self.file])

    def mount(self):
        return Mount(["borg", "mount", "-f", "::2", self.points], self.points, lambda: newest_below(self.points, self.file), self.env)

    def restore(self):
        os.makedirs(self.out)
        return self.run(["borg", "extract", "--sparse", "::2"], cwd=self.out, after=self.restored)

    def verify(self):
        return self.run(["borg", "check", "--verify-data"])

    def prune(self):
        first = self.run(["borg", "prune", "--keep-last", "1"])
        second = self.run(["borg", "compact"])
        return {"seconds": first["seconds"] + second["seconds"], "peak_kib": max(first["peak_kib"], second["peak_kib"])}


def measure_peer(samples, peer, options, number):
    def add(work, values):
        samples.add(f"{peer.name}: {work}", values)

    make_image(peer.image, options)
    peer.init()
    add("initial backup", peer.backup(1))
    stored = bytes_on_disk(peer.repository)
    changed = change_image(peer.image, options, 1000 + number)
    add("second backup, all read", peer.backup(2))
    add("space", {"stored_bytes": stored, "changed_bytes": changed, "grown_bytes": bytes_on_disk(peer.repository) - stored})
    with peer.mount() as mount:
        add("read the mounted disk", {**measure(["cat", mount.found]), "peak_kib": mount.peak_kib()})
    for readers in (1, 8):
        with peer.mount() as mount:
            cool_down()
            add(f"random reads by {readers}, cold", {**random_reads(mount.found, options.read_seconds, readers), "peak_kib": mount.peak_kib()})
    add("restore", peer.restore())
    add("verify", peer.verify())
    add("prune + gc", peer.prune())
    for leftover in (peer.repository, peer.points, peer.out, peer.work + "/restic-cache", peer.work + "/borg-base"):
        shutil.rmtree(leftover, ignore_errors=True)
