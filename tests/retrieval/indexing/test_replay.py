"""Any history of a catalog, replayed from any moment in it, ends in the same state: the heart of crash safety."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.catalog.batch import Batch
from retrieval.catalog.forgetting import forget
from retrieval.catalog.reader import CatalogReader
from retrieval.catalog.writer import Catalog
from tests.retrieval.rows import encoder_spec, failure, ids_by_name, image, row_of

State = dict[int, bytes]

NAMES = ("a.jpg", "b.jpg", "c.jpg", "d.jpg")
CONTENTS = ("red", "green", "blue")
STEP = st.one_of(
    st.tuples(st.just("write"), st.sampled_from(NAMES), st.sampled_from(CONTENTS), st.integers(1, 2)),
    st.tuples(st.just("rename"), st.sampled_from(NAMES), st.sampled_from(NAMES), st.integers(1, 2)),
    st.tuples(st.just("delete"), st.sampled_from(NAMES)),
    st.tuples(st.just("restore"), st.sampled_from(NAMES)),
    st.tuples(st.just("fail"), st.sampled_from(NAMES)),
    st.tuples(st.just("forget")),
    st.tuples(st.just("purge")),
    st.tuples(st.just("commit")),
)


class Model:
    """A folder of files beside its catalog, and what must be true of it after every commit."""

    def __init__(self, folder: Path, path: Path) -> None:
        self.folder = folder
        self.catalog = Catalog(path)
        self.encoders = [self.catalog.register_encoder(encoder_spec(name)) for name in ("one", "two")]
        self.at = self.catalog.folder_id(str(folder))
        self.contents: dict[str, str] = {}  # of the files on disk that the catalog was told of

    def step(self, step: tuple[object, ...], reader: CatalogReader) -> None:
        kind, *rest = step
        names = [str(name) for name in rest[:2]]
        batch, encoder = Batch(), self.encoders[0]
        known = self.catalog.known_files(self.at, encoder)
        if kind == "write":
            encoder = self.encoders[int(str(rest[2])) - 1]
            self._put(batch, names[0], names[1], int(str(rest[2])))
        elif kind == "rename" and names[0] in self.contents and names[0] != names[1]:
            encoder = self.encoders[int(str(rest[2])) - 1]
            (self.folder / names[0]).unlink()
            batch.retired.append(known[names[0]][0])
            self._put(batch, names[1], self.contents.pop(names[0]), int(str(rest[2])))
        elif kind == "delete" and names[0] in self.contents:
            (self.folder / names[0]).unlink()
            del self.contents[names[0]]
            batch.retired.append(known[names[0]][0])
        elif kind == "fail":
            (self.folder / names[0]).write_text("broken")
            self.contents.pop(names[0], None)
            batch.failed.append(failure(self.at, names[0]))
        elif kind == "restore" and names[0] in known and known[names[0]][3]:
            content = next(c for c in CONTENTS if self._holds(reader, known[names[0]][0], c))
            (self.folder / names[0]).write_text(content)
            self.contents[names[0]] = content
            batch.restored.append(known[names[0]][0])
        elif kind in ("forget", "purge"):
            for name in self.contents:
                (self.folder / name).unlink()
            self.contents.clear()
            with self.catalog.transaction() as transaction:
                forget(transaction, [str(self.folder)], purge=kind == "purge")
            self.at = self.catalog.folder_id(str(self.folder))
            return
        self.catalog.commit(batch, encoder)

    def _put(self, batch: Batch, name: str, content: str, encoder: int) -> None:
        (self.folder / name).write_text(content)
        self.contents[name] = content
        batch.indexed.append(image(self.at, name, content, encoder=encoder))

    def _holds(self, reader: CatalogReader, image_id: int, content: str) -> bool:
        sql = "SELECT content_hash FROM images WHERE id = :id"
        return bool(reader.rows(sql, {"id": image_id})[0][0] == image(1, "x", content).content_hash)


def replay(state: State, reader: CatalogReader, encoder_id: int, after: int) -> State:
    state = dict(state)
    for piece in reader.changes(after, row_of(reader, encoder_id)):
        for image_id in piece.touched.tolist():
            state.pop(image_id, None)
        for image_id, vector in zip(piece.ids.tolist(), piece.vectors, strict=True):
            assert image_id not in state, "an added image is always among the touched ones"
            state[image_id] = vector.tobytes()
    return state


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(STEP, min_size=1, max_size=14))
def test_replaying_from_every_moment_gives_the_state_of_now(steps: list[tuple[object, ...]]) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder, path = Path(temporary, "photos"), Path(temporary, "catalog.sqlite")
        folder.mkdir()
        model = Model(folder, path)
        with closing(model.catalog), closing(CatalogReader(path)) as reader:
            moments: list[tuple[int, list[State]]] = [(0, [{}, {}])]
            for step in steps:
                model.step(step, reader)
                assert set(ids_by_name(reader)) == set(model.contents)
                fresh = [replay({}, reader, encoder, 0) for encoder in model.encoders]
                moments.append((reader.change(), fresh))
                for change, states in moments:
                    for encoder, state, now in zip(model.encoders, states, fresh, strict=True):
                        assert replay(state, reader, encoder, change) == now
                        assert replay(replay(state, reader, encoder, change), reader, encoder, change) == now
            check_embeddings(model, reader)


def check_embeddings(model: Model, reader: CatalogReader) -> None:
    """Every present image shows what lies at its path now, to every encoder that has seen it."""
    ids = ids_by_name(reader)
    for number, encoder in enumerate(model.encoders, start=1):
        row = row_of(reader, encoder)
        state = replay({}, reader, encoder, 0)
        assert reader.count(encoder) == len(state)
        for name, image_id in ids.items():
            if image_id in state:
                vector = np.frombuffer(state[image_id], dtype=np.float32)
                wanted = image(1, name, model.contents[name], encoder=number).vector
                assert np.abs(vector - np.frombuffer(wanted, "<f2").astype(np.float32)).max() < 1e-3
                assert (reader.vectors([image_id], row)[0] == vector).all()
