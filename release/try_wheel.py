"""Install a wheel into an environment of its own, and use it from a folder that is not the checkout.

``make wheel`` builds the wheel and runs this. Only what the wheel says it needs is installed beside it, so a dependency
that it does not name, or a file of the page that it lacks, is found.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import venv
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import urlopen

ROOT = Path(__file__).parent.parent
PACKAGES = ("cli.py", "indexes", "retrieval")
PIP = ("-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", "install")


def main(wheel: str, lock: str = "") -> None:
    compare(Path(wheel))
    with TemporaryDirectory(prefix="photoseek-wheel-") as folder:
        place = Path(folder)
        venv.create(place / "venv", with_pip=True, symlinks=os.name == "posix")
        programs = place / "venv" / ("Scripts" if os.name == "nt" else "bin")
        chosen = versions(Path(lock), place / "versions.txt") if lock else []
        user = User(place, programs)
        user.runs("python", *PIP, *chosen, wheel)
        told = user.runs("photoseek", "search", "a dog", status=(1, 2, 3, 4, 5)).stderr
        assert "Traceback" not in told, told
        user.runs("python", *PIP, *chosen, f"{wheel}[cpu,web]")
        user.runs("python", "-m", "pip", "check")
        use(user, Path(wheel).name.split("-")[1])
    print(f"{wheel} works in an environment of its own")


class User:
    """Somebody in a folder of their own, who has a home without anything in it, and the programs of an environment."""

    def __init__(self, place: Path, programs: Path) -> None:
        self.folder, self.programs = place / "work", programs
        self.folder.mkdir()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PHOTOSEEK"))}
        homes = {name: str(place / "home") for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR")}
        kept.pop("VIRTUAL_ENV", None)
        if (
            "PIP_CACHE_DIR" not in kept and "HOME" in kept
        ):  # files that pip has downloaded before are not downloaded again
            kept["PIP_CACHE_DIR"] = str(Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "pip")
        self.environment = {**kept, **homes, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
        (place / "home").mkdir(mode=0o700)

    def runs(self, program: str, *words: str, status: tuple[int, ...] = (0,)) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment; end everything if its exit code is another one."""
        command = [str(self.programs / program), *words]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode not in status:
            sys.exit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done


def compare(wheel: Path) -> None:
    """End everything unless the wheel has each file of the packages, and nothing else."""
    places = [ROOT / name for name in PACKAGES]
    files = {each for place in places for each in (place.rglob("*") if place.is_dir() else [place]) if each.is_file()}
    known = {each.relative_to(ROOT).as_posix() for each in files if each.parent.name != "__pycache__"}
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    if known != packed:
        sys.exit(f"not in the wheel: {sorted(known - packed)}\nin the wheel only: {sorted(packed - known)}")


def versions(lock: Path, target: Path) -> list[str]:
    """pip's arguments for the versions of a lock file. Its hashes cannot be asked of what a wheel's metadata names."""
    target.write_text("\n".join(re.findall(r"^[\w.-]+==[^\s;]+", lock.read_text(encoding="utf-8"), re.MULTILINE)))
    return ["-c", str(target)]


def use(user: User, version: str) -> None:
    """The demo, a search and the page, as the README shows them."""
    where = user.runs("python", "-c", "import cli, indexes, retrieval; print(cli.__file__, retrieval.__file__)").stdout
    assert all(Path(each).is_relative_to(user.programs.parent) for each in where.split()), where
    assert version in user.runs("photoseek", "--version").stdout
    shutil.copytree(ROOT / "examples", user.folder / "examples")
    demo = user.runs("python", "examples/demo.py").stdout
    assert "recall@5" in demo and "dog.jpg" in demo, demo
    user.runs("photoseek", "index", "examples/photos")
    hits = user.runs("photoseek", "search", "a dog", "--json", "-n", "3").stdout.splitlines()
    assert any(json.loads(hit)["path"].endswith("dog.jpg") for hit in hits), hits
    see_page(user)


def see_page(user: User) -> None:
    """The page, every file that it names, and a search; then the server ends in peace when it is told to."""
    command = [str(user.programs / "photoseek"), "serve", "--port", "0"]
    server = subprocess.Popen(command, cwd=user.folder, env=user.environment, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    with server:
        try:
            said = ""
            while (found := re.search(r"http://[0-9.:]+", said)) is None:
                line = server.stderr.readline()
                said += line
                assert line, said
            page = read(found[0])
            for name in re.findall(r"""(?:src|href)="(/static/[^"#]+)""", page):
                assert read(found[0] + name), name
            assert json.loads(read(f"{found[0]}/api/v1/search?q=a+dog&k=3"))["hits"]
        finally:
            server.send_signal(signal.SIGTERM)
    assert server.returncode == 0, server.returncode


def read(url: str) -> str:
    with urlopen(url, timeout=60) as answer:
        text: str = answer.read().decode()
    return text


if __name__ == "__main__":
    main(*sys.argv[1:])
