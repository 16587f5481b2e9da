"""The table of models that photoseek knows by name. Contains only data: nothing is imported, opened or requested.

Sizes are open_clip's and timm's (GFLOP counts two per multiply-add, image tower only). Accuracies are published
figures, for orientation: ``imagenet`` is zero-shot top-1, ``coco`` text-to-image R@1 on COCO's 5,000 test images, both
in per cent and as reported in ``anchor_source``. None of them was measured by photoseek.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from retrieval.encoders.names.image_models import IMAGE_MODELS, ImageModel, parse_image_name
from retrieval.errors import TextNotSupported, UnknownEncoder

BUILTIN = "builtin-224"
EARLIER_BUILTINS = ("builtin-64",)
"""Former names of the built-in model. They are aliases of today's; the fingerprint determines which version a gallery
was built with."""
MIT, APACHE = "MIT", "Apache-2.0"
APPLE, NON_COMMERCIAL = "apple-amlr", "CC-BY-NC-4.0"
_RESEARCH_ONLY = frozenset({APPLE, NON_COMMERCIAL})  # DINOv3's own licence allows products

Source = Literal["builtin", "open_clip", "timm"]


@dataclass(frozen=True)
class KnownModel:
    """One model.

    Args:
        name: ``MODEL/TAG`` as open_clip spells both, ``builtin-224``, or a name of ``image_models``.
        family: determines the advice given, never the computation.
        source: where it comes from: ships with photoseek, ``open_clip`` (model and tag are in the name), or ``timm``.
        licence: of the weights, as an SPDX name if there is one.
        dim: embedding dimension.
        size: side of the square input, pixels.
        context: maximal number of tokens in a text, including both end tokens; 0 for image-only models.
        gflops: of the image tower, for one image.
        image_params, text_params: in millions.
        imagenet, coco: published accuracies, see the module.
        anchor_source: the source of these two.
        onnx_repo: hub repository with a ready ONNX pair, "" if none is known.
        note: shown to users who choose a model.
    """

    name: str
    family: str
    source: Source
    licence: str
    dim: int
    size: int
    context: int
    gflops: float
    image_params: float
    text_params: float
    imagenet: float | None = None
    coco: float | None = None
    anchor_source: str = ""
    onnx_repo: str = ""
    note: str = ""

    @property
    def has_text(self) -> bool:
        """False for image-only encoders."""
        return self.context > 0

    @property
    def research_only(self) -> bool:
        """True if the licence does not allow use in a product: never a default."""
        return self.licence in _RESEARCH_ONLY

    @property
    def download_mb(self) -> int:
        """Megabytes of float32 weights, as stored on the hub; 0 for the model that ships with photoseek."""
        return 0 if self.source == "builtin" else round(4 * (self.image_params + self.text_params))


_OPEN_CLIP = "open_clip docs: openclip_results.csv, openclip_retrieval_results.csv"
_APPLE = "apple/ml-mobileclip: results/*.jsonl"
_BIG_VISION = "google-research/big_vision: README_siglip2.md"
_META = "facebookresearch/perception_models: apps/pe/README.md"


def _clip(name: str, licence: str, *sizes: float, **more: str) -> KnownModel:
    return _row(name, "clip", licence, 77, sizes, _OPEN_CLIP, more)


def _siglip(name: str, *sizes: float, **more: str) -> KnownModel:
    family = "siglip2" if "SigLIP2" in name else "siglip"
    return _row(name, family, APACHE, 64, sizes, _BIG_VISION if family == "siglip2" else _OPEN_CLIP, more)


def _mobileclip(name: str, *sizes: float) -> KnownModel:
    return _row(name, "mobileclip", APPLE, 77, sizes, _APPLE, {"note": "research use only"})


def _pe(name: str, *sizes: float, **more: str) -> KnownModel:
    return _row(name, "pe", APACHE, 32, sizes, _META, more)


def _row(
    name: str,
    family: str,
    licence: str,
    context: int,
    sizes: tuple[float, ...],
    source: str,
    more: dict[str, str],
) -> KnownModel:
    """Sizes: dim, pixels, image and text parameters (millions), GFLOP, ImageNet, COCO; 0: not published."""
    dim, pixels, image, text, gflops, imagenet, coco = sizes
    return KnownModel(
        name=name,
        family=family,
        source="open_clip",
        licence=licence,
        dim=int(dim),
        size=int(pixels),
        context=context,
        gflops=gflops,
        image_params=image,
        text_params=text,
        imagenet=imagenet or None,
        coco=coco or None,
        anchor_source=source if imagenet or coco else "",
        onnx_repo=f"immich-app/{more['immich']}" if "immich" in more else "",
        note=more.get("note", ""),
    )


def _image_only(model: ImageModel) -> KnownModel:
    return KnownModel(
        name=model.name,
        family=model.family,
        source="timm",
        licence=model.licence,
        dim=model.dim,
        size=model.size,
        context=0,
        gflops=model.gflops,
        image_params=model.params,
        text_params=0.0,
        note=model.note,
    )


_MULTILINGUAL = "multilingual"
_ROWS = (
    KnownModel(
        BUILTIN, "clip", "builtin", "photoseek", 384, 224, 32, 0.9, 6.5, 7.5, note="small; ships with photoseek"
    ),
    _siglip("ViT-B-32-SigLIP2-256/webli", 768, 256, 94.6, 282.3, 11.5, 74.0, 47.2,
            immich="ViT-B-32-SigLIP2-256__webli", note="recommended on a CPU; multilingual"),
    _clip("ViT-B-32-256/datacomp_s34b_b86k", MIT, 512, 256, 87.9, 63.4, 11.5, 72.8, 39.9,
          note="small text tower, fastest cold queries"),
    _clip("ViT-B-32/datacomp_xl_s13b_b90k", MIT, 512, 224, 87.8, 63.4, 8.8, 69.2, 37.1),
    _clip("ViT-B-32/laion2b_s34b_b79k", MIT, 512, 224, 87.8, 63.4, 8.8, 66.6, 39.3,
          immich="ViT-B-32__laion2b-s34b-b79k"),
    _clip("ViT-B-32-quickgelu/openai", MIT, 512, 224, 87.8, 63.4, 8.8, 63.3, 30.4, immich="ViT-B-32__openai"),
    _clip("xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k", MIT, 512, 224, 87.8, 278.0, 8.8, 0, 0,
          immich="XLM-Roberta-Base-ViT-B-32__laion5b_s13b_b90k", note=_MULTILINGUAL),
    _mobileclip("MobileCLIP2-S0/dfndr2b", 512, 256, 11.4, 63.4, 4.8, 71.5, 43.7),
    _mobileclip("MobileCLIP2-S2/dfndr2b", 512, 256, 35.8, 63.4, 15.7, 77.2, 48.8),
    _mobileclip("MobileCLIP2-B/dfndr2b", 512, 224, 86.3, 63.4, 35.4, 79.4, 49.9),
    _mobileclip("MobileCLIP2-S3/dfndr2b", 768, 256, 125.2, 123.7, 29.6, 80.7, 50.9),
    _mobileclip("MobileCLIP2-S4/dfndr2b", 768, 256, 321.8, 123.7, 55.5, 81.9, 51.5),
    _clip("ViT-B-16/datacomp_xl_s13b_b90k", MIT, 512, 224, 86.2, 63.4, 35.1, 73.5, 40.2),
    _clip("ViT-B-16-quickgelu/openai", MIT, 512, 224, 86.2, 63.4, 35.1, 0, 0, immich="ViT-B-16__openai"),
    _clip("ViT-B-16/laion2b_s34b_b88k", MIT, 512, 224, 86.2, 63.4, 35.1, 0, 0),
    _clip("ViT-B-16-quickgelu/dfn2b", APPLE, 512, 224, 86.2, 63.4, 35.1, 76.2, 43.4,
          note="research use only"),
    _siglip("ViT-B-16-SigLIP/webli", 768, 224, 92.9, 110.3, 35.4, 76.0, 47.8,
            immich="ViT-B-16-SigLIP__webli"),
    _siglip("ViT-B-16-SigLIP2/webli", 768, 224, 92.9, 282.3, 35.4, 78.2, 52.1,
            immich="ViT-B-16-SigLIP2__webli", note=_MULTILINGUAL),
    _siglip("ViT-B-16-SigLIP2-256/webli", 768, 256, 92.9, 282.3, 46.8, 79.1, 53.2,
            note="strong CPU or small GPU; multilingual"),
    _siglip("ViT-B-16-SigLIP-i18n-256/webli", 768, 256, 92.9, 278.0, 46.8, 0, 0,
            immich="ViT-B-16-SigLIP-i18n-256__webli", note=_MULTILINGUAL),
    _siglip("ViT-B-16-SigLIP-256/webli", 768, 256, 92.9, 110.3, 46.8, 0, 0,
            immich="ViT-B-16-SigLIP-256__webli"),
    _pe("PE-Core-T-16-384/meta", 512, 384, 6.1, 63.4, 9.5, 62.1, 33.0),
    _pe("PE-Core-S-16-384/meta", 512, 384, 23.8, 63.4, 31.3, 72.7, 42.6),
    _pe("PE-Core-B-16/meta", 1024, 224, 93.7, 354.0, 35.6, 78.4, 50.9),
    _clip("ViT-L-14-quickgelu/openai", MIT, 768, 224, 304.0, 123.7, 162.0, 75.5, 36.5,
          immich="ViT-L-14__openai"),
    _clip("ViT-L-14-336-quickgelu/openai", MIT, 768, 336, 304.3, 123.7, 381.9, 76.6, 37.1,
          immich="ViT-L-14-336__openai"),
    _clip("ViT-L-14/datacomp_xl_s13b_b90k", MIT, 768, 224, 304.0, 123.7, 162.0, 79.2, 45.7),
    _clip("ViT-L-14/laion2b_s32b_b82k", MIT, 768, 224, 304.0, 123.7, 162.0, 0, 0,
          immich="ViT-L-14__laion2b-s32b-b82k"),
    _clip("ViT-L-14-quickgelu/dfn2b", APPLE, 768, 224, 304.0, 123.7, 162.0, 81.4, 48.6,
          immich="ViT-L-14-quickgelu__dfn2b", note="research use only"),
    _siglip("ViT-L-16-SigLIP-256/webli", 1024, 256, 316.0, 336.2, 162.6, 0, 0,
            immich="ViT-L-16-SigLIP-256__webli"),
    _siglip("ViT-L-16-SigLIP-384/webli", 1024, 384, 316.3, 336.2, 383.9, 0, 0,
            immich="ViT-L-16-SigLIP-384__webli"),
    _siglip("ViT-L-16-SigLIP2-256/webli", 1024, 256, 316.0, 565.6, 162.6, 82.5, 54.7,
            immich="ViT-L-16-SigLIP2-256__webli", note="multilingual, on a GPU"),
    _siglip("ViT-L-16-SigLIP2-384/webli", 1024, 384, 316.3, 565.6, 383.9, 83.1, 55.3,
            immich="ViT-L-16-SigLIP2-384__webli", note=_MULTILINGUAL),
    _pe("PE-Core-L-14-336/meta", 1024, 336, 317.2, 354.0, 384.4, 83.5, 57.1,
        note="recommended on a GPU; captions over 32 tokens are cut"),
    _siglip("ViT-SO400M-14-SigLIP-384/webli", 1152, 384, 428.2, 449.7, 670.3, 0, 0,
            immich="ViT-SO400M-14-SigLIP-384__webli"),
    _siglip("ViT-SO400M-16-SigLIP2-256/webli", 1152, 256, 427.9, 707.8, 220.5, 0, 0,
            immich="ViT-SO400M-16-SigLIP2-256__webli", note=_MULTILINGUAL),
    _siglip("ViT-SO400M-16-SigLIP2-384/webli", 1152, 384, 428.3, 707.8, 518.9, 84.1, 56.0,
            immich="ViT-SO400M-16-SigLIP2-384__webli", note=_MULTILINGUAL),
    _clip("ViT-H-14/laion2b_s32b_b79k", MIT, 1024, 224, 632.1, 354.0, 334.6, 78.0, 49.5,
          immich="ViT-H-14__laion2b-s32b-b79k"),
    _clip("xlm-roberta-large-ViT-H-14/frozen_laion5b_s13b_b90k", MIT, 1024, 224, 632.1, 559.9, 334.6, 0, 0,
          immich="XLM-Roberta-Large-ViT-H-14__frozen_laion5b_s13b_b90k", note=_MULTILINGUAL),
    _clip("ViT-H-14-378-quickgelu/dfn5b", APPLE, 1024, 378, 632.7, 354.0, 1007.0, 84.4, 55.6,
          immich="ViT-H-14-378-quickgelu__dfn5b", note="research use only"),
    _mobileclip("MobileCLIP2-L-14/dfndr2b", 768, 224, 304.0, 123.7, 162.0, 0, 0),
    *(_image_only(model) for model in IMAGE_MODELS.values()),
)  # fmt: skip

MODELS: Mapping[str, KnownModel] = MappingProxyType({row.name: row for row in _ROWS})
"""By name, cheapest families first, image-only models last."""

CPU_DEFAULT = "ViT-B-32-SigLIP2-256/webli"

PREFERENCE: tuple[str, ...] = (
    CPU_DEFAULT,
    "ViT-B-32-256/datacomp_s34b_b86k",
    "ViT-B-32/datacomp_xl_s13b_b90k",
    "ViT-B-32/laion2b_s34b_b79k",
    "xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k",
    "ViT-B-16-SigLIP2-256/webli",
    "ViT-B-16-SigLIP2/webli",
    "ViT-B-16-SigLIP/webli",
    "ViT-B-16/datacomp_xl_s13b_b90k",
    "PE-Core-S-16-384/meta",
    "PE-Core-B-16/meta",
    "ViT-B-32-quickgelu/openai",
    "PE-Core-T-16-384/meta",
)
"""The order in which installed models are considered as the default: first those suited to a CPU, by COCO recall for
their cost, then the rest of the table. Research-only licences are never chosen."""


def canonical_name(name: str) -> str:
    """``MODEL/TAG`` for ``MODEL:TAG``, ``MODEL__TAG`` (as in folder names) and ``MODEL/TAG``; others unchanged.

    ``local-dir:PATH`` and ``hf-hub:ORG/REPO`` are open_clip's own forms and are not changed. Image-only models have
    another form, see ``image_models``.

    Raises:
        SettingsError: an image-only model with an invalid pooling or size.
    """
    name = name.strip()
    form = parse_image_name(name)
    if form is not None:
        return form.name
    if "/" in name or re.match(r"(local-dir|hf-hub):", name):
        return name
    return name.replace("__" if "__" in name else ":", "/", 1)


def is_builtin(name: str) -> bool:
    """True if a name, current or former, means the model that ships with photoseek."""
    return name.casefold() in ("builtin", BUILTIN, *EARLIER_BUILTINS)


def unknown_encoder(name: str, also: tuple[str, ...] = ()) -> UnknownEncoder:
    """The error for an unknown name, with the nearest names in the table and in ``also``."""
    import difflib  # only needed for this error, and every query imports this module

    names = {known.casefold(): known for known in (*MODELS, *also)}
    near = difflib.get_close_matches(canonical_name(name).casefold(), names, n=3, cutoff=0.5)
    offered = ", ".join(names[each] for each in near)
    return UnknownEncoder(
        f"no model is called {name!r}",
        f"did you mean {offered}? `photoseek models` lists all" if offered else "`photoseek models` lists all",
    )


def is_known_image_only(name: str) -> bool:
    """True if the name alone shows that there is no text tower; False also if only its files would show it."""
    return parse_image_name(name) is not None


def text_not_supported(name: str, hint: str = "") -> TextNotSupported:
    """The error for text given to an image-only model; ``hint`` may name a model that the gallery has."""
    return TextNotSupported(
        f"{name} encodes pictures only: it cannot search by words",
        hint or f"photoseek similar PHOTO works; for words: photoseek index --model {BUILTIN} (or {CPU_DEFAULT})",
    )
