"""Samples, cold caches, and the ways to measure one piece of work."""
# SPDX-License-Identifier: GPL-3.0-or-later
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

COLD = os.geteuid() == 0


def note(text):
    print("bench: " + text, file=sys.stderr, flush=True)


def cool_down():
    os.sync()
    if COLD:
        with open("/proc/sys/vm/drop_caches", "w") as file:
            file.write("3\n")


def fsync_file(path):
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def bytes_on_disk(path):
    return int(subprocess.run(["du", "-sk", path], stdout=subprocess.PIPE, text=True, check=True).stdout.split()[0]) * 1024


class Samples:
    """Work -> its samples, each a dictionary: seconds, cpu_seconds, peak_kib, ratio, reads_per_second, ..."""

    def __init__(self):
        self.of = {}

    def add(self, work, values):
        self.of.setdefault(work, []).append(values)
        note("  %-38s %s" % (work, "  ".join(f"{k}={v:.3f}" if isinstance(v, float) else f"{k}={v}" for k, v in values.items())))

    def all(self, work, value="seconds"):
        return [s[value] for s in self.of.get(work, []) if s.get(value) is not None]

    def median(self, work, value="seconds"):
        found = self.all(work, value)
        return statistics.median(found) if found else None

    def most(self, work, value="peak_kib"):
        return max(self.all(work, value), default=None)

    def between(self, baseline, run_baseline, works):
        """Each work with the baseline just before and just after it: its ratio is to the mean of these two."""
        before = run_baseline()
        self.add(baseline, before)
        for work, run in works:
            values = run()
            after = run_baseline()
            values["ratio"] = 2 * values["seconds"] / (before["seconds"] + after["seconds"])
            self.add(work, values)
            self.add(baseline, after)
            before = after


def measure(command, env=None, fine=(0,), cwd=None, after=None):
    """Runs it with cold caches; seconds (those of `after` among them), CPU seconds, the largest resident set in KiB."""
    cool_down()
    with tempfile.TemporaryFile() as errors:
        began = time.monotonic()
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, stdin=subprocess.DEVNULL, env=env, cwd=cwd)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if after and child.returncode in fine:
            after()
        seconds = time.monotonic() - began
        if child.returncode not in fine:
            errors.seek(0)
            sys.exit("bench: %s ended with %d: %s" % (" ".join(command), child.returncode, errors.read()[-2000:].decode(errors="replace")))
    return {"seconds": seconds, "cpu_seconds": usage.ru_utime + usage.ru_stime, "peak_kib": usage.ru_maxrss}


def random_reads(path, seconds, readers):
    """4 KiB reads in random order, each block once at most, by so many threads that each have their part of the file."""
    share = os.stat(path).st_size // readers // 4096 * 4096
    said = subprocess.run(["fio", "--name=r", "--filename=" + path, "--rw=randread", "--bs=4k", "--ioengine=psync", "--readonly", "--thread",
                           f"--numjobs={readers}", f"--offset_increment={share}", f"--size={share}", "--group_reporting",
                           "--time_based", f"--runtime={seconds}", "--randseed=1", "--invalidate=1", "--output-format=json"],
                          stdout=subprocess.PIPE, check=True, text=True).stdout
    job = json.loads(said[said.index("{"):])["jobs"][0]["read"]
    p50, p99 = (job["clat_ns"]["percentile"][p] / 1000 for p in ("50.000000", "99.000000"))
    return {"reads_per_second": job["iops"], "p50_us": p50, "p99_us": p99}


class Mount:
    """A program that mounts in the foreground, until the end of the block."""

    def __init__(self, command, path, ready, env=None):
        """`ready` gives something once the mount can be used."""
        self.command, self.path, self.ready, self.env = command, path, ready, env

    def __enter__(self):
        os.makedirs(self.path, exist_ok=True)
        began = time.monotonic()
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, env=self.env)
        while time.monotonic() < began + 60 and self.process.poll() is None:
            self.found = os.path.ismount(self.path) and self.ready()
            self.seconds = time.monotonic() - began
            if self.found:
                return self
            time.sleep(0.001)
        self.__exit__()
        sys.exit("bench: no mount by " + " ".join(self.command))

    def peak_kib(self):
        """The largest resident set that the program has had."""
        with open(f"/proc/{self.process.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

    def __exit__(self, *_):
        for _ in range(50):
            if not os.path.ismount(self.path):
                break
            if subprocess.run(["umount", self.path], stderr=subprocess.DEVNULL).returncode != 0:
                time.sleep(0.1)
        else:
            subprocess.run(["umount", "-l", self.path])
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def newest_below(path, name):
    """The file `name` in the last folder below `path` that has one; nothing as long as there is none."""
    found = []
    for folder, folders, files in os.walk(path):
        folders[:] = [f for f in folders if not os.path.islink(os.path.join(folder, f))]
        found += [os.path.join(folder, f) for f in files if f == name]
    return max(found) if found else None


def must_equal(a, b, what):
    if subprocess.run(["cmp", a, b]).returncode != 0:
        sys.exit("bench: " + what + " differs from the image: the figures are worth nothing")
