"""Which folders report their changes: network shares do not report changes made by other machines."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from retrieval.paths import is_below

_NETWORK = frozenset({
    "9p", "acfs", "afpfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "davfs2", "drvfs", "gfs", "gfs2",
    "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "prl_fs", "pvfs2", "smb2", "smb3",
    "smbfs", "vboxsf", "virtiofs", "vmhgfs", "webdav",
})  # fmt: skip
_LOCAL_FUSE = frozenset({"fuseblk", "fuse.mergerfs", "fuse.ntfs-3g", "fuse.exfat", "fuse.bindfs", "fuse.gocryptfs",
                         "fuse.encfs", "fuse.cryfs", "fuse.unionfs"})  # fmt: skip
_OCTAL = re.compile(r"\\([0-7]{3})")
_MAC_LINE = re.compile(r"^.* on (/.*) \(([a-z0-9_]+)")

LIMITS = Path("/proc/sys/fs/inotify")


def is_network(kind: str) -> bool:
    """True for a type of file system that other machines may change."""
    return kind in _NETWORK or (kind.startswith("fuse") and kind not in _LOCAL_FUSE)


def mounts() -> list[tuple[str, str]]:
    """Mount points and the types of their file systems; empty if the system does not report them."""
    if sys.platform == "darwin":
        done = subprocess.run(["/sbin/mount"], capture_output=True, text=True, check=False, timeout=10)
        return [(found[1], found[2]) for line in done.stdout.splitlines() if (found := _MAC_LINE.match(line))]
    try:
        text = Path("/proc/self/mountinfo").read_bytes()
    except OSError:
        return []
    return parse_mountinfo(os.fsdecode(text))


def parse_mountinfo(text: str) -> list[tuple[str, str]]:
    """The lines of ``/proc/self/mountinfo`` (proc(5)): the fifth field is the mount point, in which space, tab, newline
    and backslash are octal; the first one after ``-`` is the type."""
    found = []
    for line in text.splitlines():
        fields, dash, rest = line.partition(" - ")
        parts = fields.split(" ")
        if dash and len(parts) > 4:
            point = _OCTAL.sub(lambda octal: chr(int(octal[1], 8)), parts[4])
            found.append((point, rest.split(" ")[0]))
    return found


def network_trees(root: str, table: Sequence[tuple[str, str]]) -> list[str]:
    """The folders at or below a root that lie on network shares: the root itself, or mount points in it."""
    own = max((each for each in table if is_below(root, each[0])), key=lambda each: len(each[0]), default=None)
    if own is not None and is_network(own[1]):
        return [root]
    return sorted({point for point, kind in table if is_network(kind) and is_below(point, root) and point != root})


def watch_limit_advice() -> str:
    """What to do when the kernel has no watches left."""
    try:
        now = int((LIMITS / "max_user_watches").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return "raise the limit of the system on watched folders"
    most = max(524_288, 4 * now)
    return (
        f"the system allows {now:,} watched folders; for more, run: "
        f"sudo sysctl fs.inotify.max_user_watches={most} fs.inotify.max_user_instances=1024"
    )


def most_queued() -> int:
    """Events that the kernel queues for a slow reader; more are lost."""
    try:
        return int((LIMITS / "max_queued_events").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 16_384
