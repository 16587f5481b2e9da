"""Folders that are excluded by default unless ``index --include`` names them: private data of other programs.

They hold small copies of other pictures, deleted files, snapshots of a whole disk, or pictures that are
part of software. Names are compared ignoring case. Hidden names (with a leading dot: ``.thumbnails``,
``.Trash-1000``, ``.@__thumb``, ``.picasaoriginals``, WhatsApp's ``.Thumbs``) are excluded before this list is used.
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
        "__MACOSX",  # added by macOS to zip files
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
    """The entry of this list that excludes a folder; None: the folder may hold the user's own pictures.

    Args:
        parent: name of the parent folder.
        name: name of the folder.
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
