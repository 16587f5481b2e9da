"""The part of a run's work that is its own, when several runs share a gallery.

A run leases the files that it is about to read. Those that another run has are left to it, and looked at again at the
end: by then they are done, or their run has died, and this one takes them over.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from retrieval.catalog.leases import Place, lease_key
from retrieval.errors import GalleryLocked
from retrieval.indexing.candidates import Candidate
from retrieval.indexing.comparison import Looks
from retrieval.indexing.report import IndexReport

if TYPE_CHECKING:
    from retrieval.catalog.batch import KnownFailure, KnownFile
    from retrieval.catalog.postgres.leases import Leases, OtherRun
    from retrieval.catalog.writer import Catalog
    from retrieval.encoders.base import EncoderSpec

AT_ONCE = 64
"""Files that are leased together. More cost less each; fewer leave more to the others at the end."""

PATIENCE_S = 1.0
"""Files wait for this long to be leased with others."""

LOOK_S = 0.5
"""How often what others still have is looked at."""

STILL_S = 300.0
"""If others finish none of their files for this time, the run ends without them."""


def share_work(
    catalog: Catalog, spec: EncoderSpec, frames_per_minute: int, report: IndexReport, looks: Looks
) -> SharedWork | None:
    """Become one of the runs that share a catalog; None: it has one run at a time.

    Raises:
        GalleryLocked: another run is at work with another model or other settings; the message names it.
    """
    own = {"model": spec.name, "fingerprint": spec.fingerprint, "frames_per_minute": frames_per_minute}

    def check(others: Sequence[OtherRun]) -> None:
        for other in others:
            if other.settings["fingerprint"] != spec.fingerprint:
                model = other.settings["model"]
                raise GalleryLocked(
                    f"{other.name} is indexing this gallery with the model {model}, not with {spec.name}",
                    f"use --model {model} to share its work, or wait until it has finished",
                )
            if other.settings["frames_per_minute"] != frames_per_minute:
                frames = other.settings["frames_per_minute"]
                raise GalleryLocked(
                    f"{other.name} is indexing this gallery with {frames} frames per minute of video",
                    f"use --frames-per-minute {frames} to share its work, or wait until it has finished",
                )

    leases = catalog.share(own, check)
    return None if leases is None else SharedWork(leases, catalog, report, looks)


class SharedWork:
    """Leases the candidates of one run, in a catalog that several may share.

    Args:
        report: gets the counts of what was left to others, and taken over from them.
        looks: a file that has to be read whatever is known about it is not done because another run has read it.
    """

    def __init__(self, leases: Leases, catalog: Catalog, report: IndexReport, looks: Looks) -> None:
        self._leases, self._catalog = leases, catalog
        self._report, self._looks = report, looks
        self._own: dict[Place, Candidate] = {}
        self._left: dict[Candidate, str] = {}

    def own(self, candidates: Iterable[Candidate | None], encoder_id: int) -> Iterator[Candidate | None]:
        """Those of the candidates that this run works on."""
        waiting: list[Candidate] = []
        since = time.monotonic()
        for candidate in candidates:
            if candidate is not None:
                since = since if waiting else time.monotonic()
                waiting.append(candidate)
            is_long = len(waiting) >= AT_ONCE or time.monotonic() - since > PATIENCE_S
            if waiting and (candidate is None or is_long):
                yield from self._leased(waiting, encoder_id)
                waiting = []
            if candidate is None:
                yield None
        if waiting:
            yield from self._leased(waiting, encoder_id)

    def rest(self, encoder_id: int, stop: Callable[[], bool]) -> Iterator[Candidate | None]:
        """What was left to others and is this run's after all; waits for what they still have (None: for a while)."""
        since = time.monotonic()
        while self._left and not stop():
            left, self._left = list(self._left), {}
            for at in range(0, len(left), AT_ONCE):
                yield from self._leased(left[at : at + AT_ONCE], encoder_id)
            if len(self._left) < len(left):
                since = time.monotonic()
            elif time.monotonic() - since > STILL_S:
                break
            if self._left:
                yield None
                time.sleep(LOOK_S)
        self._report.held_by = dict(Counter(self._left.values()))
        self._left = {}

    @property
    def is_left(self) -> bool:
        """Whether files were left to other runs."""
        return bool(self._left)

    def settle(self) -> None:
        """Called behind each commit: what another run took over meanwhile is looked at again, like the rest."""
        lost, self._leases.lost = self._leases.lost, []
        self._report.superseded += len(lost)
        self._left |= {self._own[place]: "another run" for place in lost}
        self._own = {place: self._own[place] for place in self._leases.files}

    def refuse_if_others(self, what: str) -> None:
        """Raise GalleryLocked if another run is at work, which does not know of this change."""
        for other in self._leases.others():
            raise GalleryLocked(
                f"{other.name} is indexing this gallery, and {what}",
                "wait until it has finished, or stop it (Ctrl-C loses nothing)",
            )

    def _leased(self, candidates: Sequence[Candidate], encoder_id: int) -> list[Candidate]:
        """Those that are this run's now. What others did until then is known now, and needs no work."""
        keys = {each: lease_key(each.folder_id, each.name) for each in candidates}
        claim = self._leases.claim(list(keys.values()))
        self._report.taken_over += claim.taken_over
        self._left |= {each: claim.others[key] for each, key in keys.items() if key not in claim.own}
        own = {_place(each): each for each, key in keys.items() if key in claim.own}
        if not own:
            return []
        files, failures = self._catalog.known_at(encoder_id, list(own))
        done = {place for place, each in own.items() if self._is_done(each, files.get(place), failures.get(place))}
        if done:
            self._leases.release([keys[own.pop(place)] for place in done])
            self._report.by_others += len(done)
        self._own |= own
        self._leases.files |= {place: keys[each] for place, each in own.items()}
        return list(own.values())

    def _is_done(self, candidate: Candidate, known: KnownFile | None, failure: KnownFailure | None) -> bool:
        """Whether another run has finished a file since it was compared with the catalog."""
        if self._looks.verify_content:
            return False
        if failure is not None:
            is_same = failure[1:] == (candidate.size, candidate.mtime_ns, False)
            return is_same and not self._looks.retry_failures
        if known is None or known[3] or not known[4]:
            return False
        ctimes = (known[5], candidate.ctime_ns)
        return known[1:3] == (candidate.size, candidate.mtime_ns) and (None in ctimes or ctimes[0] == ctimes[1])


def _place(candidate: Candidate) -> Place:
    return candidate.folder_id, candidate.name
