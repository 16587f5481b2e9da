"""``photoseek verify``, ``backup`` and ``restore``: check a gallery, and keep a copy of it elsewhere."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from retrieval.commands.options import GalleryOption, JsonOption
from retrieval.commands.say import say

FolderArgument = Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of the backups.")]


def verify(
    gallery: GalleryOption = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Repair what is damaged. A damaged catalog is kept beside the new one.")
    ] = False,
    files: Annotated[
        bool, typer.Option("--files/--no-files", help="Compare every picture with its file, by size and times.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Check the catalog, embeddings, indexes and caches of a gallery. Exit code 3 if damage remains."""
    from retrieval.gallery import Gallery
    from retrieval.maintenance.verify import verify as checked
    from retrieval.streams import printable

    found = []
    for finding in checked(Gallery(gallery), repair=repair, files=files):
        found.append(finding)
        if not as_json:
            sys.stdout.write(f"{finding.state:<9} {finding.part:<18} {printable(finding.message)}\n")
            sys.stdout.flush()
    if as_json:
        sys.stdout.write(json.dumps([asdict(finding) for finding in found], indent=2) + "\n")
    if any(finding.state == "damaged" for finding in found):
        raise SystemExit(3)


def backup(
    folder: FolderArgument,
    gallery: GalleryOption = None,
    show: Annotated[bool, typer.Option("--list", help="List the backups in the folder.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Back up the gallery: tags, captions, albums, embeddings, settings. Only what is new is stored. Pictures are not
    copied."""
    from retrieval.gallery import Gallery
    from retrieval.maintenance.backup import back_up, backups_in
    from retrieval.output import human_bytes
    from retrieval.streams import printable

    made = backups_in(folder) if show else [back_up(Gallery(gallery), folder)]
    if as_json:
        rows = [{"name": each.name, "gallery": each.gallery, "bytes": each.bytes} for each in made]
        sys.stdout.write(json.dumps(rows if show else rows[0] | {"new_bytes": made[0].new_bytes}, indent=2) + "\n")
        return
    for each in made:
        sys.stdout.write(f"{printable(each.name)}\t{human_bytes(each.bytes)}\t{printable(each.gallery)}\n")
    if not show:
        say(f"{human_bytes(made[0].new_bytes)} of it are new")


def restore(
    folder: Annotated[Path | None, typer.Argument(metavar="FOLDER", help="Folder of the backups.")] = None,
    gallery: GalleryOption = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="NAME", help="Which backup (see backup --list); default: the newest.")
    ] = None,
    labels: Annotated[
        bool,
        typer.Option("--labels", help="Only add missing tags, captions, albums, ... from the gallery's own copies."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Replace the present gallery, which is kept beside it.")] = False,
) -> None:
    """Restore a gallery from a backup, or labels from the copies that it keeps."""
    from retrieval.errors import SettingsError
    from retrieval.gallery import Gallery
    from retrieval.maintenance.backup import backups_in
    from retrieval.maintenance.backup import restore as restored
    from retrieval.maintenance.label_backups import restore_labels
    from retrieval.streams import plural

    opened = Gallery(gallery)
    if labels:
        if folder is not None or yes:
            raise SettingsError("--labels reads the gallery's own copies", "omit the folder and --yes")
        copy, added = restore_labels(opened, at)
        say(f"{plural(added, 'label')} added from {copy.name}; nothing was changed or removed")
        return
    if folder is None:
        raise SettingsError("no folder of backups was given", "name it: photoseek restore FOLDER")
    found = backups_in(folder)
    chosen = found[0] if at is None else next((each for each in found if each.name == at), None)
    if chosen is None:
        raise SettingsError(f"there is no backup {at} in {folder}", f"list them: photoseek backup {folder} --list")
    for path in restored(opened, folder, chosen, replace=yes):
        say(f"kept: {path}")
    say(f"restored {opened.path} from {chosen.name}; the next photoseek index makes its index again")
