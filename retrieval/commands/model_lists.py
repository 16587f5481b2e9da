"""The output and the questions of ``photoseek models`` and its subcommands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from retrieval.encoders.installed import default_encoder_name, installed, models_folder
from retrieval.encoders.names.known_models import MODELS, KnownModel
from retrieval.encoders.registry import load_on_torch
from retrieval.errors import SettingsError
from retrieval.output import human_bytes
from retrieval.streams import printable

if TYPE_CHECKING:
    from retrieval.encoders.base import EncoderSpec
    from retrieval.encoders.install.fetch import FetchPlan


def model_rows() -> list[dict[str, Any]]:
    """Every known model, installed ones first, as plain values."""
    here = {spec.name: spec for spec in installed()}
    default = default_encoder_name()
    rows = []
    for name in (*here, *(name for name in MODELS if name not in here)):
        spec, known = here.get(name), MODELS.get(name)
        rows.append(
            {
                "name": name,
                "installed": spec is not None,
                "default": name == default,
                **_facts(spec, known),
                "download_mb": 0 if spec is not None or known is None else known.download_mb,
                "fetch": spec is None and known is not None and bool(known.onnx_repo),
                "imagenet": known.imagenet if known else None,
                "coco": known.coco if known else None,
                "note": known.note if known else "",
            }
        )
    return rows


def _facts(spec: EncoderSpec | None, known: KnownModel | None) -> dict[str, Any]:
    """The data of an installed model itself, otherwise those of the table."""
    if spec is not None:
        size = spec.preprocessing.size
        return {"dim": spec.dim, "size": size, "licence": spec.licence, "has_text": spec.has_text}
    assert known is not None, "a listed model is installed or in the table"
    return {"dim": known.dim, "size": known.size, "licence": known.licence, "has_text": known.has_text}


def write_models(out: IO[str], *, as_json: bool = False) -> None:
    """Print the table of models."""
    rows = model_rows()
    if as_json:
        out.writelines(json.dumps(row) + "\n" for row in rows)
        return
    width = max(len(row["name"]) for row in rows)
    head = f"{'model':<{width}}  {'state':<11}{'dim':>5}{'px':>5}{'MB':>6}{'ImageNet':>10}{'COCO':>7}  licence"
    out.write(head + "\n")
    for row in rows:
        # "fetch": a ready export without torch; "torch": `models export`, or used directly if torch is installed.
        state = "default" if row["default"] else "installed" if row["installed"] else ""
        state = state or ("fetch" if row["fetch"] else "torch")
        figures = "".join(
            f"{'' if row[key] is None else row[key]:>{size}}" for key, size in (("imagenet", 10), ("coco", 7))
        )
        line = f"{row['name']:<{width}}  {state:<11}{row['dim']:>5}{row['size']:>5}{row['download_mb'] or '':>6}"
        kind = "" if row["has_text"] else "  (pictures only)"
        out.write(printable(f"{line}{figures}  {row['licence']}{kind}") + "\n")
    out.write(
        "\nfetch: photoseek models fetch NAME (no torch needed); torch: needs photoseek[torch].\n"
        "pictures only: for `photoseek similar --model NAME`; +cls, +gap or +cls+gap behind the name chooses the "
        "feature, @SIZE the pixels;\nany other of timm's models is timm:NAME.\n"
        "ImageNet: zero-shot top-1; COCO: text to image R@1; published figures in per cent, not measured here.\n"
        f"Installed models are in {printable(str(models_folder()))}.\n"
    )


def fetch_with_licence(name: str, err: IO[str], *, accepted: bool, weights: bool = False) -> Path:
    """Show licence and size, ask unless ``accepted``, download with a progress bar; returns the installed folder.

    Args:
        weights: fetch the original weights for torch instead of the form that works without it.

    Raises:
        SettingsError: there is no terminal to ask on.
        EncoderError: the user declined, or the download failed (finished parts are kept for the next try).
    """
    from retrieval.encoders.install.fetch import fetch_model, fetch_weights

    def ask(plan: FetchPlan) -> bool:
        asked = f"{plan.name}: {human_bytes(plan.bytes)} from {plan.repositories}, licence {plan.licence}"
        err.write(printable(asked) + "\n")
        if accepted:
            return True
        if not err.isatty():
            raise SettingsError("the licence was not accepted", "run it in a terminal, or add --yes")
        import typer

        return typer.confirm("Download under this licence?", err=True)

    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    with Progress(
        *Progress.get_default_columns()[:2],
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(file=err),
        disable=not err.isatty(),
    ) as bar:
        task = bar.add_task("download", total=None, start=False, visible=False)

        def show(done: int, total: int) -> None:
            bar.start_task(task)
            bar.update(task, completed=done, total=total, visible=True)

        if weights:
            return fetch_weights(name, accept_licence=ask, on_progress=show)
        return fetch_model(name, models_folder(), accept_licence=ask, on_progress=show)


def import_folder(folder: Path) -> Path:
    """Install a model from a folder in the layout of Immich's exports; returns the installed folder."""
    from retrieval.encoders.install.immich import import_immich_folder

    return import_immich_folder(folder, models_folder())


def export_model(name: str, into: Path | None) -> list[tuple[str, str]]:
    """Export a model on torch to ONNX, into the models folder; returns the parity report as (label, value) rows.

    Raises:
        EncoderError: the export differs from the original; nothing is installed then.
        RuntimeUnavailable: torch is not installed.
    """
    from retrieval.encoders.install.export import export_onnx

    report = export_onnx(load_on_torch(name, device="cpu"), into or models_folder())
    text = "no text tower" if report.text_difference is None else f"{report.text_difference:.1e}"
    return [
        ("installed in", str(report.folder)),
        ("size", human_bytes(sum(report.bytes.values()))),
        ("largest difference to torch, pictures", f"{report.image_difference:.1e} (allowed {report.gate:.0e})"),
        ("largest difference to torch, texts", text),
        ("time", f"{report.seconds:.0f} s"),
    ]
