"""Zero-shot classification of picture files, in a gallery or not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from indexes.base import Vectors
from retrieval.encoders.base import Encoder
from retrieval.errors import QueryError, RetrievalError, UnknownImage
from retrieval.gallery import Gallery
from retrieval.labels.reading import Predicted
from retrieval.labels.tagging import best_labels, check_choice, chosen_templates
from retrieval.labels.zeroshot import class_vectors, probabilities, scale_and_bias
from retrieval.paths import parse_picture
from retrieval.pictures.picture_file import encode_file
from retrieval.undone import OF_THE_ITEM, Refused


@dataclass(frozen=True)
class Classified:
    """A picture file and its labels, most probable first; or the reason why there are none."""

    path: str
    labels: tuple[Predicted, ...]
    error: str = ""


def classify(
    encoder: Encoder,
    pictures: Sequence[str | Path | Classified],
    labels: Sequence[str],
    templates: str | Sequence[str] = "model",
    *,
    top: int = 0,
    refused: Refused | None = None,
) -> Iterator[Classified]:
    """The probabilities of labels for picture files, file by file.

    They are those of :mod:`retrieval.labels.zeroshot`: over all ``labels`` together, even if only the first are
    returned.

    Args:
        pictures: files; and targets already refused (by :func:`files_of`), which are passed through.
        labels: see ``vocabulary.read_labels``.
        templates: the templates, or a choice for ``zeroshot.find_templates``.
        top: how many labels per picture, 0 for all.
        refused: called with a file that cannot be read, which then gets no labels; without it, an error is raised.

    Raises:
        QueryError: too few labels, or (when its turn comes) a file that cannot be read.
        UnreadableImage: a file that is not a picture.
        TextNotSupported: the encoder has no text tower.
    """
    check_choice(labels, encoder)
    if top < 0:
        raise QueryError(f"cannot give {top} labels", "ask for 1 or more, or 0 for all (--top)")
    prompts = chosen_templates(templates, encoder)
    scale, bias = scale_and_bias(encoder.spec)
    count = min(top, len(labels)) or len(labels)
    classes: Vectors | None = None
    for picture in pictures:
        if isinstance(picture, Classified):
            yield picture
            continue
        try:
            vector = encode_file(encoder, Path(picture))
        except OF_THE_ITEM as error:
            yield _refused(str(picture), error, refused)
            continue
        if classes is None:  # after a first picture: a misspelt path is reported before seconds of text encoding
            classes = class_vectors(encoder, labels, prompts)
        believed = probabilities(vector[None] @ classes.T, scale, bias)
        best = best_labels(believed, count)[0].tolist()
        yield Classified(str(picture), tuple(Predicted(labels[at], float(believed[0, at])) for at in best))


def files_of(
    gallery: Gallery, pictures: Sequence[str], refused: Refused | None = None
) -> list[str | Path | Classified]:
    """Paths of pictures from command-line targets: a path unchanged, ``id:12`` as the path of that gallery picture.

    Args:
        refused: called with an id that the gallery does not have, which is returned with its error and no labels;
            without it, an error is raised.

    Raises:
        UnknownImage: the gallery has no picture of this id.
        GalleryNotFound: an id was given and there is no gallery.
    """
    parsed: list[Path | int | Classified] = []
    for text in pictures:
        try:
            parsed.append(parse_picture(text))
        except OF_THE_ITEM as error:
            parsed.append(_refused(text, error, refused))
    paths: dict[int, str] = {}
    if wanted := [picture for picture in parsed if isinstance(picture, int)]:
        with gallery.reader() as reader:
            paths = {record.id: record.path for record in reader.records(wanted)}
    files: list[str | Path | Classified] = []
    for picture in parsed:
        if not isinstance(picture, int):
            files.append(picture)
        elif picture in paths:
            files.append(paths[picture])
        else:
            what = f"there is no image {picture} in this gallery"
            unknown = UnknownImage(what, "use an id from a search with --json")
            files.append(_refused(f"id:{picture}", unknown, refused))
    return files


def _refused(name: str, error: RetrievalError, refused: Refused | None) -> Classified:
    if refused is None:
        raise error
    refused(name, error)
    return Classified(name, (), error.message)
