"""Output of results."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from PIL import Image

from retrieval.errors import SettingsError
from retrieval.lab.evaluation.bootstrap import Estimate
from retrieval.lab.evaluation.chart import Dot, Point, Text, _log_range, draw
from retrieval.lab.evaluation.chart_files import to_image, to_svg, write_chart
from retrieval.lab.evaluation.tables import Report, Table, choose_form, write_report

TABLE = Table(
    "models",
    ("model", "acc@1", "pictures", "rate"),
    (("a\x1b[2Jb", Estimate(0.5, 0.25, 0.75), 1200, 12.5), ("c", None, 3, float("nan"))),
)
REPORT = Report({"data": "x", "pictures": 1200}, (TABLE,), ("a note",))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def written(form: str, out: io.StringIO | None = None) -> str:
    out = out or io.StringIO()
    write_report(REPORT, form, out)  # type: ignore[arg-type]
    return out.getvalue()


def test_tables_for_people() -> None:
    lines = written("table").splitlines()
    assert lines[:2] == ["data      x", "pictures  1,200"]
    assert "a\\x1b[2Jb\t0.500 (0.250 to 0.750)\t1,200\t12.5" in lines
    assert lines[-1] == "a note"
    head, first, second = written("table", Terminal()).splitlines()[4:7]
    assert first.index("0.500") == head.index("acc@1")
    assert second.startswith("c ")


def test_json_holds_everything() -> None:
    body = json.loads(written("json"))
    assert body["about"] == {"data": "x", "pictures": 1200}
    assert body["models"][0]["acc@1"] == {"value": 0.5, "low": 0.25, "high": 0.75}
    assert body["models"][1] == {"model": "c", "acc@1": None, "pictures": 3, "rate": None}


def test_csv_has_columns_for_the_bounds() -> None:
    rows = list(csv.reader(io.StringIO(written("csv"))))
    assert rows[0] == ["model", "acc@1", "acc@1 low", "acc@1 high", "pictures", "rate"]
    assert rows[1][1:] == ["0.5", "0.25", "0.75", "1200", "12.5"]
    assert rows[2] == ["c", "", "", "", "3", ""]


def test_one_form_at_a_time() -> None:
    assert [choose_form(as_json=a, as_csv=b) for a, b in ((0, 0), (1, 0), (0, 1))] == ["table", "json", "csv"]
    with pytest.raises(SettingsError):
        choose_form(as_json=True, as_csv=True)


POINTS = [
    Point("slow <&> good", 20.0, Estimate(0.8, 0.75, 0.85)),
    Point("quick", 400.0, Estimate(0.5, 0.45, 0.55)),
    Point("swift", 401.0, Estimate(0.5, 0.45, 0.55)),
    Point("not timed", 0.0, Estimate(0.9, 0.9, 0.9)),
]


def test_faster_is_right_and_better_is_up() -> None:
    shapes = draw(POINTS, title="t", x_label="images/s", y_label="acc")
    slow, fast, _ = [shape for shape in shapes if isinstance(shape, Dot)]
    assert slow.x < fast.x
    assert slow.y < fast.y
    names = {shape.text: shape for shape in shapes if isinstance(shape, Text)}
    assert "not timed" not in names
    assert abs(names["quick"].y - names["swift"].y) >= 16, "names do not lie on each other"
    for dot in (shape for shape in shapes if isinstance(shape, Dot)):
        for name in ("quick", "swift"):
            above = abs(names[name].y - dot.y) < 16
            width = 7.2 * len(name)
            left = names[name].x - width * (names[name].anchor == "end")
            assert not (above and left < dot.x + dot.radius and dot.x - dot.radius < left + width), name


def test_the_scale_ends_at_round_numbers_around_the_points() -> None:
    assert _log_range([342.0, 388.0]) == (200, 500)
    assert _log_range([0.05, 1000.0]) == (0.02, 2000)
    assert _log_range([]) == (1, 10)


def test_no_point_at_all_can_be_drawn() -> None:
    assert to_svg(draw([], title="t", x_label="x", y_label="y")).count("<circle") == 0


def test_svg_is_alone_and_escaped() -> None:
    svg = to_svg(draw(POINTS, title="t", x_label="images/s", y_label="acc"))
    assert svg.count("<circle") == 3
    assert "slow &lt;&amp;&gt; good" in svg
    assert "href" not in svg
    import xml.etree.ElementTree as ElementTree

    ElementTree.fromstring(svg)


def test_the_picture_shows_the_dots() -> None:
    shapes = draw(POINTS, title="t", x_label="images/s", y_label="acc")
    image = to_image(shapes)
    assert image.size == (1600, 1000)
    for dot in (shape for shape in shapes if isinstance(shape, Dot)):
        x, y = round(dot.x * 2), round(dot.y * 2)
        assert image.getpixel((x, y)) != (255, 255, 255)
    first = next(shape for shape in shapes if isinstance(shape, Dot))
    assert image.getpixel((round(first.x * 2), round(first.y * 2))) == (0, 0x72, 0xB2)


@pytest.mark.parametrize("name", ["plot.svg", "plot.HTML", "plot.png"])
def test_files(tmp_path: Path, name: str) -> None:
    shapes = draw(POINTS, title="t", x_label="images/s", y_label="acc")
    write_chart(shapes, tmp_path / name, title="t & u", table=TABLE)
    if name == "plot.png":
        with Image.open(tmp_path / name) as image:
            assert image.size == (1600, 1000)
        return
    text = (tmp_path / name).read_text(encoding="utf-8")
    assert "<svg" in text
    assert "\x1b" not in text
    if name == "plot.HTML":
        assert "<title>t &amp; u</title>" in text
        assert "<td>0.500 (0.250 to 0.750)</td>" in text


@pytest.mark.parametrize("name", ["plot.pdf", "none/plot.svg", "none/plot.png"])
def test_where_nothing_can_be_drawn(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError):
        write_chart([], tmp_path / name, title="t", table=TABLE)
