"""XMP as written by programs, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape


def packet(
    subject: Sequence[str] = (),
    *,
    hierarchy: Sequence[str] = (),
    digikam: Sequence[str] = (),
    description: str = "",
    rating: int | None = None,
    head: str = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>',
) -> bytes:
    """A packet in UTF-8; properties without a value are left out."""

    def bag(name: str, values: Sequence[str], kind: str = "Bag") -> str:
        items = "".join(f"<rdf:li>{escape(value)}</rdf:li>\n" for value in values)
        return f"<{name}><rdf:{kind}>{items}</rdf:{kind}></{name}>" if values else ""

    text = f'<rdf:li xml:lang="de">Anders</rdf:li><rdf:li xml:lang="x-default">{escape(description)}</rdf:li>'
    caption = f"<dc:description><rdf:Alt>{text}</rdf:Alt></dc:description>" if description else ""
    stars = "" if rating is None else f'<xmp:Rating xmlns:xmp="http://ns.adobe.com/xap/1.0/">{rating}</xmp:Rating>'
    return f"""{head}
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"
  xmlns:lr="http://ns.adobe.com/lightroom/1.0/" xmlns:digiKam="http://www.digikam.org/ns/1.0/">{stars}
{bag("dc:subject", subject)}{bag("lr:hierarchicalSubject", hierarchy)}{bag("digiKam:TagsList", digikam, "Seq")}{caption}
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">not a tag</rdf:li></rdf:Alt></dc:title>
</rdf:Description></rdf:RDF></x:xmpmeta>""".encode()


def with_xmp(jpeg: bytes, xmp: bytes) -> bytes:
    """A JPEG with an XMP segment after another one that it has to be told from."""

    def segment(body: bytes) -> bytes:
        return b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body

    other = segment(b"Exif\0\0" + b"\0" * 20)
    return jpeg[:2] + other + segment(b"http://ns.adobe.com/xap/1.0/\0" + xmp) + jpeg[2:]
