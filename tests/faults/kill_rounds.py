#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# kill -9 at random moments: cairnd and cairn on one store, with backups, removals, mounts and readers together. After each
# round every point whose backup was reported is compared with its image as it was then.
#
#   kill_rounds.py CAIRN CAIRND [--rounds N] [--seed N]
#
# Prints one line: rounds, points compared, lost, wrong bytes, crashes, other, seconds.
import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

parser = argparse.ArgumentParser()
parser.add_argument("cairn")
parser.add_argument("cairnd")
parser.add_argument("--rounds", type=int, default=200)
parser.add_argument("--seed", type=int, default=20261122)
options = parser.parse_args()

rng = random.Random(options.seed)
work = tempfile.mkdtemp(prefix="cairn-kill-")
config = os.path.join(work, "cairn.yaml")
MIB = 1024 * 1024
SIZE = 24 * MIB
MACHINES = ("web", "db")
counts = dict(points=0, lost=0, wrong=0, crashes=0, other=0)
known = {}  # point -> sha256 of its disk
notes = []


def note(kind, text):
    counts[kind] += 1
    notes.append(f"{kind}: {text}")


def image(machine):
    return os.path.join(work, machine + ".img")


def change(machine):
    with open(image(machine), "r+b") as file:
        for _ in range(rng.randrange(1, 5)):
            file.seek(rng.randrange(0, SIZE - 2 * MIB))
            file.write(rng.randbytes(rng.randrange(4096, 2 * MIB)))


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else hashlib.sha256(file.read()).hexdigest()


def cairn(*words, **how):
    return subprocess.run([options.cairn, "--config", config, *words], capture_output=True, text=True, timeout=120, **how)


def start(*command):
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def ended_badly(process):
    # Killed by us, or an exit code of its own; any other signal is a crash.
    return process.returncode is not None and process.returncode < 0 and process.returncode not in (-signal.SIGKILL, -signal.SIGTERM)


def remember(output, sums):
    """What a finished `cairn backup --json` reported."""
    try:
        document = json.loads(output)
    except json.JSONDecodeError:
        return
    for job in document if isinstance(document, list) else document.get("jobs", [document]):
        if job.get("state", "").startswith("Completed") and job.get("point"):
            known[job["point"]] = sums[job["point"].split("@")[0]]


def compare_all():
    listed = json.loads(cairn("points", "--json").stdout or "[]")
    names = {point["machine"] + "@" + point["point"].split("@")[-1] for point in listed}
    for point in sorted(known):
        if point not in names:
            note("lost", f"{point} is not listed")
    # All that are listed open; the newest few of those that are known, and some others, are read whole.
    chosen = sorted(known)[-3:] + rng.sample(sorted(known), min(3, len(known)))
    for point in dict.fromkeys(chosen):
        target = tempfile.mkdtemp(dir=work, prefix="restored-")
        done = cairn("restore", point, "--to", target)
        counts["points"] += 1
        if done.returncode not in (0, 3):
            note("lost", f"{point} cannot be restored: {done.stderr.strip()[:300]}")
        else:
            files = [os.path.join(folder, name) for folder, _, all in os.walk(target) for name in all if name.endswith(".img") or name == "root"]
            if not files or digest(files[0]) != known[point]:
                note("wrong", f"{point} has other bytes")
        shutil.rmtree(target)


def run_round(number):
    for machine in MACHINES:
        if rng.random() < 0.8:
            change(machine)
    sums = {machine: digest(image(machine)) for machine in MACHINES}
    with_daemon = rng.random() < 0.6
    daemon = None
    processes = []
    if with_daemon:
        daemon = start(options.cairnd, "--config", config)
        deadline = time.monotonic() + 20
        while not os.path.exists(os.path.join(work, "cairnd.sock")) and time.monotonic() < deadline and daemon.poll() is None:
            time.sleep(0.01)
    # A whole backup now and then, so that there is ever more to lose.
    if number % 3 == 0:
        done = cairn("backup", "--all", "--json")
        remember(done.stdout, sums)
    else:
        backup = start(options.cairn, "--config", config, "backup", "--all", "--json")
        processes.append(backup)
        if rng.random() < 0.3:
            processes.append(start(options.cairn, "--config", config, "store", "rebuild-index"))
        if has_prune and rng.random() < 0.5:
            processes.append(start(options.cairn, "--config", config, "prune"))
        if has_verify and rng.random() < 0.4:
            processes.append(start(options.cairn, "--config", config, "verify", "--data"))
        if known and rng.random() < 0.6:
            point = rng.choice(sorted(known))
            processes.append(start(options.cairn, "--config", config, "restore", point, "--to", tempfile.mkdtemp(dir=work, prefix="killed-")))
        time.sleep(rng.random() ** 2 * 0.6)
        victims = list(processes) + ([daemon] if daemon else [])
        rng.shuffle(victims)
        for victim in victims[: rng.randrange(1, len(victims) + 1)]:
            victim.kill()
        for process in processes:
            try:
                output, _ = process.communicate(timeout=120)
            except subprocess.TimeoutExpired:
                process.kill()
                output, _ = process.communicate()
                note("crashes", f"round {number}: {process.args[3:]} hung")
            if ended_badly(process):
                note("crashes", f"round {number}: {process.args[3:]} ended with signal {-process.returncode}")
            if process is backup and process.returncode in (0, 3):
                remember(output, sums)
    if daemon:
        daemon.kill() if rng.random() < 0.7 else daemon.terminate()
        daemon.communicate()
        if ended_badly(daemon):
            note("crashes", f"round {number}: cairnd ended with signal {-daemon.returncode}")
        subprocess.run(["umount", "-l", os.path.join(work, "points")], capture_output=True)
        if os.path.exists(os.path.join(work, "cairnd.sock")):
            os.unlink(os.path.join(work, "cairnd.sock"))
    for name in os.listdir(work):
        if name.startswith("killed-"):
            shutil.rmtree(os.path.join(work, name))
    compare_all()
    again = cairn("backup", "web")
    if again.returncode not in (0, 3):
        note("other", f"round {number}: the next backup fails: {again.stderr.strip()[:300]}")


began = time.monotonic()
try:
    with open(config, "w") as file:
        file.write(f"store: {{ path: {work}/store, key_file: {work}/store.key }}\nstate_dir: {work}/state\nsocket: {work}/cairnd.sock\n")
        file.write(f"mount: {{ path: {work}/points, allow_other: false }}\nmachines:\n")
        for machine in MACHINES:
            file.write(f"  {machine}: {{ disks: {{ root: {{ image: {machine}.img }} }} }}\n")
            with open(image(machine), "wb") as disk:
                disk.truncate(SIZE)
    os.mkdir(os.path.join(work, "points"))
    os.mkdir(os.path.join(work, "state"))
    for machine in MACHINES:
        change(machine)
    made = cairn("store", "init", "--create-key-file")
    if made.returncode != 0:
        sys.exit("kill_rounds: " + made.stderr)
    has_prune = cairn("prune", "--help").returncode == 0
    has_verify = cairn("verify", "--help").returncode == 0
    for number in range(options.rounds):
        run_round(number)
finally:
    subprocess.run(["umount", "-l", os.path.join(work, "points")], capture_output=True)
    shutil.rmtree(work, ignore_errors=True)
print("RESULT", options.rounds, counts["points"], counts["lost"], counts["wrong"], counts["crashes"], counts["other"], f"{time.monotonic() - began:.1f}")
for text in notes[:12]:
    print("    " + text)
sys.exit(0 if not notes else 1)
