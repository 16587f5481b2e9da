"""Groups of faces of one person: Chinese whispers on the graph of similar faces.

Reference: C. Biemann, Chinese Whispers, Workshop on Graph-based Methods for NLP at HLT-NAACL 2006. Every face first
has a label of its own and then, in random order, takes the label with the largest sum of weights among its neighbours,
until nothing changes. Here faces that belong to a person keep their label, and vote. So persons grow by new faces and
are never divided or merged by grouping; only people do that. A label that people have rejected for a face gets no vote.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from indexes.factory import create_index
from indexes.spec import IndexSpec
from retrieval.catalog.faces import FaceVectors, face_vectors, has_ungrouped, set_grouped
from retrieval.catalog.persons import dissolve_unnamed, insert_person, rejections
from retrieval.encoders.base import unit
from retrieval.faces.models import DIM
from retrieval.gallery import Gallery

SIMILAR = 0.93
"""Cosine from which two faces count as similar: on Labeled Faces in the Wild 1 % of the pairs above it are two persons,
and 91 % of the pairs of one person are above it. Persons are held together by chains of such pairs."""

_NEIGHBOURS = 48  # similar faces of which each face asks for labels
_LEAST = 2  # faces of a group
_ROUNDS = 30
_AT_ONCE = 1024

Rejected = Mapping[int, frozenset[int]]
"""Face id -> ids of the persons that it is not."""


@dataclass(frozen=True)
class Grouped:
    """The result of grouping.

    Attributes:
        joined: (face id, person id) of faces that join a person who was known before.
        new: the face ids of each new group.
        alone: faces that belong to nobody.
    """

    joined: list[tuple[int, int]]
    new: list[list[int]]
    alone: list[int]


def group_faces(gallery: Gallery, stop: Callable[[], bool] = lambda: False) -> Grouped:
    """Group the faces that have not been considered yet, and store the result; a stopped call changes nothing.

    Raises:
        GalleryLocked: another process is writing.
    """
    with gallery.reader() as reader:
        faces = face_vectors(reader, DIM)
        rejected: dict[int, set[int]] = defaultdict(set)
        for face_id, person_id in rejections(reader):
            rejected[face_id].add(person_id)
    found = grouped(faces, {face: frozenset(persons) for face, persons in rejected.items()}, stop)
    if found is None:
        return Grouped([], [], [])
    if found.joined or found.new or found.alone:
        with gallery.writer(admits_runs=True) as catalog, catalog.transaction() as transaction:
            if not has_ungrouped(transaction):  # another machine was faster
                return Grouped([], [], [])
            set_grouped(transaction, found.joined)
            for group in found.new:
                person_id = insert_person(transaction)
                set_grouped(transaction, [(face, person_id) for face in group])
            set_grouped(transaction, [(face, None) for face in found.alone])
    return found


def regroup_faces(gallery: Gallery) -> Grouped:
    """Group again the faces that belong to no named person, about which people have said nothing.

    Raises:
        GalleryNotFound, GalleryLocked: there is no gallery, or another process writes to it.
    """
    gallery.bring_up_to_date()
    with gallery.reader():
        pass
    with gallery.writer() as catalog, catalog.transaction() as transaction:
        dissolve_unnamed(transaction)
    return group_faces(gallery)


def grouped(faces: FaceVectors, rejected: Rejected, stop: Callable[[], bool] = lambda: False) -> Grouped | None:
    """Group faces that have not been considered yet, among all faces; None if stopped.

    Memory: 4 bytes for each value of an embedding, and 1 KB for each new face; 500,000 faces take 0.8 GB.
    """
    graph = _graph(faces, stop)
    if graph is None:
        return None
    labels = _whispered(faces, graph, rejected, stop)
    members: dict[int, list[int]] = defaultdict(list)
    joined: list[tuple[int, int]] = []
    alone: list[int] = []
    for row, label in labels.items():
        if label > 0:
            joined.append((int(faces.ids[row]), label))
        else:
            members[label].append(row)
    new = []
    for rows in members.values():
        if len(rows) >= _LEAST:
            new.append([int(faces.ids[row]) for row in rows])
        else:
            alone += [int(faces.ids[row]) for row in rows if not faces.is_grouped[row]]
    return Grouped(joined, new, alone)


_Graph = Mapping[int, Mapping[int, float]]
"""Row -> its similar rows, with weights; symmetric."""


def _graph(faces: FaceVectors, stop: Callable[[], bool]) -> _Graph | None:
    """The similar faces of each new face."""
    new = np.flatnonzero(~faces.is_grouped & (faces.persons == 0))
    graph: dict[int, dict[int, float]] = {int(row): {} for row in new}
    if not len(new):
        return graph
    index = create_index(IndexSpec.parse("Exact"), DIM)
    index.add(np.arange(len(faces.ids)), unit(faces.vectors))
    for start in range(0, len(new), _AT_ONCE):
        if stop():
            return None
        rows = new[start : start + _AT_ONCE]
        near = index.search(unit(faces.vectors[rows]), _NEIGHBOURS + 1)
        for row, others, scores in zip(rows.tolist(), near.ids.tolist(), near.scores.tolist(), strict=True):
            for other, score in zip(others, scores, strict=True):
                if other >= 0 and other != row and score >= SIMILAR:
                    weight = score - SIMILAR + 0.01
                    graph[row][other] = weight
                    graph.setdefault(other, {})[row] = weight
    index.close()
    return graph


def _whispered(faces: FaceVectors, graph: _Graph, rejected: Rejected, stop: Callable[[], bool]) -> dict[int, int]:
    """Row -> label of the faces without a person: above zero for a person, others name groups."""
    labels = {row: int(faces.persons[row]) or -row - 1 for row in graph}
    free = sorted(row for row in graph if not faces.persons[row])
    order = random.Random(0)  # the same faces give the same groups
    for _ in range(_ROUNDS):
        order.shuffle(free)
        changes = 0
        for row in free:
            votes: dict[int, float] = defaultdict(float)
            for other, weight in graph[row].items():
                votes[labels[other]] += weight
            for person_id in rejected.get(int(faces.ids[row]), ()):
                votes.pop(person_id, None)
            if votes:
                best = max(votes, key=lambda label: (votes[label], label))
                changes += best != labels[row]
                labels[row] = best
        if not changes or stop():
            break
    return {row: labels[row] for row in free}
