"""How duplicates are told: blocks of lines for people, an object a line for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import IO

from retrieval.catalog.records import ImageRecord
from retrieval.duplicates.files import Outcome
from retrieval.duplicates.finding import Found
from retrieval.duplicates.groups import Group, Member
from retrieval.output import human_bytes
from retrieval.streams import printable


def write_groups(groups: Sequence[Group], out: IO[str], *, as_json: bool = False) -> None:
    """Every group: its kind, the suggested keeper, and the others."""
    for group in groups:
        if as_json:
            out.write(json.dumps(group_as_json(group)) + "\n")
            continue
        out.write(f"{group.kind}, {len(group.others) + 1} pictures\n")
        out.write(f"  keep  {_line(group.keeper)}\n")
        for member in group.others:
            out.write(f"        {_line(member.image)}{_nearness(member)}\n")
    if not groups and not as_json:
        out.write("no duplicates\n")


def group_as_json(group: Group) -> dict[str, object]:
    """A group as plain values; paths that are not valid text keep their bytes as ``\\udcXX`` escapes."""
    return {
        "kind": group.kind,
        "keeper": _as_json(group.keeper),
        "others": [
            {**_as_json(member.image), "cosine": _rounded(member.cosine), "bits": member.bits}
            for member in group.others
        ],
        "bytes_of_others": group.bytes_of_others,
    }


def write_outcome(outcome: Outcome, out: IO[str], *, as_json: bool = False) -> None:
    """What became of one file, as a line."""
    if as_json:
        values = {"action": outcome.action, "path": outcome.path, "done": outcome.done, "detail": outcome.detail}
        out.write(json.dumps(values) + "\n")
    else:
        did = {"trash": "moved", "link": "linked", "undo": "back"}[outcome.action] if outcome.done else "left"
        out.write(f"{did}\t{printable(outcome.path)}\t{printable(outcome.detail)}\n")


def summary_lines(found: Found) -> list[str]:
    """What was found in a few sentences, and what could not be compared."""
    lines = []
    for kind in ("same bytes", "same picture", "look-alike"):
        groups = [group for group in found.groups if group.kind == kind]
        if groups:
            others = sum(len(group.others) for group in groups)
            size = human_bytes(sum(group.bytes_of_others for group in groups))
            lines.append(f"{kind}: {len(groups):,} groups, {others:,} pictures beside the keepers, {size}")
    lines.append(f"looked through {found.images:,} pictures")
    if found.plain:
        lines.append(f"{found.plain:,} have too little in them to tell copies by (black frames): same bytes only")
    if found.crowded:
        lines.append(f"{found.crowded:,} are too many alike to compare each with each; try --under FOLDER")
    if found.unseen:
        lines.append(f"{found.unseen:,} could not be looked at (missing or changed since): photoseek index")
    return lines


def plan_line(groups: Sequence[Group], *, link: bool) -> str:
    """What ``--yes`` would do."""
    kinds = ("same bytes",) if link else ("same bytes", "same picture")
    chosen = [group for group in groups if group.kind in kinds]
    count, size = sum(len(group.others) for group in chosen), human_bytes(sum(g.bytes_of_others for g in chosen))
    if link:
        return f"would replace {count:,} pictures ({size}) by hard links to their keepers; to do it, add --yes"
    return f"would move {count:,} pictures ({size}) to the trash; to do it, add --yes"


def _line(image: ImageRecord) -> str:
    return f"{printable(image.path)}  {image.width}x{image.height} {image.format} {human_bytes(image.size)}"


def _nearness(member: Member) -> str:
    parts = [] if member.cosine is None else [f"cosine {member.cosine:.3f}"]
    if member.bits is not None:
        parts.append(f"{member.bits} bits")
    return f"  ({', '.join(parts)})" if parts else ""


def _as_json(image: ImageRecord) -> dict[str, object]:
    return {
        "path": image.path,
        "id": image.id,
        "width": image.width,
        "height": image.height,
        "format": image.format,
        "bytes": image.size,
        "taken_at": image.taken_text(),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
