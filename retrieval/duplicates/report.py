"""Output of duplicates: blocks of lines for people, one object per line for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import IO

from retrieval.catalog.records import ImageRecord
from retrieval.duplicates.files import Outcome
from retrieval.duplicates.finding import Found
from retrieval.duplicates.groups import Group, Member
from retrieval.duplicates.plan import Plan
from retrieval.output import human_bytes
from retrieval.streams import plural, printable

_VERDICTS = {
    "different": "something in it differs",
    "edited": "brightness or colours differ",
    "other frame": "another frame: its noise differs",
    "too small": "too small to tell",
}


def write_groups(groups: Sequence[Group], out: IO[str], *, as_json: bool = False) -> None:
    """Print every group: its kind, the suggested keeper, and the others."""
    for group in groups:
        if as_json:
            out.write(json.dumps(group_as_json(group)) + "\n")
            continue
        out.write(f"{group.kind}, {len(group.others) + 1} pictures\n")
        out.write(f"  keep  {_line(group.keeper)}{printable(_why(group))}\n")
        for member in group.others:
            out.write(f"        {_line(member.image)}{_nearness(member)}\n")
    if not groups and not as_json:
        out.write("no duplicates\n")


def group_as_json(group: Group) -> dict[str, object]:
    """A group as plain values; paths that are not valid text keep their bytes as ``\\udcXX`` escapes."""
    return {
        "kind": group.kind,
        "keeper": _as_json(group.keeper),
        "kept_because": list(group.reasons),
        "others": [member_as_json(member) for member in group.others],
        "bytes_of_others": group.bytes_of_others,
    }


def member_as_json(member: Member) -> dict[str, object]:
    """A picture of a group and how it differs from the keeper

    ``worst_tile`` has the largest difference in ``levels`` (0 to 255) and its position, as fractions of the sides.
    """
    found = member.comparison
    worst = None if found is None else {"levels": found.levels, "box": [round(side, 4) for side in found.box]}
    return {
        **_as_json(member.image),
        "cosine": _rounded(member.cosine),
        "bits": member.bits,
        "turn": member.turn,
        "hard_link": member.is_linked,
        "verdict": None if found is None else found.verdict,
        "worst_tile": worst,
    }


def write_outcome(outcome: Outcome, out: IO[str], *, as_json: bool = False) -> None:
    """The result for one file, as a line."""
    if as_json:
        values = {"action": outcome.action, "path": outcome.path, "done": outcome.done, "detail": outcome.detail}
        out.write(json.dumps(values) + "\n")
    else:
        did = {"trash": "moved", "link": "linked", "undo": "back"}[outcome.action] if outcome.done else "left"
        out.write(f"{did}\t{printable(outcome.path)}\t{printable(outcome.detail)}\n")


def summary_lines(found: Found) -> list[str]:
    """A summary in a few sentences, including what could not be compared."""
    lines = []
    for kind in ("same bytes", "same picture", "look-alike"):
        groups = [group for group in found.groups if group.kind == kind]
        if groups:
            others = sum(len(group.others) for group in groups)
            size = human_bytes(sum(group.bytes_of_others for group in groups))
            beside = f"{plural(others, 'picture')} beside the keepers"
            lines.append(f"{kind}: {plural(len(groups), 'group')}, {beside}, {size}")
    lines.append(f"looked through {plural(found.images, 'picture')}")
    if found.plain:
        plain = plural(found.plain, "has", "have")
        lines.append(f"{plain} too little in them to tell copies by (black frames): same bytes only")
    if found.crowded:
        crowded = plural(found.crowded, "is", "are")
        lines.append(f"{crowded} too many alike to compare each with each; try --under FOLDER")
    if found.linked:
        lines.append(linked_line(found))
    if found.nearly and not any(group.kind == "look-alike" for group in found.groups):
        pairs = plural(found.nearly, "pair is", "pairs are")
        lines.append(f"{pairs} nearly the same and no copies; to see them: --look-alikes")
    if found.unseen:
        lines.append(f"{found.unseen:,} could not be looked at (missing or changed since): photoseek index")
    return lines


def linked_line(found: Found) -> str:
    """How many names are links, which are not duplicates."""
    links = plural(found.linked, "is a link", "are links")
    return f"{links} to a file that has another name here already: nothing to save"


def write_plan(plan: Plan, out: IO[str], *, as_json: bool = False) -> None:
    """What ``--yes`` would do with each file: exactly its steps, in order."""
    for step in plan.steps:
        if as_json:
            values = {"plan": plan.action, "path": step.image.path, "keeper": step.keeper.path}
            values_of = {"goes": step.refusal is None, "reason": step.refusal, "bytes": step.size}
            out.write(json.dumps({**values, **values_of}) + "\n")
            continue
        does = plan.action if step.refusal is None else "leave"
        detail = f"keeping {step.keeper.path}" if step.refusal is None else step.refusal
        out.write(f"{does}\t{printable(step.image.path)}\t{printable(detail)}\n")


def plan_line(plan: Plan) -> str:
    """What ``--yes`` would do."""
    going, staying = plan.going, plan.staying
    left = f"; {len(staying):,} would stay, for the reasons given" if staying else ""
    if not going:
        return f"nothing to {'link' if plan.action == 'link' else 'move'}{left}"
    pictures, size = plural(len(going), "picture"), human_bytes(sum(step.size for step in going))
    if plan.action == "link":
        links = "a hard link to its keeper" if len(going) == 1 else "hard links to their keepers"
        return f"would replace {pictures} ({size}) by {links}{left}; to do it, add --yes"
    return f"would move {pictures} ({size}) to the trash{left}; to do it, add --yes"


def _why(group: Group) -> str:
    return f"  ({'; '.join(group.reasons)})" if group.reasons else ""


def _line(image: ImageRecord) -> str:
    return f"{printable(image.path)}  {image.width}x{image.height} {image.format} {human_bytes(image.size)}"


def _nearness(member: Member) -> str:
    parts = [] if member.cosine is None else [f"cosine {member.cosine:.3f}"]
    if member.bits is not None:
        parts.append(f"{member.bits} bits")
    if member.turn != 1:
        parts.append("turned")
    if member.is_linked:
        parts.append("a hard link")
    found = member.comparison
    if found is not None:
        if found.verdict != "copy":
            parts.append(_VERDICTS[found.verdict])
        across, down = (round(50 * (found.box[at] + found.box[at + 2])) for at in (0, 1))
        parts.append(f"at most {found.levels:.0f} levels, at {across} % across, {down} % down")
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
