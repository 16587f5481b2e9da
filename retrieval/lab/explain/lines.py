"""The report as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from retrieval.lab.explain.cells import HeatMap
from retrieval.streams import plural

_POOLS = {
    "cls": "the class token",
    "mean": "the mean of the patch tokens",
    "map": "attention of one learned query over all tokens",
}
_POSITIONS = {
    "learned": "learned",
    "sincos": "fixed sines and cosines",
    "rope": "none: queries and keys are rotated by their place (RoPE)",
    "learned+rope": "learned, and queries and keys rotated by their place (RoPE)",
}


def report_lines(report: Mapping[str, Any], heat: HeatMap | None = None) -> Iterator[str]:
    """The whole report, one section after the other."""
    for title, rows in sections(report):
        yield ""
        yield title
        width = max((len(label) for label, _ in rows), default=0)
        for label, text in rows:
            yield f"  {label:<{width}}  {text}".rstrip()
    if heat is not None:
        yield ""
        yield "heat map"
        yield from (f"  {line}" for line in heat_lines(heat))


def sections(report: Mapping[str, Any]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """(title, rows of label and text) of each section that is not empty."""
    yield report["model"], list(_record(report))
    if "image" in report:
        yield "picture to tokens", list(_tokens(report["image"], report.get("masking")))
        yield "encoder", list(_encoder(report["image"]))
    if "grid" in report:
        grid = report["grid"]
        stride = f"{grid['size']} / {grid['size'] / grid['grid']:g} = {grid['grid']}"
        body = f"{stride}; {grid['grid']} x {grid['grid']} = {grid['tokens']} positions of a convolutional body"
        yield "picture to tokens", [("tokens", body)]
    if "text" in report:
        yield "text tower", list(_text(report["text"]))
    yield f"parameters and arithmetic ({report['counted']})", list(_costs(report))
    if report.get("patch_sizes"):
        yield "other patch sizes, same encoder", list(_patch_sizes(report["patch_sizes"]))
    if report.get("resolutions"):
        yield "resolution", list(_resolutions(report["resolutions"]))
    if "training" in report:
        yield "training", list(_training(report["training"]))
    if report["figures"]:
        yield "published accuracies (per cent; not measured here)", list(_figures(report["figures"]))


def heat_lines(heat: HeatMap) -> Iterator[str]:
    """A description of a heat map."""
    yield f"{heat.method}: {heat.meaning}"
    if heat.score is not None:
        yield f"cosine of picture and text: {heat.score:.3f}"
    row, column = divmod(int(heat.values.argmax()), heat.values.shape[1])
    yield (
        f"largest at row {row + 1}, column {column + 1} of {heat.values.shape[0]} x {heat.values.shape[1]} "
        f"({heat.values.max():.3g}; smallest {heat.values.min():.3g})"
    )
    yield f"limits: {heat.limits}"
    yield f"source: {heat.source}"


def _record(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "family", report["family"]
    yield "licence", report["licence"]
    if "stands_on" in report:
        yield "stands on", f"{report['stands_on']}: a linear map behind its embeddings; what follows is the base"
    if "missing" in report:
        yield "not installed", report["missing"]
    prepared = report.get("preprocessing")
    if prepared is not None:
        size, scaled = prepared["size"], prepared.get("resize_to") or prepared["size"]
        how = (
            f"both sides scaled to {scaled}"
            if prepared["resize"] == "squash"
            else f"shorter side scaled to {scaled}, the centre {size} x {size} kept"
        )
        mean, std = ("/".join(f"{value:.3f}" for value in prepared[key]) for key in ("mean", "std"))
        yield "preprocessing", f"{how} ({prepared['interpolation']}); mean {mean}, std {std}"
    if "measured" in report:
        speed = report["measured"]
        how = f"{speed['device']}, {speed['callers']} x batch {speed['batch']}, {speed['seconds']:.1f} s"
        yield "measured here", f"{speed['images_per_second']:.1f} img/s on {how}; decoding not counted"


def _tokens(image: Mapping[str, Any], masking: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    grid, size, patch = image["grid"], image["size"], image["patch"]
    yield "patches", f"{size} / {patch} = {grid}; {grid} x {grid} = {image['patches']} patches"
    prefix = [name for name, there in (("class token", image["class_token"]),) if there]
    prefix += [plural(image["registers"], "register")] if image["registers"] else []
    yield "tokens", f"{image['tokens']} ({image['patches']} patches{''.join(f' + {each}' for each in prefix)})"
    weights, bias = image["patch_projection"]["weights"], image["patch_projection"]["bias"]
    tail = f"and {bias:,} more" if image["stem_convolutions"] else f"bias {bias:,}" if bias else "no bias"
    if image["stem_convolutions"]:
        how = f"{plural(image['stem_convolutions'], 'convolution')} to {image['width']} channels"
    else:
        how = f"{patch} x {patch} x 3 x {image['width']}"
    yield "patch projection", f"{how} = {weights:,} parameters, {tail}"
    positions = image["positions"]
    kind = _POSITIONS[positions["kind"]]
    counted = f": {plural(positions['rows'], 'row')} of {image['width']} = {positions['parameters']:,} parameters"
    resized = f", resized from those for {positions['trained_size']} px" if "trained_size" in positions else ""
    yield "positions", kind + (counted if positions["rows"] else "") + resized
    if masking is not None:
        seen = f"{masking['visible']} seen, {masking['encoder_tokens']} tokens in its encoder"
        yield "masking in training", f"{masking['share']:.0%}: {masking['masked']} patches hidden, {seen}"


def _encoder(image: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    heads = "heads not known"
    if image["heads"]:
        heads = f"{plural(image['heads'], 'head')} of {image['width'] // image['heads']}"
    gated = " (gated: SwiGLU)" if image["gated"] else ""
    blocks = f"{plural(image['layers'], 'block')} of width {image['width']}"
    yield "size", f"{blocks}, {heads}, perceptron {image['hidden']:,}{gated}"
    yield "embedding", f"{_POOLS[image['pooling']]}, {image['dim']} numbers"


def _text(text: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    sees = "each token sees those before it" if text["causal"] else "each token sees every other"
    yield "size", f"{plural(text['layers'], 'block')} of width {text['width']}, {plural(text['heads'], 'head')}; {sees}"
    yield "tokens", f"{text['context']} at most, of a vocabulary of {text['vocabulary']:,}"


def _costs(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for tower, name in (("image", "image tower"), ("text", "text tower")):
        if tower not in report["totals"]:
            continue
        whole = report["totals"][tower]
        flops = f", {_gflops(whole['flops'] / 1e9)}" if whole["flops"] else ""
        yield name, f"{whole['parameters']:,} parameters{flops}"
        for part in report["parts"]:
            if part["tower"] == tower:
                share = part["flops"] / whole["flops"] if whole["flops"] else 0
                flops = f"{part['flops'] / 1e9:9.3f} GFLOPs {share:6.1%}" if part["flops"] else ""
                yield f"  {part['part']}", f"{part['parameters']:>13,} {flops}"


def _patch_sizes(rows: list[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for row in rows:
        between = f"attention between tokens {_times(row['attention'])}"
        alone = f"over patches alone {_times(row['over_patches'])}"
        whole = f"all blocks {_times(row['encoder'])}, the whole tower {_times(row['tower'])}"
        gflops = _gflops(row["gflops"])
        yield f"patch {row['patch']}", f"{row['tokens']} tokens; {between} ({alone}); {whole}: {gflops}"


def _gflops(value: float) -> str:
    return f"{value:,.0f} GFLOPs" if value >= 1000 else f"{value:.3g} GFLOPs"


def _times(ratio: float) -> str:
    return f"x {ratio:.2f}" if ratio >= 1 else f"/ {1 / ratio:.2f}"


def _resolutions(rows: list[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for row in rows:
        own = " (its own)" if row["ratio"] == 1 else ""
        yield f"{row['size']} px", f"{row['tokens']} tokens, {_gflops(row['gflops'])}, {_times(row['ratio'])}{own}"


def _training(recipe: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "loss", recipe["loss"]
    if recipe["temperature"]:
        yield "temperature", recipe["temperature"]
    for fact in recipe["facts"]:
        yield "", fact
    yield "source", recipe["source"]


def _figures(figures: list[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for figure in figures:
        yield figure["what"], f"{figure['value']:g}  ({figure['source']})"
    for protocol in dict.fromkeys(figure["protocol"] for figure in figures):
        yield "protocol", protocol
