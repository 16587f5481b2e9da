"""JPEGs decoded on a device: all steps but the device itself, run by torch on the CPU, compared with the usual way."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")
pytest.importorskip("torchvision")

import torch

from indexes.base import Vectors
from retrieval.catalog.batch import FailedImage, IndexedImage
from retrieval.catalog.reader import CatalogReader
from retrieval.catalog.writer import Catalog
from retrieval.commands import app as application
from retrieval.encoders.base import Pixels, Preprocessing
from retrieval.encoders.registry import load_encoder
from retrieval.errors import RuntimeUnavailable, SettingsError, UnreadableImage
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.indexing.known_bytes import KnownBytes
from retrieval.indexing.pipeline import Pipeline
from retrieval.pictures import device_images
from retrieval.pictures.device_images import DecodedOn, DeviceDecoder, device_decoder
from retrieval.pictures.images import Picture, read_picture
from tests.conftest import EXAMPLES
from tests.fakes import ColourEncoder
from tests.pictures import save_picture
from tests.retrieval.indexing.test_pipeline import candidates, outcomes
from tests.retrieval.pictures.test_colour import DISPLAY_P3, rgb_profile
from tests.retrieval.pictures.test_preprocessing_parity import name, natural, saved

pytestmark = pytest.mark.torch
cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
INPUT = Preprocessing(128)
FAMILIES = [
    INPUT,
    Preprocessing(192, "squash"),
    Preprocessing(192, "squash", "bilinear"),
    Preprocessing(160, resize_to=192),
]


class WideEncoder(ColourEncoder):
    """A ColourEncoder whose pictures are large enough for a device, with the schedule of one."""

    def __init__(self) -> None:
        super().__init__(streams=1, batch_size=16)
        object.__setattr__(self.spec, "preprocessing", INPUT)

    def encode_images(self, pixels: Pixels) -> Vectors:
        return super().encode_images(pixels[:, :, ::8, ::8])


def read(data: bytes, preprocessing: Preprocessing = INPUT) -> tuple[Picture, Picture, DecodedOn]:
    """By way of the device, and as always."""
    decoder = DeviceDecoder(preprocessing, "cpu")
    (found,) = decoder.read([data])
    assert isinstance(found, Picture)
    return found, read_picture(data, preprocessing), decoder.taken()


def difference(found: Picture, wanted: Picture) -> int:
    """The largest, in grey levels."""
    return int(np.abs(found.pixels.astype(int) - wanted.pixels).max())


def bits_between(one: Picture, other: Picture) -> int:
    return (int.from_bytes(one.phash[:8], "big") ^ int.from_bytes(other.phash[:8], "big")).bit_count()


def without(data: bytes, marker: int) -> bytes:
    """A JPEG with all segments of one kind taken out."""
    at, kept = 2, data[:2]
    while data[at + 1] != 0xDA:
        length = 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        kept += b"" if data[at + 1] == marker else data[at : at + length]
        at += length
    return kept + data[at:]


@pytest.mark.parametrize("preprocessing", FAMILIES, ids=name)
@pytest.mark.parametrize("size", [(641, 480), (333, 500), (97, 64), (50, 41), (897, 1044), (96, 96)])
def test_pixels_are_those_of_pillow(size: tuple[int, int], preprocessing: Preprocessing) -> None:
    found, wanted, taken = read(saved(natural(*size), "JPEG", quality=90), preprocessing)
    assert taken == DecodedOn("cpu", 1, {})
    assert difference(found, wanted) <= 2
    assert (found.pixels.shape, found.pixels.dtype) == (wanted.pixels.shape, np.uint8)
    assert found._replace(pixels=wanted.pixels, phash=wanted.phash, colour=wanted.colour) == wanted
    assert max(abs(a - b) for a, b in zip(found.colour.to_bytes(3), wanted.colour.to_bytes(3), strict=True)) <= 1
    assert bits_between(found, wanted) <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_as_their_exif_says(orientation: int) -> None:
    found, wanted, taken = read(saved(natural(301, 200), "JPEG", orientation, quality=92))
    assert taken.pictures == 1
    assert difference(found, wanted) <= 2
    assert (found.width, found.height, found.exif) == (wanted.width, wanted.height, wanted.exif)
    assert bits_between(found, wanted) <= 2


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"progressive": True}, id="progressive"),
        pytest.param({"subsampling": "4:4:4"}, id="444"),
        pytest.param({"icc_profile": rgb_profile(DISPLAY_P3, 2.2)}, id="Display P3"),
    ],
)
def test_what_jpegs_come_with(options: dict[str, object]) -> None:
    found, wanted, taken = read(saved(natural(300, 200), "JPEG", quality=90, **options))
    assert taken.pictures == 1
    assert difference(found, wanted) <= 3  # a profile may stretch a difference


def test_grey_pictures() -> None:
    found, wanted, taken = read(saved(natural(300, 200).convert("L"), "JPEG", quality=90))
    assert taken.pictures == 1
    assert difference(found, wanted) <= 1
    assert np.array_equal(found.pixels[0], found.pixels[2])


def test_large_photos_agree_with_the_cpus_reduced_decoding() -> None:
    found, wanted, taken = read(saved(natural(2047, 1331), "JPEG", 6, quality=92))
    assert taken.pictures == 1
    error = found.pixels.astype(float) - wanted.pixels
    assert 10 * np.log10(255**2 / (error**2).mean()) > 45
    assert bits_between(found, wanted) <= 2


def test_embeddings_are_the_same_but_for_rounding() -> None:
    """On the trained built-in model; this is why they share a fingerprint with those of the CPU's decoder."""
    encoder = load_encoder("builtin-224")
    files = [path.read_bytes() for path in sorted(EXAMPLES.rglob("*.jpg"))[:24]]
    decoder = DeviceDecoder(encoder.spec.preprocessing, "cpu")
    found = [picture.pixels for picture in decoder.read(files) if isinstance(picture, Picture)]
    wanted = [read_picture(data, encoder.spec.preprocessing).pixels for data in files]
    assert decoder.taken() == DecodedOn("cpu", 24, {})
    one, other = (encoder.encode_images(np.stack(pixels)) for pixels in (found, wanted))
    assert (one * other).sum(1).min() > 0.999


JPEG = saved(natural(200, 150), "JPEG", quality=90)


def as_ink() -> bytes:
    return saved(natural(200, 150).convert("CMYK"), "JPEG")


LEFT: dict[str, Callable[[], bytes]] = {
    "not a JPEG": lambda: saved(natural(60, 50), "PNG"),
    "not in YCbCr or grey": as_ink,
    "a rare kind of JPEG": lambda: JPEG.replace(b"\xff\xc0", b"\xff\xc9", 1),  # arithmetic coding
    "cut short": lambda: JPEG[: len(JPEG) // 2],
    "damaged": lambda: b"not a picture",
    "the device's decoder refused it": lambda: without(JPEG, 0xDB),  # without tables
    "too long or too large to be resized whole": lambda: saved(natural(1400, 40), "JPEG"),
    "too many pixels": lambda: saved(Image.new("L", (8000, 6300)), "JPEG"),
}


@pytest.mark.parametrize("reason", LEFT)
def test_what_is_left_to_the_cpu_is_read_there_and_counted_and_harms_no_neighbour(reason: str) -> None:
    data = LEFT[reason]()
    decoder = DeviceDecoder(INPUT, "cpu")
    before, found, after = decoder.read([JPEG, data, JPEG])
    assert decoder.taken() == DecodedOn("cpu", 2, {reason: 1})
    assert isinstance(before, Picture) and isinstance(after, Picture)
    assert np.array_equal(before.pixels, after.pixels)
    try:
        wanted: Picture | UnreadableImage = read_picture(data, INPUT)
    except UnreadableImage as error:
        wanted = error
    if isinstance(wanted, Picture):
        assert isinstance(found, Picture) and np.array_equal(found.pixels, wanted.pixels)
    else:
        assert isinstance(found, UnreadableImage) and found.reason == wanted.reason


def test_jpegs_in_rgb_are_left_to_the_cpu() -> None:
    out = io.BytesIO()
    natural(200, 150).save(out, "JPEG", keep_rgb=True)
    _, _, taken = read(out.getvalue())
    assert taken.left_to_cpu == {"not in YCbCr or grey": 1}


def test_models_with_tiny_pictures_are_left_to_the_cpu() -> None:
    _, _, taken = read(JPEG, Preprocessing(32))
    assert taken == DecodedOn("cpu", 0, {"the model's pictures are too small for the perceptual hash": 1})


def test_pictures_are_decoded_so_many_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    groups: list[int] = []
    real = DeviceDecoder._on_device

    def counting(self: DeviceDecoder, files: list[bytes], passes: object) -> object:
        groups.append(len(files))
        return real(self, files, passes)  # type: ignore[arg-type]

    decoder = DeviceDecoder(INPUT, "cpu")
    monkeypatch.setattr(DeviceDecoder, "_on_device", counting)
    monkeypatch.setattr(device_images, "DEVICE_PIXELS", 2 * 200 * 150)
    pictures = decoder.read([JPEG] * 5)
    assert groups == [2, 2, 1]
    assert len({picture.pixels.tobytes() for picture in pictures if isinstance(picture, Picture)}) == 1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """40 files: JPEGs, some PNGs, and broken ones of several kinds."""
    place = tmp_path / "many"
    for number in range(40):
        suffix = "png" if number % 5 == 4 else "jpg"
        path = save_picture(place / f"{number:02}.{suffix}", ("red", "green", "blue")[number % 3], seed=number)
        if number % 9 == 3:
            data, kind = path.read_bytes(), number // 9
            path.write_bytes(without(data, 0xDB) if kind == 3 else (b"", b"text", data[: len(data) // 2])[kind % 4])
    return place


@pytest.mark.parametrize("held", [1, 32 << 20])
def test_the_same_rows_in_the_same_order_as_without(
    folder: Path, tmp_path: Path, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.indexing.pipeline.HELD_BYTES", held)
    Catalog(tmp_path / "catalog.sqlite").close()
    files, encoder = candidates(folder, sorted(path.name for path in folder.iterdir())), WideEncoder()
    decoder = DeviceDecoder(INPUT, "cpu")

    def rows(decoder: DeviceDecoder | None) -> list[IndexedImage | FailedImage]:
        pipeline = Pipeline(
            encoder, KnownBytes(partial(CatalogReader, tmp_path / "catalog.sqlite"), 1), workers=3, decoder=decoder
        )
        return outcomes(list(pipeline.run(files, stop=lambda: False)))

    found, wanted = rows(decoder), rows(None)
    assert [row.name for row in found] == [row.name for row in wanted] == [file.name for file in files]
    taken = decoder.taken()
    assert taken.pictures + sum(taken.left_to_cpu.values()) == 40
    assert taken.pictures > 20
    assert sum(isinstance(row, FailedImage) for row in wanted) == 5
    for one, other in zip(found, wanted, strict=True):
        if isinstance(one, FailedImage):
            assert one == other
        else:
            assert isinstance(other, IndexedImage)
            assert (one.content_hash, one.metadata.format) == (other.content_hash, other.metadata.format)
            vectors = [np.frombuffer(row.vector, np.float16).astype(np.float32) for row in (one, other)]
            np.testing.assert_allclose(*vectors, atol=5e-3)


def test_a_run_says_what_was_decoded_where_and_keeps_that(gallery: Gallery, folder: Path) -> None:
    report = Indexer(gallery, WideEncoder(), decoder=DeviceDecoder(INPUT, "cpu")).run(folder)
    assert report.decoded_on is not None
    assert report.decoded_on.pictures == 28
    assert report.decoded_on.left_to_cpu["not a JPEG"] == 7
    assert report.as_dict()["decoded_on"] == vars(report.decoded_on)
    again = Indexer(gallery, WideEncoder(), decoder=DeviceDecoder(INPUT, "cpu")).run(folder)
    assert again.decoded_on == DecodedOn("cpu", 0, {})
    assert "decoded_on" not in Indexer(gallery, WideEncoder()).run(folder).as_dict()


def test_a_gpu_that_is_not_there_is_said_before_any_work() -> None:
    with pytest.raises(SettingsError, match=re.escape("runs on cpu (fake)")) as refused:
        device_decoder(ColourEncoder())
    assert "--device cuda" in refused.value.hint
    if not torch.cuda.is_available():
        with pytest.raises(RuntimeUnavailable, match="cannot be decoded on cuda") as missing:
            DeviceDecoder(INPUT, "cuda")
        assert len(str(missing.value).splitlines()) == 2


def test_the_command_says_what_was_decoded_where(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["photoseek", "index", str(folder), "--gallery", str(tmp_path / "g"), "--model", "builtin-224"]
    monkeypatch.setattr("sys.argv", [*arguments, "--device", "cpu", "--gpu-decode"])
    with pytest.raises(SystemExit) as stopped:
        application.run()
    assert stopped.value.code == SettingsError.exit_code
    what, to_do = capsys.readouterr().err.splitlines()
    assert "builtin-224 runs on cpu" in what and "--device cuda" in to_do
    assert not (tmp_path / "g").exists()
    preprocessing = load_encoder("builtin-224").spec.preprocessing
    monkeypatch.setattr(device_images, "device_decoder", lambda _: DeviceDecoder(preprocessing, "cpu"))
    with pytest.raises(SystemExit) as stopped:
        application.run()
    assert not stopped.value.code
    said = re.search(r"decoded on cpu +28; decoded on the CPU: (.*)", capsys.readouterr().err)
    assert said is not None and "7 not a JPEG" in said[1] and "1 the device's decoder refused it" in said[1]


@cuda
@pytest.mark.gpu
def test_on_a_gpu_pixels_and_hashes_agree_with_the_cpu() -> None:
    files = [path.read_bytes() for path in sorted(EXAMPLES.rglob("*.jpg"))]
    decoder = DeviceDecoder(Preprocessing(224), "cuda")
    found = [picture for picture in decoder.read(files) if isinstance(picture, Picture)]
    wanted = [read_picture(data, Preprocessing(224)) for data in files]
    assert len(found) == len(wanted) == decoder.taken().pictures
    for one, other in zip(found, wanted, strict=True):
        error = one.pixels.astype(float) - other.pixels
        assert 10 * np.log10(255**2 / (error**2).mean()) > 28
        assert bits_between(one, other) <= 5
