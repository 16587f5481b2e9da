"""How often an address may send a wrong token."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

AT_ONCE = 10
"""Wrong tokens in a row; mistyping takes fewer."""

EVERY_S = 6.0
"""Then one each so many seconds."""

_MOST_ADDRESSES = 4096


class Guesses:
    """Counts wrong tokens by address, in a bounded space. For one thread.

    Args:
        clock: monotonic, in seconds.
    """

    wait_s = math.ceil(EVERY_S)

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: OrderedDict[str, float] = OrderedDict()  # when the address has its whole allowance again

    def may(self, client: str) -> bool:
        """False if so many came from this address that its next one is not looked at."""
        return self._until.get(_network(client), 0.0) - self._clock() <= (AT_ONCE - 1) * EVERY_S

    def wrong(self, client: str) -> None:
        """One came from this address."""
        name, now = _network(client), self._clock()
        self._until[name] = max(self._until.pop(name, now), now) + EVERY_S
        while len(self._until) > _MOST_ADDRESSES:  # the one that is longest ago
            self._until.popitem(last=False)


def _network(client: str) -> str:
    """The address; of IPv6 the network of 64 bits, in which one machine may have any address."""
    try:
        address = ip_address(client.partition("%")[0])
    except ValueError:
        return client
    if not isinstance(address, IPv6Address):
        return str(address)
    inner = address.ipv4_mapped
    return str(inner) if inner is not None else str(IPv6Address(int(address) >> 64 << 64))
