"""The page: self-contained, file names are never markup, and pictures are never overwritten."""

from __future__ import annotations

import base64
import io
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from retrieval.duplicates import page as page_module
from retrieval.duplicates.finding import find_duplicates
from retrieval.duplicates.page import write_page
from retrieval.errors import SettingsError
from retrieval.gallery import Gallery
from tests.retrieval.duplicates.collection import KEEPER, index


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_thumbnails_are_inside_and_names_are_text(gallery: Gallery, pictures: Path, tmp_path: Path) -> None:
    evil = 'x"><script>alert(1)<'
    (pictures / evil).mkdir()
    shutil.copyfile(pictures / KEEPER, pictures / evil / "script>&amp;.jpg")
    write_page(find_duplicates(index(gallery, pictures)).groups, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    tags = Tags(text)
    assert "script" not in {tag for tag, _ in tags.found}
    assert evil in tags.text and "script>&amp;.jpg" in tags.text
    images = [attributes["src"] or "" for tag, attributes in tags.found if tag == "img"]
    assert len(images) == 3 + 2  # same bytes, same picture
    for source in images:
        data = re.fullmatch(r"data:image/webp;base64,([A-Za-z0-9+/=]+)", source)
        assert data
        assert Image.open(io.BytesIO(base64.b64decode(data[1]))).size == (220, 147)
    links = [attributes["href"] or "" for tag, attributes in tags.found if tag == "a"]
    assert (pictures / KEEPER).as_uri() in links
    assert not re.search(r"(src|href)=[\"']?(https?:|//)", text)


def test_missing_files_have_no_thumbnail_and_long_lists_an_end(
    doubled: Gallery, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = find_duplicates(doubled).groups
    (pictures / KEEPER).unlink()
    monkeypatch.setattr(page_module, "GROUPS_SHOWN", 1)
    write_page(groups, tmp_path / "page.html")
    tags = Tags((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "The first 1 of 2 groups." in tags.text
    assert [tag for tag, _ in tags.found].count("img") == 1


def test_no_duplicates_is_a_page_too(tmp_path: Path) -> None:
    write_page([], tmp_path / "page.html")
    assert "No duplicates." in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize("name", ["photo.jpg", "page", "nowhere/page.html"])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError):
        write_page([], tmp_path / name)
    assert list(tmp_path.iterdir()) == []
