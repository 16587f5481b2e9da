"""Which servers of indexes a gallery may use, on whose word.

The address of an index's server is in the catalog. A catalog may come from a stranger, and a connection would tell his
server what is searched for, and send it a token. So an address is used only if this person has named it: with
``photoseek index --index``, which adds it to the setting ``index.servers`` of the user's file, or in that setting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from indexes.errors import IndexUnreachable, SpecError
from indexes.factory import connected
from indexes.server_store import ServerStore
from indexes.spec import IndexSpec
from retrieval.config.values import setting

if TYPE_CHECKING:
    from indexes.server import Server
    from indexes.server_spec import ServerSpec
    from indexes.store import Owner

SETTING = "index.servers"

_named: set[str] = set()


def server_store(asked: str, owner: Owner, identity: str) -> ServerStore | None:
    """The store in the server of a catalog's specification; None if it names none (or cannot be read any more)."""
    spec = server_spec(asked)
    return None if spec is None else ServerStore(spec, owner, identity, _connected)


def server_spec(text: str) -> ServerSpec | None:
    """The specification if it is one of a server, else None."""
    from indexes.server_spec import ServerSpec

    try:
        spec = IndexSpec.parse(text)
    except SpecError:  # it was checked before it was stored
        return None
    return spec if isinstance(spec, ServerSpec) else None


def name_server(spec: ServerSpec) -> None:
    """Note that the person at this process has named a server; for as long as the process lives."""
    _named.add(spec.address)


def is_named(spec: ServerSpec) -> bool:
    """Whether the person at this process has named a server, here or in the settings."""
    listed = {(each if "://" in each else f"{each}://").partition("?")[0] for each in setting(SETTING)}
    return spec.address in _named | listed


def _connected(spec: ServerSpec) -> Server:
    if not is_named(spec):
        raise IndexUnreachable(
            f"this gallery's index is in {spec.address}, which is not among your servers",
            f"if you trust it: photoseek config set {SETTING} {spec.address}",
        )
    return connected(spec)
