"""The table for people, and the one in MEASURED.md."""
# SPDX-License-Identifier: GPL-3.0-or-later
import json
import os
import platform
import re
import subprocess
import sys
import time

from cairn_works import MANY_POINTS
from image import MIB
from measuring import COLD

# What design section 10 asks for (ratios to the baseline measured beside it; reads a second): work -> (baseline, at most, aim).
GOALS = {
    "initial backup": ("cp + fsync", "1.3 x", "1.0 x"),
    "second backup, all read": ("cat", "1.0 x", "0.8 x"),
    "second backup, change tracking": ("cat", "0.15 x", "flat in disk size"),
    "read the mounted disk": ("cat", "1.5 x", "1.0 x"),
    "qcow2: initial backup": ("qemu-img convert to nothing", "", ""),
    "qcow2: second backup, all read": ("qemu-img convert to nothing", "1.3 x", "1.0 x"),
    "qcow2: second backup, change tracking": ("qemu-img convert to nothing", "0.3 x", "flat in disk size"),
    "restore": ("cp + fsync", "1.5 x", "1.1 x"),
    "random reads by 1, cold": (None, "at least 10,000/s", "25,000/s"),
    "random reads by 1, warm": (None, "at least 10,000/s", "25,000/s"),
}
WHOLE_DISK = ("cat", "second backup, all read", "read the mounted disk", "cat, for change tracking", "second backup, change tracking")
TIMED = ("cat", "cp + fsync", "initial backup", "second backup, all read", "cat, for change tracking", "second backup, change tracking",
         "read the mounted disk", "restore", "cat of the raw disk", "qemu-img convert to nothing", "qcow2: initial backup",
         "qcow2: second backup, all read", "qcow2: second backup, change tracking")
RANDOM = tuple(f"random reads by {readers}, {cache}" for readers in (1, 8) for cache in ("cold", "warm"))
UPKEEP = ("mount, 10 points", f"mount, {MANY_POINTS:,} points", "ls -l of 1,000 points", "verify", "prune + gc")
PEERS = ("restic", "borg")
BEGIN, END = "<!-- made by scripts/bench: begin -->", "<!-- made by scripts/bench: end -->"


def output_of(*command):
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.strip()
    except OSError:
        return ""


def facts(options, program, work, repo):
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    memory = next(int(line.split()[1]) // (1024 * 1024) for line in open("/proc/meminfo") if line.startswith("MemTotal"))
    build = json.loads(output_of("meson", "introspect", "--buildoptions", options.build) or "[]")
    return {
        "cpu": cpu, "cores": os.cpu_count(), "memory_gib": memory, "kernel": platform.release(),
        "file_system": output_of("findmnt", "-no", "FSTYPE", "-T", work),
        "cairn": output_of(program, "--version").split("\n")[0],
        "revision": output_of("git", "-C", repo, "describe", "--always", "--dirty"),
        "build_type": next((o["value"] for o in build if o["name"] == "buildtype"), "unknown"),
        "restic": output_of("restic", "version").split(" compiled")[0], "borg": output_of("borg", "--version"),
        "fio": output_of("fio", "--version"),
        "size": options.size, "seed": options.seed, "chunk_size": options.chunk_size or "default",
        "rounds": options.rounds, "peer_rounds": options.peer_rounds, "caches": "cold" if COLD else "as they were: not root",
        "command": " ".join(["scripts/bench"] + [a for a in sys.argv[1:] if a != "--update-table"]),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def summary(samples):
    """Work -> medians of all that was measured of it, and the largest resident set."""
    return {work: {value: (samples.most if value == "peak_kib" else samples.median)(work, value) for value in found[0]}
            for work, found in samples.of.items()}


def seconds(value):
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"


def spread(found, show):
    """Lowest to highest, when there are several."""
    return f" ({show(min(found))} to {show(max(found))})" if len(found) > 1 else ""


def memory_of(samples, work):
    peak = samples.most(work)
    return f"{peak / 1024:,.0f} MiB" if peak else ""


def peer_cells(samples, work, show):
    """What the peers needed for it, and their memory."""
    cells = []
    for peer in PEERS:
        text = show(f"{peer}: {work}")
        cells.append(", ".join(filter(None, [text, memory_of(samples, f"{peer}: {work}")])) if text else "-")
    return cells


def timed_row(samples, work, options):
    found = samples.all(work)
    value = samples.median(work)
    baseline, most, aim = GOALS.get(work, (None, "", ""))
    rate = ""
    if work in TIMED:
        size = options.size if work in WHOLE_DISK else options.size // 8 * 5
        rate = f"{size / MIB / value:,.0f} MiB/s"
    ratios = samples.all(work, "ratio")
    beside = f"{samples.median(work, 'ratio'):.2f} x {baseline}" + spread(ratios, "{:.2f}".format) if ratios else ""
    own_memory = "" if work.startswith(("cat", "cp", "ls")) else memory_of(samples, work)

    def show(name):
        return seconds(samples.median(name)) if samples.median(name) else ""
    return [work, seconds(value) + spread(found, seconds), rate, beside, most, aim, own_memory,
            *peer_cells(samples, work, show)]


def random_row(samples, work):
    def show(name):
        rate = samples.median(name, "reads_per_second")
        return f"{rate:,.0f}/s" if rate else ""
    _, most, aim = GOALS.get(work, (None, "", ""))
    p50, p99 = (samples.median(work, f"{p}_us") for p in ("p50", "p99"))
    plain = samples.median("plain image: " + work, "reads_per_second")
    beside = f"{samples.median(work, 'reads_per_second') / plain:.2f} x the plain image's {plain:,.0f}/s" if plain else ""
    return [work, f"p50 {p50:,.0f} us, p99 {p99:,.0f} us", show(work), beside, most, aim, memory_of(samples, work), *peer_cells(samples, work, show)]


def space_rows(samples, options):
    data = options.size // 8 * 5

    def cells(part, text):
        shown = [text(samples.of[name][-1]) if name in samples.of else "-" for name in ("space", "restic: space", "borg: space")]
        return [part, "", shown[0], "", "", "", "", *shown[1:]]
    changed = samples.of["space"][-1]["changed_bytes"] / MIB
    return [cells("store after the first backup", lambda s: f"{s['stored_bytes'] / MIB:,.0f} MiB = {s['stored_bytes'] / data:.3f} x data"),
            cells(f"it grows by, {changed:,.0f} MiB changed", lambda s: f"{s['grown_bytes'] / MIB:,.0f} MiB = {s['grown_bytes'] / s['changed_bytes']:.2f} x")]


def table(samples, about, options):
    rows = [["work", "time: median (lowest to highest)", "rate", "beside", "must be at most", "aims at", "peak memory", *PEERS], ["---"] * 9]
    rows += [timed_row(samples, work, options) for work in TIMED if work in samples.of]
    rows += [random_row(samples, work) for work in RANDOM]
    for work in UPKEEP:
        if work in samples.of:
            rows.append(timed_row(samples, work, options))
        elif any(f"{peer}: {work}" in samples.of for peer in PEERS):
            rows.append([work, "-", "", "", "", "", "", *peer_cells(samples, work, lambda name: seconds(samples.median(name)) if name in samples.of else "")])
    rows += space_rows(samples, options)
    peers = [about[p] for p in PEERS if f"{p}: initial backup" in samples.of]
    tracked = about["change_tracking"]
    notes = [
        f"Image: {options.size // MIB:,} MiB LUKS2, {options.size // 8 * 5 // MIB:,} MiB of it ciphertext (seed `{about['seed']}`); rates of cat, of second "
        "backups and of the mounted disk count the whole disk, the others its data. Ratios: each to the mean of the baseline just before and just "
        "after it, median of the rounds (lowest to highest).",
        f"Random reads: 4 KiB over the whole disk, {about['fio']}, psync, 1 or 8 threads; warm: the packs in the page cache, the mounted disk not. "
        "Peak memory: the largest resident set, for reads that of the mount's process. Mounting: until its folder lists.",
        f"Machine: {about['cpu']}, {about['cores']} cores, {about['memory_gib']} GiB, Linux {about['kernel']}, {about['file_system']}; "
        f"{about['cairn']} ({about['revision']}, {about['build_type']} build, chunks: {about['chunk_size']}); caches {about['caches']}; "
        f"rounds: {about['rounds']}" + (f"; change tracking with its cat on {tracked}" if tracked else "") + ".",
        f"Command: `{about['command']}`, {about['time']}." + (f" {' and '.join(peers)} (borg: fixed chunks of 4 MiB, no compression; prune with compact): "
                                                              f"rounds: {about['peer_rounds']}." if peers else ""),
    ]
    missing = [w for w in ("verify", "prune + gc", "second backup, change tracking") if w not in samples.of]
    if missing:
        notes.append("Not in this version: " + ", ".join(missing) + ".")
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n\n" + "\n".join(notes)


def update_table(path, text):
    with open(path) as file:
        page = file.read()
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        sys.exit(f"bench: {path} must hold the lines {BEGIN} and {END} once each")
    page = re.sub(f"{re.escape(BEGIN)}.*{re.escape(END)}", lambda _: f"{BEGIN}\n{text}\n{END}", page, flags=re.S)
    with open(path, "w") as file:
        file.write(page)
