"""Networks shipped by a package from PyPI: whether it is installed, and its files, which are known by their hashes."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from retrieval.errors import EncoderError, RuntimeUnavailable


class PackagedFile(NamedTuple):
    """A file of networks: its name, and the SHA-256 of its bytes in hex."""

    name: str
    sha256: str


class PackagedNetworks(NamedTuple):
    """Where networks come from.

    Attributes:
        version: stored with what they find: the networks, and the version of the code around them. What was found by
            another version is done again.
        holder: the package with the files, in its folder ``models``.
        packages: all packages needed, the holder included.
        install: the command that installs them.
        purpose: what they are needed for, before "by packages that are not installed".
    """

    version: str
    holder: str
    packages: tuple[str, ...]
    install: str
    purpose: str

    def are_installed(self) -> bool:
        """True if all packages are installed; nothing is imported."""
        return all(find_spec(name) is not None for name in self.packages)

    def check_installed(self) -> None:
        """Raise RuntimeUnavailable with the command that installs them, unless :meth:`are_installed`."""
        if not self.are_installed():
            raise RuntimeUnavailable(f"{self.purpose} by packages that are not installed", self.install)

    def file(self, file: PackagedFile) -> Path:
        """The path of a file.

        Raises:
            EncoderError: it is missing or has another hash.
        """
        found = find_spec(self.holder)
        for place in [] if found is None else list(found.submodule_search_locations or ()):
            path = Path(place) / "models" / file.name
            if path.is_file():
                if hashlib.sha256(path.read_bytes()).hexdigest() != file.sha256:
                    break
                return path
        problem = f"the file {file.name} of {self.holder} is missing or another one"
        raise EncoderError(problem, f"run: {self.install}")
