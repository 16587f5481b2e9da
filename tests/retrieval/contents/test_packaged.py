"""Networks that packages ship: what is missing, or is another file, is told with the command that installs it."""

from __future__ import annotations

from types import ModuleType

import pytest

from retrieval.contents.packaged import PackagedFile
from retrieval.errors import EncoderError, RuntimeUnavailable
from retrieval.faces import models as faces
from retrieval.reading import models as reading


@pytest.mark.parametrize(
    ("models", "extra"), [(faces, "photoseek[cpu,faces]"), (reading, "photoseek[cpu,ocr]")], ids=["faces", "reading"]
)
def test_missing_packages_and_other_files_are_told_with_the_command(models: ModuleType, extra: str) -> None:
    packaged = models.PACKAGED
    with pytest.raises(RuntimeUnavailable, match="packages that are not installed") as told:
        packaged._replace(packages=(packaged.holder, "no_such_package")).check_installed()
    assert extra in told.value.hint
    for wrong in (packaged, packaged._replace(holder="no_such_package")):
        for name in (*(file.name for file in vars(models).values() if isinstance(file, PackagedFile)), "none.onnx"):
            with pytest.raises(EncoderError, match="missing or another one") as failed:
                wrong.file(PackagedFile(name, "0" * 64))
            assert extra in failed.value.hint


@pytest.mark.parametrize("models", [faces, reading], ids=["faces", "reading"])
def test_known_files_are_found(models: ModuleType) -> None:
    if not models.PACKAGED.are_installed():
        pytest.skip(f"needs {' and '.join(models.PACKAGED.packages)}")
    files = [file for file in vars(models).values() if isinstance(file, PackagedFile)]
    assert len(files) == 2
    assert all(models.PACKAGED.file(file).is_file() for file in files)
