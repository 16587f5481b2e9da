"""Motion photos and live photos as phones write them, around small real videos."""

from __future__ import annotations

import io
import struct
from pathlib import Path

from PIL import Image

from tests.raw_files import jpeg, scene
from tests.video_files import video

IDENTIFIER = "2F9F4BB0-6C5E-4B1C-9C31-1D2F3A4B5C6D"


def clip(folder: Path, seconds: float = 1.0, **options: object) -> bytes:
    """The bytes of an MP4."""
    return video(folder / "clip.mp4", [("blue", seconds)], **options).read_bytes()  # type: ignore[arg-type]


def xmp(attributes: str, inner: str = "") -> bytes:
    """A segment APP1 with a packet."""
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" '
        'xmlns:Container="http://ns.google.com/photos/1.0/container/" '
        f'xmlns:Item="http://ns.google.com/photos/1.0/container/item/" {attributes}>{inner}'
        "</rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    body = b"http://ns.adobe.com/xap/1.0/\0" + packet.encode()
    return b"\xff\xe1" + struct.pack(">H", 2 + len(body)) + body


def still(**options: object) -> bytes:
    """A JPEG."""
    return jpeg(scene(160, 120), **options)


def with_segment(picture: bytes, segment: bytes) -> bytes:
    """A JPEG with a further segment at its beginning."""
    return picture[:2] + segment + picture[2:]


def micro_video(moving: bytes, *, declared: int = 1, wrong: int = 0) -> bytes:
    """Google's first form; ``wrong`` bytes are added to the offset in XMP."""
    about = f'GCamera:MicroVideo="{declared}" GCamera:MicroVideoVersion="1"'
    about += f' GCamera:MicroVideoOffset="{len(moving) + wrong}"'
    return with_segment(still(), xmp(about)) + moving


def motion_photo(moving: bytes) -> bytes:
    """Google's second form, with elements in place of attributes."""
    item = (
        '<rdf:li rdf:parseType="Resource"><Container:Item Item:Mime="{}" Item:Semantic="{}" Item:Length="{}"/></rdf:li>'
    )
    items = item.format("image/jpeg", "Primary", 0) + item.format("video/mp4", "MotionPhoto", len(moving))
    inner = "<GCamera:MotionPhoto>1</GCamera:MotionPhoto>"
    inner += f"<Container:Directory><rdf:Seq>{items}</rdf:Seq></Container:Directory>"
    return with_segment(still(), xmp("", inner)) + moving


def samsung(moving: bytes) -> bytes:
    """Samsung's trailer: named blocks, and their directory at the end."""
    name = b"MotionPhoto_Data"
    block = struct.pack("<HHI", 0, 0x0A30, len(name)) + name + moving
    directory = b"SEFH" + struct.pack("<II", 106, 1) + struct.pack("<HHII", 0, 0x0A30, len(block), len(block))
    return still() + block + directory + struct.pack("<I", len(directory)) + b"SEFT"


def heif_with_video(moving: bytes) -> bytes:
    """A HEIF with a box for the video at its end."""
    import pillow_heif

    out = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(scene(160, 120))).save(out)
    return out.getvalue() + struct.pack(">I", 8 + len(moving)) + b"mpvd" + moving


def apple_note(identifier: str = IDENTIFIER) -> bytes:
    """A maker note with an identifier behind another entry."""
    text = identifier.encode() + b"\0"
    entries = struct.pack(">HHIi", 0x0001, 9, 1, 14) + struct.pack(">HHII", 0x0011, 2, len(text), 14 + 2 + 24 + 4)
    return b"Apple iOS\0\0\x01MM" + struct.pack(">H", 2) + entries + struct.pack(">I", 0) + text


def live_still(path: Path, *, taken: str | None = "2023:05:06 07:08:09", identifier: str | None = IDENTIFIER) -> Path:
    """The picture of a live photo."""
    exif = Image.Exif()
    exif[0x010F] = "Apple"
    detail = exif.get_ifd(0x8769)
    if taken is not None:
        detail[0x9003] = taken
    if identifier is not None:
        detail[0x927C] = apple_note(identifier)
    path.write_bytes(still(exif=exif))
    return path


def live_clip(
    path: Path,
    *,
    taken: str | None = "2023-05-06T07:08:08+0200",
    identifier: str | None = IDENTIFIER,
    seconds: float = 2.0,
) -> Path:
    """The video of a live photo."""
    said = {}
    if identifier is not None:
        said["com.apple.quicktime.content.identifier"] = identifier
    if taken is not None:
        said["com.apple.quicktime.creationdate"] = taken
    return video(path, [("blue", seconds)], metadata=said, container={"movflags": "use_metadata_tags"})
