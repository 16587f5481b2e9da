from __future__ import annotations

import importlib.util
import json
import logging
import shutil
from pathlib import Path

import pytest

from retrieval.encoders.files.description import DESCRIPTION, hash_file, read_encoder_folder
from retrieval.encoders.installed import BUILTIN_FOLDER, default_encoder_name, folder_for, installed, models_folder
from retrieval.encoders.names.known_models import BUILTIN, CPU_DEFAULT
from retrieval.encoders.onnx.encoder import OnnxEncoder
from retrieval.encoders.onnx.int8 import int8_fingerprint
from retrieval.encoders.registry import load_encoder, load_encoder_by_fingerprint
from retrieval.errors import (
    EncoderMismatch,
    RuntimeUnavailable,
    SettingsError,
    UnknownEncoder,
    WeightsUnavailable,
)

DATACOMP = "ViT-B-32-256/datacomp_s34b_b86k"
RESEARCH = "MobileCLIP2-S0/dfndr2b"


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "models"
    monkeypatch.setenv("PHOTOSEEK_MODELS", str(folder))
    monkeypatch.delenv("PHOTOSEEK_PRECISION", raising=False)
    return folder


def install(name: str, folder: Path | None = None, fingerprint: str | None = None) -> Path:
    """A copy of the built-in files that calls itself ``name``."""
    folder = folder or folder_for(name)
    shutil.copytree(BUILTIN_FOLDER, folder)
    data = json.loads((folder / DESCRIPTION).read_text("utf-8"))
    data |= {
        "name": name,
        "source": "a test",
        "fingerprint": fingerprint or name.encode().hex()[:64].ljust(64, "0"),
    }
    (folder / DESCRIPTION).write_text(json.dumps(data), "utf-8")
    return folder


def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    missing = ("torch", "open_clip")
    monkeypatch.setattr("retrieval.encoders.registry.find_spec", lambda name: None if name in missing else found(name))


def test_models_folder(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert models_folder() == models
    monkeypatch.delenv("PHOTOSEEK_MODELS")
    assert models_folder().parts[-2:] == ("photoseek", "models")
    monkeypatch.setenv("PHOTOSEEK_MODELS", "~/m")
    assert models_folder() == Path.home() / "m"


def test_nothing_but_the_built_in_model_on_a_fresh_machine() -> None:
    assert [spec.name for spec in installed()] == [BUILTIN]
    assert default_encoder_name() == BUILTIN
    assert load_encoder("builtin").spec == load_encoder(BUILTIN).spec == installed()[0]


def test_installed_models_are_found_under_every_spelling() -> None:
    install(DATACOMP)
    assert [spec.name for spec in installed()] == [BUILTIN, DATACOMP]
    for name in (DATACOMP, DATACOMP.replace("/", ":"), DATACOMP.replace("/", "__"), DATACOMP.upper()):
        assert load_encoder(name).spec.name == DATACOMP


def test_the_default_is_the_preferred_installed_model() -> None:
    install(RESEARCH)
    install("my/own")
    assert default_encoder_name() == BUILTIN
    install("ViT-L-14/datacomp_xl_s13b_b90k")
    assert default_encoder_name() == "ViT-L-14/datacomp_xl_s13b_b90k"
    install(DATACOMP)
    assert default_encoder_name() == DATACOMP
    install(CPU_DEFAULT)
    assert default_encoder_name() == CPU_DEFAULT


def test_a_damaged_folder_is_left_out_of_the_list_and_named_when_asked_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    (install(DATACOMP) / "image.onnx").write_bytes(b"cut")
    with caplog.at_level(logging.WARNING, "photoseek"):
        assert [spec.name for spec in installed()] == [BUILTIN]
    assert "image.onnx is damaged" in caplog.text
    with pytest.raises(WeightsUnavailable, match=r"image\.onnx is damaged"):
        load_encoder(DATACOMP)


def test_a_folder_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = install("mine", tmp_path / "else" / "where")
    assert load_encoder(str(folder)).spec.source == str(folder)
    monkeypatch.chdir(tmp_path / "else")
    assert load_encoder("where").spec.source == str(folder)


def test_unknown_names_offer_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    without_torch(monkeypatch)
    install("my/own")
    for runtime in ("auto", "onnx"):
        with pytest.raises(UnknownEncoder) as caught:
            load_encoder("my/orn", runtime=runtime)  # type: ignore[arg-type]
        assert "my/own" in caught.value.hint
    for name in ("../up", "", ".hidden", "a*b"):
        with pytest.raises(UnknownEncoder):
            load_encoder(name)


def test_known_but_not_installed(monkeypatch: pytest.MonkeyPatch, models: Path) -> None:
    with pytest.raises(WeightsUnavailable, match=str(models)) as not_here:
        load_encoder(CPU_DEFAULT, runtime="onnx")
    assert f"photoseek models fetch {CPU_DEFAULT}" in not_here.value.hint
    with pytest.raises(WeightsUnavailable) as no_repo:
        load_encoder(RESEARCH, runtime="onnx")
    assert "fetch" not in no_repo.value.hint
    without_torch(monkeypatch)
    for name in (CPU_DEFAULT, "local-dir:/somewhere"):
        with pytest.raises(RuntimeUnavailable, match="torch") as no_torch:
            load_encoder(name)
        assert "photoseek[torch]" in no_torch.value.hint
    with pytest.raises(RuntimeUnavailable):
        load_encoder(CPU_DEFAULT, device="cuda")


def test_a_gpu_that_cannot_be_used_is_an_error_and_never_the_cpu_instead(models: Path) -> None:
    for device in ("cuda", "cuda:1"):
        with pytest.raises(RuntimeUnavailable, match=f"runs on the CPU only, but {device} was requested") as refused:
            load_encoder(BUILTIN, device=device)
        assert (refused.value.exit_code, "--model" in refused.value.hint) == (3, True)
    for device in ("gpu", "cuda:", "cudaX", "mps"):
        with pytest.raises(SettingsError, match="unknown device"):
            load_encoder(BUILTIN, device=device)
    assert load_encoder(BUILTIN, device="cpu").device.startswith("cpu")


def test_settings_are_checked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="runtime"):
        load_encoder(BUILTIN, runtime="jax")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="ONNX form"):
        load_encoder(BUILTIN, runtime="torch")
    with pytest.raises(SettingsError, match="precision"):
        load_encoder(BUILTIN, precision="int4")  # type: ignore[arg-type]
    monkeypatch.setenv("PHOTOSEEK_PRECISION", "fp33")
    with pytest.raises(SettingsError, match="fp33"):
        load_encoder(BUILTIN)


def test_precision_comes_from_the_argument_then_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setenv("PHOTOSEEK_PRECISION", "fp32")
    assert load_encoder(BUILTIN).device == "cpu (OpenVINO, fp32)"
    monkeypatch.setenv("PHOTOSEEK_PRECISION", "fp33")
    assert load_encoder(BUILTIN, precision="fp32").device == "cpu (OpenVINO, fp32)"


def test_threads_are_handed_on() -> None:
    encoder = load_encoder(BUILTIN, threads=3)
    assert isinstance(encoder, OnnxEncoder)
    assert encoder.streams == 3


def test_a_gallery_gets_the_model_of_its_fingerprint(tmp_path: Path) -> None:
    own = load_encoder(BUILTIN).spec.fingerprint
    assert load_encoder_by_fingerprint(own, BUILTIN).spec.name == BUILTIN
    install(DATACOMP, fingerprint="ab" * 32)
    assert load_encoder_by_fingerprint("ab" * 32, DATACOMP).spec.name == DATACOMP
    # The same model under another name, as an export of what torch indexed with is.
    assert load_encoder_by_fingerprint("ab" * 32, BUILTIN).spec.name == DATACOMP
    elsewhere = install("mine", tmp_path / "elsewhere", fingerprint="cd" * 32)
    assert load_encoder_by_fingerprint("cd" * 32, "mine", str(elsewhere)).spec.name == "mine"


def test_another_model_under_the_recorded_name_is_refused() -> None:
    install(DATACOMP, fingerprint="ab" * 32)
    with pytest.raises(EncoderMismatch) as caught:
        load_encoder_by_fingerprint("cd" * 32, DATACOMP)
    assert "cdcdcdcdcdcd" in caught.value.message
    assert "abababababab" in caught.value.message
    assert DATACOMP in caught.value.message
    assert "index" in caught.value.hint


@pytest.mark.parametrize("name", ["image.onnx", "text.safetensors", "merges.bin"])
def test_a_folder_that_claims_to_be_the_built_in_model_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PHOTOSEEK_MODELS", str(tmp_path))
    copy = tmp_path / "copy"
    shutil.copytree(BUILTIN_FOLDER, copy)
    shipped = load_encoder(BUILTIN).spec
    assert load_encoder(str(copy)).spec.fingerprint == shipped.fingerprint  # the same files are the same model
    content = bytearray((copy / name).read_bytes())
    content[-1] ^= 1
    (copy / name).write_bytes(content)
    described = json.loads((copy / "encoder.json").read_text(encoding="utf-8"))
    described["files"][name]["blake3"] = hash_file(copy / name)
    for claim in (shipped.fingerprint, int8_fingerprint(shipped.fingerprint)):
        (copy / "encoder.json").write_text(json.dumps(described | {"fingerprint": claim, "name": "mine"}))
        for asked in (str(copy), "mine", "copy"):
            with pytest.raises((WeightsUnavailable, UnknownEncoder), match=r"claims the fingerprint|no model"):
                load_encoder(asked, runtime="onnx")
        assert "mine" not in [spec.name for spec in installed()] and "claims the fingerprint" in caplog.text
    own = read_encoder_folder(copy).fingerprint_of_files()
    (copy / "encoder.json").write_text(json.dumps(described | {"fingerprint": own, "name": "mine"}))
    assert load_encoder("mine").spec.fingerprint == own != shipped.fingerprint
