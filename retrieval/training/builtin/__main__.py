"""``python -m retrieval.training.builtin prepare|images|texts|export|judge``: the stages of the built-in model."""

from __future__ import annotations

import logging
import os
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor

from retrieval import program
from retrieval.encoders.base import Preprocessing
from retrieval.encoders.tokenizer import ClipTokenizer
from retrieval.logs import log_to_stderr
from retrieval.training.builtin.data import Data, gather
from retrieval.training.builtin.image_stage import TOWER, ImageStage, ImageTraining, Names, embed, names_of
from retrieval.training.builtin.judge import class_report, judge_folder, labels_of
from retrieval.training.builtin.lesson import embedded
from retrieval.training.builtin.pictures import MEAN, STD
from retrieval.training.builtin.prepare import prepare
from retrieval.training.builtin.sentences import kept_apart, lesson, typed
from retrieval.training.builtin.teacher import SentenceTeacher
from retrieval.training.builtin.text_stage import (
    TextStage,
    TextTraining,
    fidelities,
    folded,
    tokenize,
    tower_for,
    warm_start,
)
from retrieval.training.export import export_towers, text_row
from retrieval.training.towers import ImageTower

BUILTIN = Path(str(files("retrieval.encoders"))) / "builtin"
"""The model shipped now: its merge table is kept, and its text tower is where the next one begins."""

PROMPTS = ("a photo of a {}.", "{}", "a picture of a {}", "a close-up photo of a {}")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)

DataOption = Annotated[Path, typer.Option("--data", help="Tiny ImageNet: the folder with train/ and val/.")]
ExtraOption = Annotated[Path | None, typer.Option("--extra", help="Folder of prepared collections.")]
WordNetOption = Annotated[Path, typer.Option("--wordnet", help="Folder with data.noun and index.noun.")]
TeacherOption = Annotated[Path, typer.Option("--teacher", help="Folder with MiniLM's model.safetensors.")]
WorkOption = Annotated[Path, typer.Option("--work", help="Folder for checkpoints and what is computed once.")]


@app.callback()
def begin() -> None:
    """Log to the screen; take the low priority of a job that runs for hours."""
    log_to_stderr(logging.INFO, "%(asctime)s %(message)s")
    os.nice(5)


@app.command("prepare")
def prepare_command(
    folder: Annotated[Path, typer.Argument(help="Pictures in a folder for each class, called by wnid or in words.")],
    out: Annotated[Path, typer.Option("--out", help="The collection's folder, below what --extra is given.")],
    at_most: Annotated[int, typer.Option("--at-most", help="Pictures of a class.")] = 1500,
    drawings: Annotated[bool, typer.Option("--drawings", help="Cut-outs: whole, on grounds of one colour.")] = False,
) -> None:
    """Make a collection for --extra of a folder of class folders."""
    done = prepare(folder, out, at_most=at_most, drawings=drawings)
    for path, reason in done.problems:
        logging.warning("%s: %s", path, reason)
    logging.info("%d pictures of %d classes; %d cannot be read", done.pictures, done.classes, len(done.problems))


@app.command()
def images(
    data: DataOption,
    teacher: TeacherOption,
    work: WorkOption,
    wordnet: WordNetOption = Path("/usr/share/wordnet"),
    extra: ExtraOption = None,
    minutes: Annotated[float, typer.Option("--minutes", help="How long to train in this run.")] = 120,
    decay: Annotated[float, typer.Option("--decay", help="Share of that time with a falling learning rate.")] = 0.2,
) -> None:
    """Train the image tower, from the checkpoint of the last run if there is one."""
    work.mkdir(parents=True, exist_ok=True)
    gathered = gather(data, extra, wordnet, work)
    names = names_of(gathered.vocabulary, SentenceTeacher(teacher).encode, 256)
    for collection, share in zip(gathered.train, gathered.shares, strict=True):
        classes = len(set(collection.names))
        logging.info("%s: %d pictures, %d classes, share %.3f", collection.name, len(collection), classes, share)
    logging.info("%d concepts, %d of them classes", len(gathered.vocabulary), _classes(gathered))
    training = ImageTraining(
        names, gathered.vocabulary, gathered.train, gathered.shares, gathered.columns, ImageStage(), work
    )
    training.run(minutes * 60, decay, lambda tower, table: report(tower, table, gathered))


def _classes(data: Data) -> int:
    return sum(concept.is_class for concept in data.vocabulary.concepts)


@app.command()
def texts(
    data: DataOption,
    teacher: TeacherOption,
    work: WorkOption,
    wordnet: WordNetOption = Path("/usr/share/wordnet"),
    extra: ExtraOption = None,
    minutes: Annotated[float, typer.Option("--minutes", help="How long to distil in this run.")] = 60,
    decay: Annotated[float, typer.Option("--decay", help="Share of that time with a falling learning rate.")] = 0.4,
    entries: Annotated[int, typer.Option("--entries", help="Definitions, and sentences, of the dictionary.")] = 20_000,
    phrases: Annotated[int, typer.Option("--phrases", help="Made-up search phrases.")] = 450_000,
) -> None:
    """Distil the text tower from the sentence encoder, from the checkpoint of the last run if there is one."""
    gathered = gather(data, extra, wordnet, work)
    written = lesson(gathered.wordnet, gathered.vocabulary, entries, phrases)
    own = len({text for concept in gathered.vocabulary.concepts for text in concept.texts()})
    logging.info("%d texts, %d of them the vocabulary's", len(written), own)
    encode = SentenceTeacher(teacher).encode
    targets = embedded(written, encode, work)
    tower = tower_for(BUILTIN / "merges.bin")
    tokenizer = ClipTokenizer(BUILTIN / "merges.bin", text_row(tower, BUILTIN / "merges.bin"))
    tokens = tokenize(written, tokenizer)
    warm_start(tower, BUILTIN / "text.safetensors", tokens, targets)
    common = torch.load(work / "decayed.pt", weights_only=True)["names"]["project.weight"]
    apart = {"typed": typed(), "apart": kept_apart(gathered.wordnet, gathered.vocabulary, written, 4000)}
    judged = {name: (tokenize(texts_, tokenizer), encode(texts_)) for name, texts_ in apart.items()}
    training = TextTraining(tower, tokens, targets, own, common, TextStage(), work)
    training.run(minutes * 60, decay, lambda average: fidelities(average, judged, common))


@app.command()
def export(
    data: DataOption,
    work: WorkOption,
    out: Annotated[Path, typer.Option("--out", help="Folder for the finished model.")],
    wordnet: WordNetOption = Path("/usr/share/wordnet"),
    extra: ExtraOption = None,
) -> None:
    """Write the model as photoseek ships it, and judge what was written on the validation pictures."""
    state = torch.load(work / "decayed.pt", weights_only=True)
    image = ImageTower(TOWER)
    image.load_state_dict(state["average"])
    text = tower_for(BUILTIN / "merges.bin")
    text.load_state_dict(torch.load(work / "text.pt", weights_only=True))
    parity = export_towers(
        image,
        folded(text, state["names"]["project.weight"]),
        out,
        merges=BUILTIN / "merges.bin",
        preprocessing=Preprocessing(TOWER.size, mean=MEAN, std=STD),
        name="builtin-64",
        licence="see MODEL_CARD.md",
        scale=min(float(state["names"]["log_scale"].exp()), 100.0),
        templates=PROMPTS,
        source="builtin",
    )
    logging.info("%s", parity)
    gathered = gather(data, extra, wordnet, work)
    for collection in gathered.validation:
        logging.info("%s %s", collection.name, judge_folder(out, collection, gathered))


@app.command()
def judge(
    data: DataOption,
    work: WorkOption,
    model: Annotated[Path, typer.Option("--model", help="Folder of a model in the form that photoseek runs.")],
    wordnet: WordNetOption = Path("/usr/share/wordnet"),
    extra: ExtraOption = None,
) -> None:
    """Figures of any model on the validation pictures, run as users run it."""
    gathered = gather(data, extra, wordnet, work)
    for collection in gathered.validation:
        logging.info("%s %s", collection.name, judge_folder(model, collection, gathered))


@torch.inference_mode()
def report(tower: ImageTower, names: Names, data: Data) -> dict[str, float]:
    """Figures on the validation pictures of every collection."""
    table: Tensor = names.ensemble()
    found: dict[str, float] = {}
    for collection in data.validation:
        classes, columns = data.class_columns(collection)
        seen = embed(tower, collection)
        figures = class_report(seen, table[columns], labels_of(collection, classes))
        found |= {f"{collection.name}/{key}": round(value, 4) for key, value in figures.items()}
    return found


def main() -> None:
    """Run the command line; errors are two lines, as everywhere."""
    program.begin()
    with program.errors_in_two_lines():
        program.begin_work()
        app()


if __name__ == "__main__":
    main()
