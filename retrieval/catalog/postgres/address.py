"""Where a gallery's catalog is if a server keeps it: the address, and the file in the gallery's folder that holds it.

::

    postgresql+psycopg://photos@db.example:5432/photos?schema=archive&sslmode=verify-full

What is left out has a default; without a host, libpq's variables decide (``PGHOST``, ``PGUSER``, ...). Passwords are
refused, because the address is stored and shown: libpq reads them from ``PGPASSWORD`` or ``~/.pgpass``.

A gallery's folder may come from a stranger, whose server would be sent a password. So an address is used only if this
person has named it: with ``photoseek init --catalog``, which adds it to the setting ``catalog.servers``, or in that
setting.
"""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from retrieval.config.values import setting
from retrieval.errors import GalleryError, SettingsError
from retrieval.regular_files import read_regular, replacing, sync_folder

FILE = "catalog.toml"
SETTING = "catalog.servers"

_SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")
_TLS = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_HOST = re.compile(r"[A-Za-z0-9._:-]{1,253}")
_DATABASE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}")
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_MOST_BYTES = 4096
_EXAMPLE = "write it like postgresql+psycopg://USER@HOST:5432/DATABASE"

_named: set[str] = set()


@dataclass(frozen=True)
class CatalogAddress:
    """A catalog in a PostgreSQL server.

    Attributes:
        host, port, user, database: "" and 0 for those that libpq decides.
        schema: in which its tables are.
        tls: libpq's ``sslmode``; "" for the default.
    """

    host: str = ""
    port: int = 0
    user: str = ""
    database: str = ""
    schema: str = "photoseek"
    tls: str = ""

    @property
    def server(self) -> str:
        """The server and its database, without options: what a person names."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        user = f"{quote(self.user)}@" if self.user else ""
        return f"postgresql+psycopg://{user}{host}{f':{self.port}' if self.port else ''}/{self.database}"

    def __str__(self) -> str:
        asked = [f"schema={self.schema}"] if self.schema != "photoseek" else []
        asked += [f"sslmode={self.tls}"] if self.tls else []
        return self.server + (f"?{'&'.join(asked)}" if asked else "")


def parse_address(text: str) -> CatalogAddress:
    """Parse an address.

    Raises:
        SettingsError: it is none, or contains a password.
    """
    parts = urlsplit(text.strip())
    if parts.password or parts.fragment:  # the text is not repeated: messages end in logs
        raise SettingsError(
            "this address contains a password, which would be stored and shown",
            "leave it out, and put it into PGPASSWORD or ~/.pgpass",
        )
    try:
        port = parts.port or 0
    except ValueError:
        raise SettingsError(f"the port of '{text}' is none", _EXAMPLE) from None
    host, database = parts.hostname or "", unquote(parts.path).strip("/")
    if parts.scheme not in _SCHEMES or (host and not _HOST.fullmatch(host)):
        raise SettingsError(f"'{text}' is no address of a PostgreSQL server", _EXAMPLE)
    if database and not _DATABASE.fullmatch(database):
        raise SettingsError(f"'{text}' names no database", "use letters, digits, _ and -")
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    schema, tls = given.pop("schema", "photoseek"), given.pop("sslmode", "")
    if given:
        raise SettingsError(f"an address has no '{next(iter(given))}' here", "known: schema, sslmode")
    if not _SCHEMA.fullmatch(schema) or schema.startswith("pg_"):
        raise SettingsError(f"'{schema}' cannot be the name of a schema here", "use a-z, 0-9 and _, a letter first")
    if tls and tls not in _TLS:
        raise SettingsError(f"'{tls}' is no sslmode", f"one of {', '.join(_TLS)}")
    return CatalogAddress(host, port, unquote(parts.username or ""), database, schema, tls)


def read_address(folder: Path) -> CatalogAddress:
    """The address in a gallery's folder.

    Raises:
        GalleryError: the file cannot be read, or holds none.
    """
    path = folder / FILE
    try:
        text = tomllib.loads(read_regular(path, _MOST_BYTES).decode())["address"]
        return parse_address(text)
    except (OSError, ValueError, KeyError, AttributeError, SettingsError) as error:
        raise GalleryError(
            f"{path} does not say where the catalog is: {getattr(error, 'message', error)}",
            f'it needs one line: address = "{_EXAMPLE.rpartition(" ")[2]}"',
        ) from error


def write_address(folder: Path, address: CatalogAddress) -> None:
    """Make a folder that of a gallery whose catalog is at this address."""
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / FILE) as file:
        file.write(f'# Where the catalog of this gallery is: see docs/scale.md.\naddress = "{address}"\n'.encode())
        file.flush()
        os.fsync(file.fileno())
    sync_folder(folder)


def name_address(address: CatalogAddress) -> None:
    """Note that the person at this process has named a server; for as long as the process lives."""
    _named.add(address.server)


def check_named(address: CatalogAddress) -> None:
    """Raise GalleryError unless the person at this process has named the server, here or in the settings."""
    if address.server in _named or address.server in {parse_address(each).server for each in setting(SETTING)}:
        return
    raise GalleryError(
        f"this gallery's catalog is in {address.server}, which is not among your servers",
        f"if you trust it: photoseek config set {SETTING} {address.server}",
    )
