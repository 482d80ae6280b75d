#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# A hostile store: somebody without a key can write to the store, the vault or the state directory. Every name there is
# replaced in turn by a symbolic link to a file, one to a folder, a dangling one, a pipe, a device, a folder and a huge
# sparse file, and the commands are run. Nothing outside may change, nothing may hang, nothing may crash.
#
#   hostile_store.py CAIRN CAIRND [--quick] [--jobs N] [--seed N]
#
# --quick: for each name and kind one of the commands, in turn. Prints one line: cases, 0, lost, wrong, crashes, other,
# seconds; "wrong" is a change outside, "crashes" what ended by a signal or had to be killed.
import argparse
import concurrent.futures
import hashlib
import os
import random
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time

parser = argparse.ArgumentParser()
parser.add_argument("cairn")
parser.add_argument("cairnd")
parser.add_argument("--quick", action="store_true")
parser.add_argument("--jobs", type=int, default=os.cpu_count())
parser.add_argument("--seed", type=int, default=20261122)
options = parser.parse_args()
options.cairn, options.cairnd = os.path.abspath(options.cairn), os.path.abspath(options.cairnd)

rng = random.Random(options.seed)
top = tempfile.mkdtemp(prefix="cairn-hostile-")
MOST_SECONDS = 60  # of one command; all of them take under a second on a store that is well
counts = dict(cases=0, wrong=0, crashes=0, other=0)
notes = []


def note(kind, text):
    counts[kind] += 1
    notes.append(f"{kind}: {text}")


def run(place, *words, seconds=MOST_SECONDS):
    return subprocess.run([options.cairn, "--config", os.path.join(place, "cairn.yaml"), *words], capture_output=True, text=True,
                          errors="replace", timeout=seconds, stdin=subprocess.DEVNULL, cwd=place)


# --- a store that has one of everything -------------------------------------------------------------------------------
def make(place):
    os.makedirs(place)
    with open(os.path.join(place, "cairn.yaml"), "w") as file:
        file.write(f"store: {{ path: {place}/store, key_file: {place}/store.key }}\nstate_dir: {place}/state\nsocket: {place}/s\n"
                   f"mount: {{ path: {place}/points }}\nkey_vaults:\n  own: {{ provider: local, path: {place}/vault, key_file: {place}/vault.key }}\n"
                   f"machines:\n  web: {{ disks: {{ root: {{ image: web.img }} }} }}\n")
    for name in ("points", "state", "canaries", "outside"):
        os.mkdir(os.path.join(place, name), 0o700)
    with open(os.path.join(place, "web.img"), "wb") as disk:
        disk.write(rng.randbytes(300_000))
        disk.truncate(1 << 20)
    must(run(place, "store", "init", "--create-key-file"))
    must(run(place, "vault", "init", "--create-key-file"), "vault init")
    must(run(place, "backup", "web"))
    must(run(place, "prune"))
    with open(os.path.join(place, "web.img"), "r+b") as disk:
        disk.seek(500_000)
        disk.write(rng.randbytes(100_000))
    must(run(place, "backup", "web"))
    must(run(place, "verify", "--data"))
    for name in ("aside", "deleted", "protected", "purged"):
        os.makedirs(os.path.join(place, "store", name), 0o700, exist_ok=True)
    for name in ("file", "folder/file"):
        path = os.path.join(place, "outside", name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write("precious " * 1000)


def must(done, what=""):
    if done.returncode not in (0, 3):
        sys.exit(f"hostile_store: {what or done.args[3:]} failed: {done.stderr.strip()[:500]}")


def names_in(place):
    """Every name, folders too; of packs and points the first."""
    found = []
    for area in ("store", "vault", "state"):
        base = os.path.join(place, area)
        for folder, folders, files in os.walk(base):
            folders.sort()
            here = os.path.relpath(folder, place)
            if os.path.basename(os.path.dirname(folder)) == "packs":
                files = files[:1]
            if os.path.basename(folder) == "packs":
                del folders[1:]
            found += [os.path.join(here, name) for name in folders + sorted(files)]
    found += ["store/tmp/leftover", "store/index.new", "store/space", "store/damage", "state/journal.db-wal", "state/journal.db-shm",
              "state/tracking", "state/cairnd.lock", "vault/vault.new"]
    return sorted(dict.fromkeys(found))


# --- what is put there --------------------------------------------------------------------------------------------------
def put(kind, path, outside):
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)
    os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
    if kind == "link to a file":
        os.symlink(os.path.join(outside, "file"), path)
    elif kind == "link to a folder":
        os.symlink(os.path.join(outside, "folder"), path)
    elif kind == "link to nothing":
        os.symlink(os.path.join(outside, "made"), path)
    elif kind == "pipe":
        os.mkfifo(path, 0o600)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listening:
            folder = os.open(os.path.dirname(path), os.O_PATH)
            listening.bind(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
            os.close(folder)
    elif kind == "device":
        os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5))  # zero: it never ends
    elif kind == "folder":
        os.mkdir(path, 0o700)
        with open(os.path.join(path, "file"), "w") as file:
            file.write("x")
    elif kind == "huge file":
        with open(path, "wb") as file:
            os.chmod(path, 0o600)
            for size in (1 << 62, 1 << 43, 1 << 40):  # what the file system lets us
                try:
                    file.truncate(size)
                    break
                except OSError:
                    continue


KINDS = ["link to a file", "link to a folder", "link to nothing", "pipe", "socket", "folder", "huge file"]
if os.geteuid() == 0:
    KINDS.append("device")

COMMANDS = [
    ("status",), ("points",), ("backup", "web"), ("restore", "web@latest", "--to", "{out}", "--force"), ("verify",),
    ("verify", "--data"), ("verify", "--keyless"), ("verify", "--repair"), ("prune",), ("store", "rebuild-index"),
    ("store", "keys", "list"), ("store", "info"), ("jobs",), ("config", "check"), ("vault", "list"), ("vault", "audit"), ("key", "create", "own/new"), ("mount",), ("cairnd",),
]


def digest(folder):
    """Names, kinds, sizes, bytes and times of change of all that is there."""
    all_of_it = hashlib.sha256()
    for path, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(folders + files):
            facts = os.lstat(os.path.join(path, name))
            all_of_it.update(f"{os.path.join(path, name)} {facts.st_mode:o} {facts.st_size} {facts.st_mtime_ns} {facts.st_ctime_ns}\n".encode())
            if stat.S_ISREG(facts.st_mode):
                with open(os.path.join(path, name), "rb") as file:
                    all_of_it.update(file.read())
    return all_of_it.hexdigest()


def mount_and_read(place):
    """By the command itself in the foreground: it ends when it is asked to."""
    target = os.path.join(place, "mnt")
    os.makedirs(target, exist_ok=True)
    server = subprocess.Popen([options.cairn, "--config", os.path.join(place, "cairn.yaml"), "mount", target, "--foreground"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + MOST_SECONDS
    while server.poll() is None and not os.path.ismount(target) and time.monotonic() < deadline:
        time.sleep(0.01)
    if os.path.ismount(target):
        subprocess.run(["timeout", str(MOST_SECONDS), "sh", "-c", f"find {target} -type f -size -4M -exec cat {{}} + >/dev/null 2>&1"])
        server.send_signal(signal.SIGTERM)
    return wait(server, target)


def run_daemon(place):
    """Starts, is asked for its state, and ends when it is asked to."""
    server = subprocess.Popen([options.cairnd, "--config", os.path.join(place, "cairn.yaml")], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + MOST_SECONDS
    while server.poll() is None and not os.path.exists(os.path.join(place, "s")) and time.monotonic() < deadline:
        time.sleep(0.01)
    if server.poll() is None:
        run(place, "status")
        run(place, "backup", "web")
        server.send_signal(signal.SIGTERM)
    return wait(server, os.path.join(place, "points"))


def wait(server, target):
    try:
        code = server.wait(timeout=MOST_SECONDS)
    except subprocess.TimeoutExpired:
        code = None
    try:
        os.killpg(server.pid, signal.SIGKILL)  # a session of its own: what it left behind too
        server.wait()
    except ProcessLookupError:
        pass
    subprocess.run(["umount", "-l", target], capture_output=True)  # of a server that was killed it is no mount point to os.path
    return code


def try_one(original, name, kind, commands, number):
    """A copy of the store with one name replaced, and some commands one after the other."""
    place = os.path.join(top, f"case-{number}")
    found = []
    shutil.copytree(original, place, symlinks=True)
    with open(os.path.join(original, "cairn.yaml")) as file:
        settings = file.read().replace(original, place)
    with open(os.path.join(place, "cairn.yaml"), "w") as file:
        file.write(settings)
    try:
        outside = os.path.join(place, "outside")
        for command in commands:
            put(kind, os.path.join(place, name), outside)
            before = digest(outside)
            out = os.path.join(place, "out")
            os.makedirs(out, exist_ok=True)
            text = f"{name} is a {kind}: {' '.join(command)}"
            try:
                if command == ("mount",):
                    code = mount_and_read(place)
                elif command == ("cairnd",):
                    code = run_daemon(place)
                else:
                    done = run(place, *[word.format(out=out) for word in command])
                    code = done.returncode
                    if code not in (0, 1, 2, 3):
                        text += ": " + done.stderr.strip()[-200:]
            except subprocess.TimeoutExpired:
                code = None
            if code is None:
                found.append(("crashes", f"{text}: hung"))
            elif code not in (0, 1, 2, 3):
                found.append(("crashes", f"{text}: ended with {code}"))
            if digest(outside) != before:
                found.append(("wrong", f"{text}: something outside changed"))
                shutil.rmtree(outside)
                shutil.copytree(os.path.join(original, "outside"), outside, copy_function=shutil.copy2)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return len(commands), found


began = time.monotonic()
try:
    original = os.path.join(top, "original")
    make(original)
    names = names_in(original)
    cases = []
    turn = 0
    for name in names:
        for kind in KINDS:
            chosen = COMMANDS
            if options.quick:
                chosen = [COMMANDS[turn % len(COMMANDS)]]
                turn += 1
            cases.append((name, kind, chosen))
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        started = [pool.submit(try_one, original, *case, number) for number, case in enumerate(cases)]
        for future in concurrent.futures.as_completed(started):
            done, found = future.result()
            counts["cases"] += done
            for kind, text in found:
                note(kind, text)
finally:
    shutil.rmtree(top, ignore_errors=True)
print("RESULT", counts["cases"], 0, 0, counts["wrong"], counts["crashes"], counts["other"], f"{time.monotonic() - began:.1f}")
for text in notes[:20]:
    print("    " + text)
sys.exit(0 if not notes else 1)
