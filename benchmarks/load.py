"""Simulated users of a server, concurrent, each sending one request after the other; in a separate process.

``python -m benchmarks.load URL`` prints one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Callable
from itertools import accumulate, product
from typing import Any

import httpx

from benchmarks.measure import percentile

API = "/api/v1"
KINDS = {"search by words": 70, "similar": 10, "thumbnail": 15, "further page": 5}
"""The kinds of requests, with their share in per cent: a fifth of them view the results of a search."""

HITS = 100
_LOOKS = ("a red", "a small", "an old", "a white", "a sleeping", "a blurred", "a wooden", "two", "many", "the same")
_THINGS = (
    "dog", "bird", "car", "house", "child", "boat", "flower", "mountain", "street", "tree", "cake", "bridge", "cat",
    "train", "horse", "lake", "church", "table", "face", "bicycle",
)  # fmt: skip
_PLACES = (
    "", "on a beach", "in the snow", "at night", "in a garden", "on a table", "in the rain", "at a wedding",
    "near the sea", "in the mountains",
)  # fmt: skip
VOCABULARY = tuple(" ".join(words).rstrip() for words in product(_LOOKS, _THINGS, _PLACES))
_FREQUENCIES = tuple(accumulate(1 / rank for rank in range(1, len(VOCABULARY) + 1)))
"""Zipf's law: the second most frequent text is requested half as often as the first."""

_SHOWN_ERRORS = 5
_TIMEOUT_S = 60.0


class Person:
    """Sends one request after the other, and remembers the results of the last search."""

    def __init__(self, seed: int, photos: int, texts: list[str]) -> None:
        self._rng = random.Random(seed)
        self._texts = texts
        self._found = [self._rng.randint(1, photos) for _ in range(HITS)]
        self._text = texts[0]

    def next(self) -> tuple[str, str, dict[str, Any]]:
        """Kind, path and parameters of the next request."""
        [kind] = self._rng.choices(list(KINDS), list(KINDS.values()))
        seen = self._rng.choice(self._found)
        if kind == "similar":
            return kind, f"{API}/similar/{seen}", {"k": HITS}
        if kind == "thumbnail":
            return kind, f"{API}/images/{seen}/thumbnail", {"size": 240}
        if kind == "further page":
            return kind, f"{API}/search", {"q": self._text, "k": HITS, "offset": HITS * self._rng.randint(1, 20)}
        [self._text] = self._rng.choices(self._texts, cum_weights=_FREQUENCIES)
        return kind, f"{API}/search", {"q": self._text, "k": HITS}

    def saw(self, hits: list[dict[str, Any]]) -> None:
        """Remember the hits of a list."""
        self._found = [hit["id"] for hit in hits] or self._found

    def pause(self, mean: float) -> float:
        """Seconds until the next request: exponential, as for independent users."""
        return self._rng.expovariate(1 / mean) if mean else 0.0


class Tally:
    """The results of all requests."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
        self.refused = 0
        self.errors: Counter[str] = Counter()

    def as_json(self, wall: float, cpu: float) -> dict[str, Any]:
        """Plain values: seconds, counts, and the most frequent errors."""
        kinds = {
            kind: {
                "count": len(spent),
                "p50": percentile(spent, 0.5),
                "p99": percentile(spent, 0.99),
                "max": max(spent),
            }
            for kind, spent in self.seconds.items()
            if spent
        }
        return {
            "kinds": kinds,
            "refused": self.refused,
            "errors": self.errors.total(),
            "shown_errors": self.errors.most_common(_SHOWN_ERRORS),
            "wall": wall,
            "cpu": cpu,
        }


async def _live(person: Person, http: httpx.AsyncClient, tally: Tally, until: float, pause: float) -> None:
    await asyncio.sleep(person.pause(pause))  # users do not start at the same time
    while (started := time.perf_counter()) < until:
        kind, path, asked = person.next()
        try:
            response = await http.get(path, params=asked)
        except httpx.HTTPError as error:
            tally.errors[f"{kind}: {type(error).__name__}"] += 1
            continue
        spent = time.perf_counter() - started
        if response.status_code == httpx.codes.OK:
            tally.seconds[kind].append(spent)
            if kind != "thumbnail":
                person.saw(response.json()["hits"])
        elif response.status_code == httpx.codes.SERVICE_UNAVAILABLE and "Retry-After" in response.headers:
            tally.refused += 1
            await asyncio.sleep(float(response.headers["Retry-After"]))
        else:
            tally.errors[f"{kind}: {response.status_code} {response.text[:200]}"] += 1
        await asyncio.sleep(person.pause(pause))


async def load(url: str, clients: int, seconds: float, pause: float, photos: int, seed: int) -> dict[str, Any]:
    """Let ``clients`` users send requests for this many seconds, with pauses after each response."""
    texts = list(VOCABULARY)
    random.Random(seed).shuffle(texts)  # other texts are frequent in the next run, so that caches do not help
    tally, started, cpu = Tally(), time.perf_counter(), time.process_time()
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=_TIMEOUT_S, trust_env=False) as http:
        people = [Person(seed * 1_000_003 + number, photos, texts) for number in range(clients)]
        await asyncio.gather(*(_live(person, http, tally, started + seconds, pause) for person in people))
    return tally.as_json(time.perf_counter() - started, time.process_time() - cpu)


def main(say: Callable[[str], None] = print) -> None:
    """Send the requests, and print the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--pause", type=float, default=0.0, help="mean seconds between an answer and the next question")
    parser.add_argument("--photos", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    say(json.dumps(asyncio.run(load(**vars(given)))))


if __name__ == "__main__":
    main()
