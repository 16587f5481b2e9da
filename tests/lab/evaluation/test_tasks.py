"""``photoseek eval`` from files to tables, with an encoder with known results, and the built-in one."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from indexes import IndexSpec
from indexes.base import Effort
from retrieval.encoders.base import Encoder
from retrieval.errors import EncoderMismatch, GalleryNotFound, QueryError, SettingsError, TextNotSupported
from retrieval.gallery import Gallery
from retrieval.lab.evaluation.bootstrap import Estimate
from retrieval.lab.evaluation.caption_task import report_captions
from retrieval.lab.evaluation.chart import Dot
from retrieval.lab.evaluation.compare import chart, compare, report_comparison
from retrieval.lab.evaluation.label_tasks import report_few_shot, report_probe, report_zero_shot
from retrieval.lab.evaluation.tables import Report
from tests.conftest import EXAMPLES
from tests.fakes import ColourEncoder
from tests.pictures import save_picture


def column(report: Report, name: str, table: int = 0) -> dict[str, object]:
    """First column -> another one's value."""
    found = report.tables[table]
    at = found.head.index(name)
    return {str(row[0]): row[at].value if isinstance(row[at], Estimate) else row[at] for row in found.rows}  # type: ignore[union-attr]


@pytest.fixture
def plain() -> ColourEncoder:
    """The colour encoder with a template of its own in which it knows the colour's word again."""
    encoder = ColourEncoder()
    encoder.spec = replace(encoder.spec, prompt_templates=("a {} picture",))
    return encoder


@pytest.fixture
def captions(photos: Path) -> Path:
    """A caption for one picture of each colour; the colour encoder cannot be wrong about them."""
    lines = ["red-1.jpg\tred", "green.jpg\tgreen", "trip/blue-1.jpg\tblue", "trip/day two/yellow.jpg\tyellow"]
    (photos / "captions.tsv").write_text("\n".join(lines), encoding="utf-8")
    return photos / "captions.tsv"


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    """Eight pictures of each of three colours, in folders; one red picture lies among the green ones."""
    root = tmp_path / "classes"
    for colour in ("red", "green", "blue"):
        for seed in range(8):
            wrong = colour == "green" and seed == 0
            save_picture(root / f"{colour}_" / f"{seed}.png", "red" if wrong else colour, seed=seed + 50 * wrong)
    return root


def test_captions_by_colour(captions: Path, encoder: ColourEncoder) -> None:
    report = report_captions(encoder, captions)
    assert report.about["pictures"] == report.about["captions"] == 4
    for name in ("text to image", "image to text"):
        values = column(report, name)
        assert values["hit_rate@1"] == values["recall@1"] == values["MRR"] == values["nDCG@10"] == 1
        assert values["median rank"] == 1


def test_wrong_captions_are_found_out(captions: Path, encoder: ColourEncoder) -> None:
    captions.write_text(captions.read_text(encoding="utf-8").replace("\tgreen", "\tblue."), encoding="utf-8")
    values = column(report_captions(encoder, captions), "text to image")
    assert values["hit_rate@1"] == 0.75


def test_copies_and_broken_files(captions: Path, photos: Path, encoder: ColourEncoder) -> None:
    shutil.copy(photos / "green.jpg", photos / "again.jpg")
    (photos / "broken.jpg").write_bytes(b"x")
    with captions.open("a", encoding="utf-8") as file:
        file.write("\nagain.jpg\tgreen\nagain.jpg\tall green\nbroken.jpg\tred\n")
    report = report_captions(encoder, captions)
    assert (report.about["pictures"], report.about["captions"]) == (4, 5)
    assert report.about["copies of another picture"] == 1
    assert str(report.about["left out, cannot be used"]).startswith("1, e.g. ")
    assert column(report, "image to text")["hit_rate@1"] == 1, "the copy is no rival"


def test_a_gallery_gives_embeddings_and_its_index(captions: Path, indexed: Gallery) -> None:
    encoder = ColourEncoder()
    report = report_captions(encoder, captions, gallery=indexed, with_index=True)
    assert encoder.encoded == 0
    assert report.about["embeddings from the gallery"] == 4
    assert (report.about["pictures in the gallery"], report.about["captions asked there"]) == (6, 4)
    assert report.about["index"] == "Exact"
    exact, ann = (column(report, f"text to image, gallery, {name}") for name in ("exact", "Exact"))
    assert exact["hit_rate@1"] == ann["hit_rate@1"] >= 0.5, "two reds and two blues are there"  # type: ignore[operator]
    assert exact["hit_rate@5"] == ann["hit_rate@5"] == 1
    assert ann["overlap@1"] == ann["overlap@10"] == 1
    assert report_captions(encoder, captions, gallery=indexed, fresh=True).about["images/s"]
    assert encoder.encoded == 5


def test_an_index_that_finds_less_is_found_out(
    captions: Path, indexed: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index of the gallery answers with pictures the other way round."""
    from indexes.exact import ExactIndex

    search, efforts = ExactIndex.search, []
    tuned = Effort(k_factor=3)
    monkeypatch.setattr(Gallery, "effort", lambda *_: tuned)

    def backwards(self: ExactIndex, queries: np.ndarray, k: int, **more: object) -> object:
        efforts.append(more["effort"])
        return search(self, -queries, k, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(ExactIndex, "search", backwards)
    report = report_captions(ColourEncoder(), captions, gallery=indexed, with_index=True)
    assert efforts == [tuned], "as hard as searches do"
    assert report.about["index"] == str(IndexSpec.parse("Exact"))
    assert column(report, "text to image, gallery, exact")["hit_rate@1"] >= 0.5  # type: ignore[operator]
    ann = column(report, "text to image, gallery, Exact")
    assert ann["hit_rate@1"] == ann["overlap@1"] == 0


def test_ann_needs_the_gallery_and_the_encoder(captions: Path, indexed: Gallery, tmp_path: Path) -> None:
    with pytest.raises(GalleryNotFound):
        report_captions(ColourEncoder(), captions, gallery=Gallery(tmp_path / "none"), with_index=True)
    with pytest.raises(EncoderMismatch):
        report_captions(ColourEncoder(name="other"), captions, gallery=indexed, with_index=True)
    elsewhere = tmp_path / "elsewhere"
    save_picture(elsewhere / "a.png", "red")
    (elsewhere / "c.tsv").write_text("a.png\tred", encoding="utf-8")
    with pytest.raises(QueryError, match="none of the pictures"):
        report_captions(ColourEncoder(), elsewhere / "c.tsv", gallery=indexed, with_index=True)


def test_words_of_an_image_only_encoder(captions: Path, classes: Path) -> None:
    blind = ColourEncoder(has_text=False)
    with pytest.raises(TextNotSupported):
        report_captions(blind, captions)
    with pytest.raises(TextNotSupported):
        report_zero_shot(blind, classes)
    report = report_probe(blind, classes)
    assert report.tables[0].head == ("metric", "k-NN (k=20, T=0.07)", "logistic regression")
    assert "zero-shot acc@1" not in report_few_shot(blind, classes, shots=(1,)).about


def test_zero_shot_by_colour(classes: Path, plain: ColourEncoder) -> None:
    report = report_zero_shot(plain, classes, templates=("80", "model"))
    assert report.tables[0].head == ("metric", "80 templates (80)", "1 template (model)")
    for name in report.tables[0].head[1:]:
        values = column(report, name)
        assert values["acc@1"] == pytest.approx(23 / 24)
        assert values["mean per-class recall"] == pytest.approx((1 + 1 + 7 / 8) / 3)
        assert "acc@5" not in values, "there are only three classes"
    assert report.tables[1].rows == (("green", "red", 1, 1 / 8),)
    assert report.about["by chance"] == pytest.approx(1 / 3)


def test_labels_decide_what_is_asked(classes: Path, plain: ColourEncoder, tmp_path: Path) -> None:
    names = tmp_path / "labels.tsv"
    names.write_text("red_\tblue\ngreen_\tgreen\nblue_\tred\n", encoding="utf-8")
    values = column(report_zero_shot(plain, classes, labels_file=names), "1 template (model)")
    assert values["acc@1"] == pytest.approx(7 / 24)


def test_probe_by_colour(classes: Path, plain: ColourEncoder) -> None:
    (classes / "green_" / "0.png").unlink()
    shutil.copy(classes / "red_" / "1.png", classes / "red_" / "copy.png")
    report = report_probe(plain, classes, share=0.25, k=5)
    assert (report.about["learned from"], report.about["judged by"]) == (17, 6)
    for name in report.tables[0].head[1:]:
        assert column(report, name)["acc@1"] == 1, name
    assert report.tables[0].head[1:] == ("k-NN (k=5, T=0.07)", "logistic regression", "zero-shot")


def test_probe_with_a_folder_to_judge_by(classes: Path, encoder: ColourEncoder, tmp_path: Path) -> None:
    test = tmp_path / "test"
    shutil.copytree(classes / "red_", test / "red_")
    save_picture(test / "blue_" / "new.png", "blue", seed=99)
    report = report_probe(encoder, classes, test=test)
    assert report.about["judged by"] == 9
    assert report.about["learned from"] == 24 - 8, "what is in both is not learned from"


def test_few_shot_by_colour(classes: Path, plain: ColourEncoder) -> None:
    (classes / "green_" / "0.png").unlink()
    report = report_few_shot(plain, classes, shots=(1, 2, 64), draws=3)
    assert [row[0] for row in report.tables[0].rows] == [1, 2]
    assert column(report, "nearest mean acc@1") == {"1": 1.0, "2": 1.0}
    assert report.about["zero-shot acc@1"] == (1, 1, 1)
    assert report.notes[-1].endswith("64")


def encoders(name: str) -> Encoder:
    if name == "blind":
        return ColourEncoder(name=name, has_text=False)
    encoder = ColourEncoder(name=name)
    encoder.spec = replace(encoder.spec, dim=16)
    return encoder


def test_compare_on_captions(captions: Path) -> None:
    found = compare(["one", "two"], captions, encoders)
    assert [each.name for each in found] == ["one", "two"]
    assert found[0].accuracy["text to image hit_rate@1"].value == 1  # type: ignore[union-attr]
    report = report_comparison(found, captions)
    assert column(report, "bytes/image") == {"one": 32, "two": 32}
    assert all(rate > 0 for rate in column(report, "images/s").values())  # type: ignore[operator]
    assert sum(isinstance(shape, Dot) for shape in chart(found, "t")) == 2


def test_compare_on_classes_with_an_image_only_encoder(classes: Path) -> None:
    found = compare(["one", "blind"], classes, encoders)
    report = report_comparison(found, classes)
    assert column(report, "zero-shot acc@1")["blind"] is None
    assert column(report, "k-NN acc@1")["blind"] == pytest.approx(23 / 24)
    assert len([shape for shape in chart(found, "t") if isinstance(shape, Dot)]) == 2


def test_one_encoder_cannot_be_compared(classes: Path) -> None:
    with pytest.raises(SettingsError):
        compare(["one", "one"], classes, encoders)


def test_costs_of_the_builtin_model() -> None:
    from retrieval.encoders.installed import BUILTIN_FOLDER
    from retrieval.encoders.registry import load_encoder
    from retrieval.lab.evaluation.costs import costs_of

    found = costs_of(load_encoder("builtin-224"))
    assert found.image_mb == pytest.approx((BUILTIN_FOLDER / "image.onnx").stat().st_size / 1e6)
    assert found.text_mb == pytest.approx((BUILTIN_FOLDER / "text.safetensors").stat().st_size / 1e6)
    assert (found.dim, found.bytes_per_image) == (384, 768)


def test_builtin_model_on_the_examples(indexed_examples: Path) -> None:
    """Far above chance (1 of 120), and from the gallery the same as encoded anew, up to float16."""
    from retrieval.encoders.registry import load_encoder

    encoder = load_encoder("builtin-224")
    stored = report_captions(encoder, EXAMPLES / "captions.tsv", gallery=Gallery(indexed_examples), with_index=True)
    fresh = report_captions(encoder, EXAMPLES / "captions.tsv")
    assert stored.about["embeddings from the gallery"] == 120
    for name in ("text to image", "image to text"):
        assert column(fresh, name)["hit_rate@10"] > 2 * 10 / 120  # type: ignore[operator]
        assert column(fresh, name)["MRR"] == pytest.approx(column(stored, name)["MRR"], abs=0.02)


@pytest.mark.parametrize(
    ("arguments", "table"),
    [
        (("retrieval", EXAMPLES / "captions.tsv", "--ann"), "retrieval"),
        (("zeroshot", EXAMPLES, "--templates", "7"), "zero-shot"),
        (("probe", EXAMPLES, "--k", "5"), "probe"),
        (("few-shot", EXAMPLES, "--shots", "1,2", "--draws", "2"), "few-shot"),
    ],
)
def test_commands(arguments: tuple[object, ...], table: str, indexed_examples: Path) -> None:
    from typer.testing import CliRunner

    from retrieval.commands.evaluation import eval_app

    done = CliRunner().invoke(eval_app, [*map(str, arguments), "--gallery", str(indexed_examples), "--json"])
    assert done.exit_code == 0, done.output
    body = json.loads(done.stdout)
    assert body["about"]["embeddings from the gallery"] == 120
    assert body[table]


def test_compare_command_draws(tmp_path: Path, classes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from retrieval.commands.evaluation import eval_app
    from retrieval.encoders import choice

    monkeypatch.setattr(choice, "choose_encoder", lambda _gallery, name, *, device: encoders(name))
    line = ["compare", "one", "two", "--data", str(classes), "--plot", str(tmp_path / "plot.png"), "--csv"]
    done = CliRunner().invoke(eval_app, line)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[0].startswith("model,zero-shot acc@1,zero-shot acc@1 low")
    assert (tmp_path / "plot.png").stat().st_size > 1000
