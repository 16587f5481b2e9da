"""Folders that are excluded by default unless ``index --include`` names them: private data of other programs.

They hold small copies of pictures that lie elsewhere, deleted files, snapshots of a whole disk, or pictures that are
part of software. Names are compared without regard to case. Hidden names (with a dot in front: ``.thumbnails``,
``.Trash-1000``, ``.@__thumb``, ``.picasaoriginals``, WhatsApp's ``.Thumbs``) are left out before this list is asked.
"""

from __future__ import annotations

_NAMES = {
    name.casefold(): name
    for name in (
        # Small copies of pictures
        "@eaDir",  # Synology
        "thumbs", "_thumbs", "thumbnails", "_thumbnails",  # Immich, PhotoPrism, web galleries
        "thumb", "_thumb",
        # Deleted files
        "#recycle",  # Synology
        "@Recycle",  # QNAP
        "$RECYCLE.BIN", "RECYCLER", "RECYCLED",  # Windows
        "Network Trash Folder",  # macOS
        "files_trashbin",  # Nextcloud, ownCloud
        # Earlier versions of a whole disk
        "#snapshot",  # Synology
        "@Recently-Snapshot",  # QNAP
        "~snapshot",  # NetApp
        "files_versions",  # Nextcloud, ownCloud
        # File systems and systems
        "lost+found",
        "System Volume Information",
        "Temporary Items",  # macOS
        "@tmp",  # Synology
        "__MACOSX",  # what macOS adds to a zip file
        # Software
        "node_modules",
    )
}  # fmt: skip

_ENDINGS = (
    ".lrdata",  # previews of Lightroom
    ".lrcat-data",
    ".backupdb",  # Time Machine
)

_STARTS = ("appdata_",)  # Nextcloud: previews

_LIBRARIES = (".photoslibrary", ".photolibrary", ".migratedphotolibrary", ".aplibrary")  # Photos, iPhoto, Aperture
_ORIGINALS = frozenset({"originals", "masters"})

DESCRIPTION = (
    "hidden files and folders; thumbnails and previews of other programs (@eaDir, thumbs, *.lrdata, ...); trash "
    "(#recycle, $RECYCLE.BIN, ...); snapshots; everything in a Photos, iPhoto or Aperture library but its originals; "
    "lost+found, System Volume Information, node_modules"
)


def left_out_as(parent: str, name: str) -> str | None:
    """Why a folder holds no pictures of the user's own: the entry of this list that says so; None: it may hold some.

    Args:
        parent: name of the folder that it lies in.
        name: its own.
    """
    folded, above = name.casefold(), parent.casefold()
    if folded in _NAMES:
        return _NAMES[folded]
    for ending in _ENDINGS:
        if folded.endswith(ending):
            return f"*{ending}"
    if folded.startswith(_STARTS):
        return "appdata_*"
    if above.endswith(_LIBRARIES) and folded not in _ORIGINALS:
        # The originals are the user's photos, and often the only copy; the rest can be made from them.
        return f"*{above[above.rindex('.') :]}/{folded}"
    if folded == "cache" and (above == "captureone" or above.endswith(".cocatalog")):
        return "CaptureOne/Cache"
    return None
