"""Download models: ready ONNX exports for use without torch, or open_clip weights for torch.

The ONNX exports are those that Immich publishes as ``immich-app/MODEL__TAG``. This code follows their exporter
and loader and was tested with a local stand-in for the hub; it has never run against the real hub.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from retrieval.encoders.files.checks import write_atomically
from retrieval.encoders.files.safetensors_file import check_safetensors
from retrieval.encoders.files.staging import check_disk_space, folder_name, install, staging
from retrieval.encoders.install.immich import NEEDED, describe, import_immich_folder, wanted_files
from retrieval.encoders.names.hub import (
    Progress,
    RemoteFile,
    Repository,
    download,
    hub_cache,
    list_repository,
)
from retrieval.encoders.names.image_models import ImageForm, parse_image_name
from retrieval.encoders.names.known_models import MODELS
from retrieval.encoders.names.open_clip import QUICKGELU, find_tagged, split_name
from retrieval.encoders.names.open_clip_weights import (
    CONFIG,
    HF_HUB,
    SAFE_NAMES,
    UNKNOWN_LICENCE,
    hub_place,
    licence_of,
    tokenizer_repository,
)
from retrieval.encoders.names.timm import find_checkpoint
from retrieval.encoders.names.timm_weights import TIMM_CONFIG, hub_weights
from retrieval.encoders.registry import load_on_torch
from retrieval.errors import EncoderError, RetrievalError, SettingsError, UnknownEncoder, WeightsUnavailable

__all__ = [
    "FetchPlan",
    "fetch_model",
    "fetch_weights",
    "import_immich_folder",
    "plan_model",
    "plan_weights",
]

ORGANISATION = "immich-app"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "tokenizer.model")


@dataclass(frozen=True)
class FetchPlan:
    """What a fetch would download, to be shown to the user first.

    Args:
        name: of the model.
        licence: of its weights.
        parts: repositories at one commit, each with the files that are needed from it.
    """

    name: str
    licence: str
    parts: tuple[Repository, ...]

    @property
    def bytes(self) -> int:
        """Size of the whole download."""
        return sum(file.bytes for part in self.parts for file in part.files)

    @property
    def repositories(self) -> str:
        return ", ".join(part.name for part in self.parts)


AcceptLicence = Callable[[FetchPlan], bool]
"""Called with the plan before the download; False cancels the fetch."""


def fetch_model(
    name: str,
    models_folder: Path,
    *,
    accept_licence: AcceptLicence,
    on_progress: Progress | None = None,
    revision: str | None = None,
) -> Path:
    """Download a ready ONNX export into ``models_folder``; return the model's folder.

    An interrupted download is continued by the next call. The folder appears when it is complete and every
    file has the hash announced by the hub.

    Args:
        name: ``MODEL/TAG`` or ``ORG/MODEL__TAG``.
        accept_licence: called with the plan (licence, size); nothing is downloaded if it returns False.
        on_progress: called with (bytes downloaded, total bytes).
        revision: branch, tag or commit of the repository.

    If there is no ready export but torch is installed, the original weights are downloaded and exported here.

    Raises:
        UnknownEncoder: no such export on the hub, and torch, which could make one, is not installed.
        WeightsUnavailable: offline, no network, or files damaged in transfer.
        EncoderError: licence not accepted, disk too full, or an unsupported export.
    """
    try:
        plan = plan_model(name, revision=revision)
    except UnknownEncoder:
        if "__" in name or find_spec("torch") is None or find_spec("open_clip") is None:
            raise
        return _fetch_and_export(name, models_folder, accept_licence, on_progress)
    _ask(plan, accept_licence)
    (part,) = plan.parts
    with staging(models_folder, plan.name, resume_key=part.commit[:16]) as folder:
        check_disk_space(models_folder, plan.bytes - _present(folder))
        _download_all(plan, {part.name: folder}, on_progress)
        try:
            describe(folder, name=plan.name, source=f"{part.name}@{part.commit}", licence=plan.licence)
        except RetrievalError:
            # Every file has its announced hash, so another try would fetch the same files and fail again.
            shutil.rmtree(folder)
            raise
        return install(folder, models_folder / folder_name(plan.name))


def plan_model(name: str, *, revision: str | None = None) -> FetchPlan:
    """Find a ready export on the hub, without downloading it. Raises like :func:`fetch_model`."""
    refusal: UnknownEncoder | None = None
    for repository in export_repositories(name):
        try:
            found = list_repository(repository, revision)
        except UnknownEncoder as error:
            refusal = refusal or error
            continue
        if missing := sorted(set(NEEDED) - {file.name for file in found.files}):
            raise EncoderError(
                f"{repository} is no export of a CLIP model: it lacks {', '.join(missing)}",
                "use another model",
            )
        wanted = set(wanted_files(file.name for file in found.files))
        part = Repository(repository, found.commit, tuple(f for f in found.files if f.name in wanted))
        canonical = "/".join(split_name(name.rpartition("/")[2] if "__" in name else name))
        return FetchPlan(canonical, licence_of(canonical), (part,))
    raise UnknownEncoder(
        f"there is no ready ONNX export of {name} on the hub" + (f" ({refusal})" if refusal else ""),
        f"with torch installed (photoseek[torch]), `photoseek models fetch {name}` makes one from the weights",
    )


def export_repositories(name: str) -> list[str]:
    """Possible repositories of an export of this model: published names keep or drop ``-quickgelu``, and write some
    tags with ``-`` instead of ``_`` (``ViT-B-32__laion2b-s34b-b79k``, but ``ViT-B-32__laion2b_e16``)."""
    if name.startswith(HF_HUB) or parse_image_name(name) is not None:
        return []
    if "/" in name and "__" in name:
        return [name]
    model, tag = split_name(name)
    row = MODELS.get(f"{model}/{tag}")
    models = dict.fromkeys((model, model.removesuffix(QUICKGELU)))
    tags = dict.fromkeys((tag, tag.replace("_", "-")))
    guesses = [f"{ORGANISATION}/{m}__{t}" for m in models for t in tags]
    return list(dict.fromkeys([*([row.onnx_repo] if row and row.onnx_repo else []), *guesses]))


def fetch_weights(name: str, *, accept_licence: AcceptLicence, on_progress: Progress | None = None) -> Path:
    """Download safetensors weights, configuration and tokenizer of a model for torch into the hub's cache.

    Args:
        name: ``MODEL/TAG``, ``hf-hub:ORG/REPO``, or an image-only model (``image_models``).
        accept_licence, on_progress: see :func:`fetch_model`.

    Returns:
        The snapshot folder with the weights.

    Raises:
        UnknownEncoder, WeightsUnavailable, RuntimeUnavailable, EncoderError: like :func:`fetch_model`; also
            if the repository has only pickles.
    """
    plan = plan_weights(name)
    _ask(plan, accept_licence)
    folders = {part.name: _snapshot(part) for part in plan.parts}
    check_disk_space(hub_cache(), plan.bytes - sum(map(_present, folders.values())))
    _download_all(plan, folders, on_progress)
    for part in plan.parts:
        for file in part.files:
            if file.name.endswith(".safetensors"):
                check_safetensors(folders[part.name] / file.name)
        # Last: until refs/main names the commit, nobody opens an incomplete snapshot.
        refs = folders[part.name].parent.parent / "refs"
        refs.mkdir(exist_ok=True)
        write_atomically(refs / "main", part.commit)
    return folders[plan.parts[0].name]


def plan_weights(name: str) -> FetchPlan:
    """The plan that :func:`fetch_weights` would download. Raises like it."""
    form = parse_image_name(name)
    if form is not None:
        return _plan_image_weights(form)
    weights: tuple[str, ...] = SAFE_NAMES
    if name.startswith(HF_HUB):
        repository = name.removeprefix(HF_HUB)
        others: list[tuple[str, tuple[str, ...]]] = []
    else:
        tagged = find_tagged(name)
        name = tagged.name
        repository, weights = hub_place(tagged.tag_cfg)
        if not repository:
            raise WeightsUnavailable(
                f"{name} is not on the hub as safetensors",
                "download it by hand, convert it, and give local-dir:FOLDER",
            )
        text = tagged.model_cfg["text_cfg"]
        others = [(r, TOKENIZER_FILES) for r in [tokenizer_repository(tagged.model_cfg)] if r]
        others += [(text["hf_model_name"], ("config.json",))] if text.get("hf_model_name") else []
    main = list_repository(repository)
    chosen = next((w for w in weights if any(f.name == w for f in main.files)), None)
    if chosen is None:
        raise WeightsUnavailable(
            f"{repository} has none of {', '.join(weights)}",
            "it only has pickles, which are never loaded; convert them on a machine where you trust them",
        )
    parts = {repository: _chosen(main, (chosen, CONFIG, TIMM_CONFIG, *TOKENIZER_FILES))}
    for other, names in others:
        listed = list_repository(other)
        before = parts.get(other)
        both = [*names, *(f.name for f in before.files)] if before else names
        parts[other] = _chosen(listed, both)
    return FetchPlan(name, licence_of(name), tuple(parts.values()))


def _fetch_and_export(
    name: str, models_folder: Path, accept_licence: AcceptLicence, on_progress: Progress | None
) -> Path:
    fetch_weights(name, accept_licence=accept_licence, on_progress=on_progress)
    from retrieval.encoders.install.export import export_onnx

    return export_onnx(load_on_torch(name, device="cpu"), models_folder).folder


def _plan_image_weights(form: ImageForm) -> FetchPlan:
    """One file: pooling and size are our settings, and the classifier is not used."""
    if form.path:
        raise SettingsError(f"{form.name} names a file of yours", "leave out the =, or use the model directly")
    checkpoint, record = find_checkpoint(form.checkpoint)
    repository, names = hub_weights(record)
    if not repository:
        raise WeightsUnavailable(f"timm names no hub repository for {checkpoint}", f"give {form.name}=FILE")
    main = list_repository(repository)
    part = _chosen(main, names)
    if not part.files:
        raise WeightsUnavailable(
            f"{repository} has none of {', '.join(names)}",
            "it only has pickles, which are never loaded; convert them on a machine where you trust them",
        )
    licence = form.row.licence if form.row else str(record.get("license") or UNKNOWN_LICENCE)
    return FetchPlan(form.name, licence, (part,))


def _chosen(repository: Repository, names: Iterable[str]) -> Repository:
    wanted = set(names)
    return Repository(repository.name, repository.commit, tuple(f for f in repository.files if f.name in wanted))


def _snapshot(part: Repository) -> Path:
    folder = hub_cache() / f"models--{part.name.replace('/', '--')}" / "snapshots" / part.commit
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _ask(plan: FetchPlan, accept_licence: AcceptLicence) -> None:
    if not accept_licence(plan):
        raise EncoderError(
            f"the licence of {plan.name} ({plan.licence}) was not accepted; nothing was downloaded",
            "choose a model whose licence suits you: photoseek models",
        )


def _download_all(plan: FetchPlan, folders: dict[str, Path], on_progress: Progress | None) -> None:
    done = 0

    def report(file: RemoteFile) -> Callable[[int], None]:
        before = done
        return lambda here: on_progress(before + here, plan.bytes) if on_progress else None

    for part in plan.parts:
        for file in part.files:
            download(part, file, folders[part.name] / file.name, report(file))
            done += file.bytes


def _present(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
