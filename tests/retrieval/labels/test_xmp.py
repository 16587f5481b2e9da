"""XMP from strangers: what is read of it, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.labels import xmp
from retrieval.labels.embedded import read_embedded
from retrieval.labels.xmp import UnreadableXmp, Xmp, parse_xmp, read_sidecar
from tests.pictures import save_picture
from tests.retrieval.xmp_files import packet, with_xmp


def test_keywords_of_every_program_and_each_level_of_a_hierarchy() -> None:
    data = packet(
        ["Beach", "beach", " two  words ", "Été & Café"],
        hierarchy=["Places|France|Paris", "Beach"],
        digikam=["People/Anna", "_Digikam_Internal_Tags_/Color Label Red"],
        description="At the sea.",
    )
    assert parse_xmp(data) == Xmp(
        ("anna", "beach", "france", "paris", "people", "places", "two words", "été & café"), "At the sea."
    )
    assert parse_xmp(packet()) == Xmp()


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_encodings_and_padding(coding: str) -> None:
    data = packet(["été"], head="").decode().strip()
    if coding in ("utf-16-le", "utf-16-be"):
        data = f'<?xml version="1.0" encoding="{coding[:6]}"?>{data}'
        with_mark = ("\ufeff" + data).encode(coding)
        assert parse_xmp(with_mark) == Xmp(("été",))
    else:
        assert parse_xmp(data.encode(coding)) == Xmp(("été",))
        if coding != "utf-16":
            assert parse_xmp(data.encode(coding) + b"\0" * 100) == Xmp(("été",))


def test_a_description_in_short_form_or_in_one_language_only() -> None:
    data = packet(["x"]).replace(b'rdf:about=""', b'rdf:about="" dc:description="Short."')
    assert parse_xmp(data).caption == "Short."
    assert parse_xmp(packet(description="x").replace(b"x-default", b"fr")).caption == "Anders"


def test_what_cannot_be_a_tag_is_left_out() -> None:
    assert parse_xmp(packet(["", " ", "x" * 201, "a\x9bb", "fine"])) == Xmp(("fine",))


LAUGHS = b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'
EXTERNAL = b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (LAUGHS + packet(["&b;"], head=""), "entities"),
        (EXTERNAL + packet(["x"], head=""), "entities"),
        (b'<!DOCTYPE x SYSTEM "http://example.org/x.dtd">' + packet(head=""), "entities"),
        (packet(["x"]).replace(b"<rdf:li>x", b"<rdf:li>&undefined;"), "well-formed"),
        (packet(["x"])[:-30], "well-formed"),
        (b"", "well-formed"),
        (b"\xff\xd8\xff\xe0 a picture", "well-formed"),
        (b'<?xml version="1.0" encoding="no-such"?><x/>', "well-formed|encoding"),
        (b"<a>" * 100 + b"</a>" * 100, "deep"),
        (packet(["x"] * 3000), "many"),
    ],
)
def test_traps_and_damage_are_refused(data: bytes, words: str) -> None:
    with pytest.raises(UnreadableXmp, match=words):
        parse_xmp(data)


@given(st.binary(max_size=300), st.integers(0, 600))
def test_nothing_else_comes_out_of_any_bytes(noise: bytes, at: int) -> None:
    whole = packet(["red"], hierarchy=["a|b"], description="c")
    for data in (noise, whole[:at] + noise + whole[at:]):
        try:
            found = parse_xmp(data)
        except UnreadableXmp as error:
            assert str(error)
        else:
            assert isinstance(found, Xmp)


def test_files_are_bounded_and_pipes_are_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.xmp"
    path.write_bytes(packet(["red"]))
    assert read_sidecar(path).tags == ("red",)
    monkeypatch.setattr(xmp, "MAX_BYTES", 100)
    with pytest.raises(OSError, match="larger than 100 bytes"):
        read_sidecar(path)
    with pytest.raises(UnreadableXmp, match="larger"):
        parse_xmp(path.read_bytes())
    os.mkfifo(tmp_path / "pipe.xmp")
    (tmp_path / "endless.xmp").symlink_to("/dev/zero")
    for read in (read_sidecar, read_embedded):
        for name in ("pipe.xmp", "endless.xmp"):
            with pytest.raises(OSError, match="not an ordinary file"):
                read(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read_sidecar(tmp_path / "none.xmp")


def test_xmp_inside_a_jpeg_is_found_by_the_segments(tmp_path: Path) -> None:
    plain = save_picture(tmp_path / "a.jpg", "red")
    assert read_embedded(plain) == Xmp()
    whole = with_xmp(plain.read_bytes(), packet(["red"], description="c"))
    for length in range(0, len(whole), 7):  # cut anywhere: an answer or a reason, never a crash
        plain.write_bytes(whole[:length])
        try:
            assert read_embedded(plain) in (Xmp(), Xmp(("red",), "c"))
        except UnreadableXmp as error:
            assert "well-formed" in str(error)
    plain.write_bytes(whole)
    assert read_embedded(plain) == Xmp(("red",), "c")
    assert read_embedded(save_picture(tmp_path / "b.png", "red")) == Xmp()
