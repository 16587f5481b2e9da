"""A run over unchanged folders on a network share: each question about a file takes a round trip.

::

    python -m benchmarks.share                        2,000 files, round trips of 0.5 ms
    python -m benchmarks.share --files 20000 --ms 2

The delay is made by a small library that is loaded before the program (needs a C compiler): ``stat``, ``lstat``,
``open`` and ``opendir`` below the folder wait for one round trip each. Compared in one run: asking one by one, as
``find`` and most programs do, and photoseek's walk. A second table gives the same without a delay, in which asking
many at once must cost nothing. The floor is one round trip for each folder.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.machine import machine_table
from benchmarks.measure import alternate, tell
from benchmarks.settings import ROOT
from benchmarks.tables import Table

PER_FOLDER = 500
_SLOW_CALLS = r"""
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
static void wait_for(const char *path) {
    const char *below = getenv("SHARE"), *ns = getenv("SHARE_NS");
    if (!below || !ns || strncmp(path, below, strlen(below))) return;
    struct timespec trip = {0, atol(ns)};
    if (trip.tv_nsec) nanosleep(&trip, 0);
}
int stat(const char *path, struct stat *found) { wait_for(path); return REAL(stat)(path, found); }
int lstat(const char *path, struct stat *found) { wait_for(path); return REAL(lstat)(path, found); }
int stat64(const char *path, struct stat64 *found) { wait_for(path); return REAL(stat64)(path, found); }
int lstat64(const char *path, struct stat64 *found) { wait_for(path); return REAL(lstat64)(path, found); }
DIR *opendir(const char *path) { wait_for(path); return REAL(opendir)(path); }
int open64(const char *path, int flags, ...) {
    va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest);
    wait_for(path); return REAL(open64)(path, flags, mode);
}
"""
_ONE_BY_ONE = """
import os, sys
def files(folder):
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(): yield from files(entry.path)
            else: yield entry.stat().st_size
count = lambda: sum(1 for _ in files(sys.argv[1]))
"""
_OWN = """
import sys
from retrieval.indexing.scan import walk
count = lambda: sum(len(folder.files) for folder in walk(sys.argv[1]))
"""
_TIMED = """
import time
started = time.perf_counter()
assert count() == int(sys.argv[2])
print(time.perf_counter() - started)
"""


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--ms", type=float, default=0.5, help="of a round trip")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print(machine_table().to_markdown())
    with tempfile.TemporaryDirectory() as made:
        tree, library = Path(made, "share"), Path(made, "slow.so")
        source = library.with_suffix(".c")
        source.write_text(_SLOW_CALLS, "utf-8")
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-w", "-o", library, source, "-ldl"], check=True)
        for number in range(given.files):
            folder = tree / f"{number // PER_FOLDER:04}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{number:06}.jpg").touch()
        for ms in (given.ms, 0.0):
            tell(f"{given.files:,} files, {ms:g} ms")
            print(_table(tree, library, given.files, ms, given.rounds).to_markdown())


def _table(tree: Path, library: Path, files: int, ms: float, rounds: int) -> Table:
    variables = os.environ | {"LD_PRELOAD": str(library), "SHARE": str(tree), "SHARE_NS": str(int(ms * 1e6))}

    def seconds(script: str) -> float:
        command = [sys.executable, "-c", script + _TIMED, str(tree), str(files)]
        done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=True)
        return float(done.stdout)

    plain = "one by one: os.scandir + stat"
    measured = alternate({plain: lambda: seconds(_ONE_BY_ONE), "photoseek's walk": lambda: seconds(_OWN)}, rounds)
    rows = [(name, series.shown(3), series.over(measured[plain]).shown(2)) for name, series in measured.items()]
    folders = -(-files // PER_FOLDER)
    notes = [f"{folders} folders: one round trip each would take {folders * ms / 1e3:.3f} s.", measured.foreign_note()]
    head = ("what", "seconds (min–max)", ": one by one")
    return Table(f"{files:,} files, round trips of {ms:g} ms", head, rows, notes)


if __name__ == "__main__":
    main()
