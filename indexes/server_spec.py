"""The specification of an index that a server keeps: its address and kind in one line, without secrets.

::

    milvus:///srv/photos/vectors.db?index=HNSW&M=16          milvus-lite, in this process
    milvus+http://vectors.example:19530/team?index=IVF_SQ8   a server or cluster, database "team"
    milvus+https://host?prefix=archive                       with TLS, names that begin with "archive"
    pgvector://photos@db.example:5432/photos?sslmode=require PostgreSQL; "pgvector" alone: as libpq's variables say

What is left out has a default. Passwords and tokens are refused here, because a specification is stored and shown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from indexes.errors import SpecError
from indexes.spec import IndexSpec

MARK = "://"
"""What only specifications of servers contain."""

_PREFIX = re.compile(r"[a-z][a-z0-9_]{0,23}")
_DATABASE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}")
_HOST = re.compile(r"[A-Za-z0-9._:-]{1,253}")
_TLS = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


@dataclass(frozen=True)
class Method:
    """A kind of index in a server.

    Args:
        limits: its parameters, as the server names them -> (least, most, default).
        knob: the field of ``Effort`` that it obeys; "" for none.
    """

    limits: dict[str, tuple[int, int, int]]
    knob: str = ""


_GRAPH = {"M": (4, 256, 16), "efConstruction": (8, 512, 200)}
MILVUS_METHODS = {
    "AUTOINDEX": Method({}),
    "FLAT": Method({}),
    "HNSW": Method(_GRAPH, "ef_search"),
    "IVF_FLAT": Method({"nlist": (1, 65_536, 1024)}, "nprobe"),
    "IVF_SQ8": Method({"nlist": (1, 65_536, 1024)}, "nprobe"),
    "DISKANN": Method({}),
}
PGVECTOR_METHODS = {
    "FLAT": Method({}),
    "HNSW": Method({"m": (2, 100, 16), "ef_construction": (4, 1000, 128)}, "ef_search"),
}


@dataclass(frozen=True)
class ServerSpec(IndexSpec):
    """Where an index lives and of which kind it is.

    Args:
        address: scheme, host, port, database or path; never a password.
        method: the server's own name of the kind of index.
        parameters: those of ``method``: (name, value), in the server's order.
        prefix: the beginning of all names in the server.
        tls: PostgreSQL's ``sslmode``; "" for the default. (Milvus has it in the scheme.)
    """

    address: str = ""
    method: str = ""
    parameters: tuple[tuple[str, int], ...] = ()
    prefix: str = "photoseek"
    tls: str = ""

    def __str__(self) -> str:
        asked = [("index", self.method), *self.parameters]
        asked += [("prefix", self.prefix)] if self.prefix != "photoseek" else []
        asked += [("sslmode", self.tls)] if self.tls else []
        return f"{self.address}?" + "&".join(f"{name}={value}" for name, value in asked)

    @property
    def place(self) -> SplitResult:
        """The parts of the address."""
        return urlsplit(self.address)

    @property
    def path(self) -> str:
        """The address's path, decoded: a folder, or the name of a database."""
        return unquote(self.place.path)

    @property
    def is_exact(self) -> bool:
        """Whether the server compares a query with every vector at full precision."""
        return self.method == "FLAT" and self.codec == "Flat"

    @property
    def knobs(self) -> tuple[str, ...]:
        """The fields of ``Effort`` that affect this kind of index."""
        knob = _methods(self.family)[self.method].knob
        return (knob,) if knob else ()

    def check_dim(self, dim: int) -> None:
        """Raise SpecError unless vectors of dimension ``dim`` can be stored this way."""
        super().check_dim(dim)
        most = 4000 if self.family == "pgvector" and self.method == "HNSW" else 16_000
        if dim > most:
            raise SpecError(f"'{self}' takes vectors of at most {most:,} numbers, not {dim:,}", "use another kind")

    def parameter(self, name: str) -> int:
        """The value of one of the method's parameters."""
        return dict(self.parameters)[name]


def parse_milvus(text: str) -> ServerSpec | None:
    """See the module. None if the text is not an address of Milvus; raises SpecError if it is a wrong one."""
    parts = urlsplit(text.strip())
    if parts.scheme not in ("milvus", "milvus+http", "milvus+https"):
        return None
    _check_secrets(parts)
    if parts.scheme == "milvus":
        path = unquote(parts.path)
        if parts.netloc or not path.endswith(".db") or "\0" in path:
            raise SpecError(
                f"'{text}' names no file of milvus-lite",
                "give three slashes and a path that ends with .db: milvus:///srv/photos/vectors.db",
            )
        address = f"milvus://{quote(path)}"
    else:
        database = _database(parts, text)
        address = f"{parts.scheme}://{_host(parts, text)}" + (f"/{database}" if database else "")
    method, parameters, rest = _asked(parts, MILVUS_METHODS, "AUTOINDEX", ("prefix",))
    return ServerSpec(
        "milvus", "Flat", cells=dict(parameters).get("nlist", 0), address=address, method=method,
        parameters=parameters, prefix=_prefix(rest),
    )  # fmt: skip


def parse_pgvector(text: str) -> ServerSpec | None:
    """See the module. None if the text is not an address of pgvector; raises SpecError if it is a wrong one."""
    text = text.strip()
    parts = urlsplit("pgvector://" if text.lower() == "pgvector" else text)
    if parts.scheme != "pgvector":
        return None
    _check_secrets(parts)
    host = _host(parts, text) if parts.hostname else ""
    database = _database(parts, text)
    user = f"{quote(unquote(parts.username))}@" if parts.username else ""
    address = f"pgvector://{user}{host}" + (f"/{database}" if database else "")
    method, parameters, rest = _asked(parts, PGVECTOR_METHODS, "HNSW", ("prefix", "sslmode"))
    tls = rest.get("sslmode", "")
    if tls and tls not in _TLS:
        raise SpecError(f"'{tls}' is no sslmode", f"one of {', '.join(_TLS)}")
    return ServerSpec(
        "pgvector", "SQfp16", address=address, method=method, parameters=parameters, prefix=_prefix(rest), tls=tls
    )


def _methods(family: str) -> dict[str, Method]:
    return MILVUS_METHODS if family == "milvus" else PGVECTOR_METHODS


def _check_secrets(parts: SplitResult) -> None:
    # The text itself is not repeated: messages end in logs.
    if parts.password or (parts.username and parts.scheme != "pgvector") or parts.fragment:
        raise SpecError(
            f"the address {parts.scheme}://{parts.hostname or ''} contains a secret, which would be stored and shown",
            "leave it out: tokens are read from PHOTOSEEK_MILVUS_TOKEN or a file, passwords from PGPASSWORD or .pgpass",
        )


def _host(parts: SplitResult, text: str) -> str:
    try:
        port = parts.port
    except ValueError:
        port = -1
    host = parts.hostname or ""
    if not _HOST.fullmatch(host) or port == -1:
        raise SpecError(f"'{text}' names no server", "give host and port: milvus+http://localhost:19530")
    name = f"[{host}]" if ":" in host else host
    return name if port is None else f"{name}:{port}"


def _database(parts: SplitResult, text: str) -> str:
    name = unquote(parts.path).strip("/")
    if name and not _DATABASE.fullmatch(name):
        raise SpecError(f"'{text}' names no database", "letters, digits, _ and -: milvus+http://localhost:19530/photos")
    return name


def _asked(
    parts: SplitResult, methods: dict[str, Method], usual: str, others: tuple[str, ...]
) -> tuple[str, tuple[tuple[str, int], ...], dict[str, str]]:
    """The method, its parameters, and the values of ``others`` that are given."""
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    method = given.pop("index", usual).upper()
    if method not in methods:
        raise SpecError(f"'{method}' is no kind of index there", f"one of {', '.join(methods)}")
    limits = methods[method].limits
    values = {name: usual for name, (_, _, usual) in limits.items()}
    for name, text in given.items():
        if name in limits:
            least, most, _ = limits[name]
            if not (text.isdecimal() and least <= int(text) <= most):
                raise SpecError(f"{name}={text} is not possible", f"a number from {least} to {most}")
            values[name] = int(text)
        elif name not in others:
            known = ", ".join(("index", *limits, *others))
            raise SpecError(f"{method} has no '{name}' here", f"known: {known}")
    return method, tuple(values.items()), given


def _prefix(given: dict[str, str]) -> str:
    prefix = given.get("prefix", "photoseek")
    if not _PREFIX.fullmatch(prefix):
        raise SpecError(f"'{prefix}' cannot begin names there", "up to 24 of a-z, 0-9 and _, a letter first")
    return prefix
