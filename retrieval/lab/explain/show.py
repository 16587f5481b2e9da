"""``photoseek explain``: write a model's report, figures and heat map to the requested outputs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from retrieval.encoders.base import Encoder
from retrieval.errors import SettingsError, WeightsUnavailable
from retrieval.lab.explain.cells import HeatMap
from retrieval.lab.explain.check import quiz
from retrieval.lab.explain.heat import Method, make_heat
from retrieval.lab.explain.lines import report_lines
from retrieval.lab.explain.report import describe, measure
from retrieval.lab.explain.subject import Subject, find_subject
from retrieval.pictures.picture_file import read_pixels
from retrieval.streams import printable


@dataclass(frozen=True)
class Wish:
    """The requested outputs.

    Args:
        image: a picture file; an empty text means no text.
        html, png: files to write.
        heat: see ``heat.make_heat``.
        measure: run the image tower for three seconds.
    """

    image: Path | None = None
    text: str = ""
    html: Path | None = None
    png: Path | None = None
    heat: Method = "auto"
    measure: bool = False
    as_json: bool = False
    device: str | None = None


def explain(name: str, wish: Wish, out: IO[str]) -> None:
    """Write the report of a model to ``out``, and the requested files.

    Raises:
        SettingsError: the requested outputs cannot be combined, or a file cannot be written.
        WeightsUnavailable: a picture or a measurement was requested, but the model is not installed.
        QueryError, UnreadableImage: the picture cannot be read.
        EncoderError: see ``find_subject`` and the encoder.
    """
    _check(wish)
    subject = find_subject(name, device=wish.device)
    speed = measure(_encoder(subject)) if wish.measure else None
    report = describe(subject, speed)
    heat, drawn = None, []
    if wish.image is not None:
        from retrieval.lab.explain.pictures import panels, write_sheet

        encoder = _encoder(subject)
        pixels = read_pixels(encoder, wish.image)
        shape = subject.anatomy.shape.image if subject.anatomy.shape else None
        heat = make_heat(encoder, pixels, text=wish.text, method=wish.heat, shape=shape)
        drawn = panels(pixels, shape.patch if shape else None, heat)
        if wish.png is not None:
            write_sheet(drawn, wish.png)
    if wish.html is not None:
        from retrieval.lab.explain.page import write_page

        shown = f"{wish.image.name}{f', looked at for “{wish.text}”' if wish.text else ''}" if wish.image else ""
        write_page(report, wish.html, drawn=drawn, heat=heat, picture=shown)
    if wish.as_json:
        out.write(json.dumps(report | _heat_json(heat)) + "\n")
    else:
        out.write("\n".join(map(printable, report_lines(report, heat))).lstrip("\n") + "\n")


def check_answers(out: IO[str], *, as_json: bool) -> bool:
    """Write every derived number next to the correct one; False if one is wrong."""
    answers = quiz()
    if as_json:
        out.write(json.dumps([each._asdict() | {"right": each.right} for each in answers]) + "\n")
    else:
        width = max(len(each.question) for each in answers)
        for each in answers:
            verdict = "" if each.right else f"  WRONG, expected {each.expected}"
            out.write(f"{each.question:<{width}}  {each.computed:>8}{verdict}\n")
    return all(each.right for each in answers)


def _check(wish: Wish) -> None:
    if wish.image is None and (wish.text or wish.png is not None or wish.heat != "auto"):
        raise SettingsError("--text, --heat and --png are about a picture", "give one: --image PHOTO")
    # Before the work is done.
    for path, endings in ((wish.html, (".html", ".htm")), (wish.png, (".png",))):
        if path is not None and path.suffix.lower() not in endings:
            raise SettingsError(f"{path} is not a name for this file", f"end it in {endings[0]}")


def _encoder(subject: Subject) -> Encoder:
    if subject.encoder is None:
        raise WeightsUnavailable(
            f"{subject.name} cannot look at pictures here: {subject.missing}",
            "without --image and --measure it is described all the same",
        )
    return subject.encoder


def _heat_json(heat: HeatMap | None) -> dict[str, Any]:
    if heat is None:
        return {}
    body = {name: getattr(heat, name) for name in ("method", "meaning", "limits", "source", "score")}
    return {"heat": body | {"values": [[round(float(v), 6) for v in row] for row in heat.values]}}
