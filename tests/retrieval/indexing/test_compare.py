"""What a walk means for the catalog: unchanged, new, back, gone, and when absence is not believed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from retrieval.catalog.batch import Batch
from retrieval.catalog.writer import Catalog
from retrieval.indexing.comparison import FolderComparison, Looks
from retrieval.indexing.found_files import FoundFile
from retrieval.indexing.report import IndexReport
from retrieval.indexing.scan import FoundFolder
from tests.retrieval.rows import encoder_spec, failure, image


class Run:
    """One comparison over walks that are made by hand; rows of the catalog have size = len(name), time 1000."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog, self.encoder = catalog, catalog.register_encoder(encoder_spec())
        self.roots: list[str] = ["/p"]
        self.start()

    def start(self, *, unplugged: tuple[str, ...] = (), missing: tuple[str, ...] = (), retry: bool = False) -> None:
        self.batch, self.report = Batch(), IndexReport("one")
        self.comparison = FolderComparison(
            self.catalog, self.encoder, lambda: self.batch, self.report, self.roots, unplugged, missing, Looks(retry)
        )

    def commit(self, folder: str, *names: str, **mount: Any) -> None:
        at = self.catalog.folder_id(folder, **mount)
        batch = Batch(indexed=[image(at, name, f"{folder}{name}"[-len(name) :]) for name in names])
        self.catalog.commit(batch, self.encoder)

    def meet(self, root: str, *folders: FoundFolder) -> list[str]:
        """Compare what the walk of one root met; the names that have to be read."""
        self.comparison.begin_root(root)
        return [candidate.name for folder in folders for candidate in self.comparison.compare(folder)]

    def walk(self, root: str, *folders: FoundFolder) -> list[str]:
        """The same for a run over a single root."""
        found = self.meet(root, *folders)
        self.comparison.finish()
        return found

    def problems(self) -> list[tuple[str, str, int]]:
        return [(problem.path, problem.reason, problem.images_kept) for problem in self.report.problems]


def folder(path: str, *names: str, **facts: Any) -> FoundFolder:
    files = [FoundFile(name, len(name), 1000) for name in names]
    return FoundFolder(path, files, **{"is_empty": not names, **facts})


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with closing(Catalog(tmp_path / "catalog.sqlite")) as catalog:
        yield Run(catalog)


def test_files_are_sorted_into_unchanged_new_changed_and_gone(run: Run) -> None:
    run.commit("/p", "a.jpg", "bb.jpg", "ccc.jpg", "dddd.jpg")
    files = [FoundFile("a.jpg", 5, 1000), FoundFile("bb.jpg", 7, 1000), FoundFile("ccc.jpg", 7, 1001)]
    walked = FoundFolder("/p", [*files, FoundFile("new.jpg", 7, 1)])
    assert run.walk("/p", walked) == ["bb.jpg", "ccc.jpg", "new.jpg"]
    assert (run.report.unchanged, run.batch) == (1, Batch(retired=[4]))


def test_a_file_that_is_back_unchanged_is_restored_without_being_read(run: Run) -> None:
    run.commit("/p", "a.jpg", "b.jpg")
    run.catalog.commit(Batch(retired=[1, 2]), run.encoder)
    assert run.walk("/p", folder("/p", "a.jpg")) == []
    assert run.batch == Batch(restored=[1])


def test_an_image_that_another_encoder_embedded_has_to_be_read(run: Run) -> None:
    run.commit("/p", "a.jpg")
    run.encoder = run.catalog.register_encoder(encoder_spec("two"))
    run.start()
    assert run.walk("/p", folder("/p", "a.jpg")) == ["a.jpg"]


def test_failures_are_tried_again_when_they_changed_or_may_pass(run: Run) -> None:
    at = run.catalog.folder_id("/p")
    failed = [failure(at, name, transient=name == "c.jpg") for name in ("a.jpg", "b.jpg", "c.jpg", "gone.jpg")]
    run.catalog.commit(Batch(failed=failed), run.encoder)
    files = [FoundFile("a.jpg", 5, 1000), FoundFile("b.jpg", 5, 2000), FoundFile("c.jpg", 5, 1000)]
    assert run.walk("/p", FoundFolder("/p", files)) == ["b.jpg", "c.jpg"]
    assert (run.report.unchanged, run.batch) == (1, Batch(resolved=[4]))
    run.start(retry=True)
    assert run.walk("/p", FoundFolder("/p", files)) == ["a.jpg", "b.jpg", "c.jpg"]


def test_an_entry_that_cannot_be_looked_at_is_recorded_once(run: Run) -> None:
    run.commit("/p", "a.jpg")
    broken = FoundFolder("/p", [FoundFile("a.jpg", -1, -1, "broken symbolic link")])
    assert run.walk("/p", broken) == []
    assert [(failed.name, failed.reason, failed.is_transient) for failed in run.batch.failed] == [
        ("a.jpg", "broken symbolic link", True)
    ]
    run.catalog.commit(run.batch, run.encoder)
    run.start()
    assert run.walk("/p", broken) == []
    assert (len(run.batch), run.report.unchanged) == (0, 1)
    assert run.walk("/p", folder("/p", "a.jpg")) == ["a.jpg"], "it is read as soon as it can be"


def test_an_image_that_merely_cannot_be_looked_at_stays_as_it_was(run: Run) -> None:
    run.commit("/p", "a.jpg")
    closed = FoundFolder("/p", [FoundFile("a.jpg", -1, -1, "permission denied")])
    assert run.walk("/p", closed) == []
    (failed,) = run.batch.failed
    assert (failed.size, failed.mtime_ns, failed.is_transient) == (5, 1000, True), "as it was indexed"
    run.catalog.commit(run.batch, run.encoder)
    assert run.catalog.count_present("/p") == 1
    run.start()
    run.walk("/p", closed)
    assert (len(run.batch), run.report.unchanged) == (0, 1)


def test_a_folder_that_is_gone_is_retired_with_its_failures(run: Run) -> None:
    run.commit("/p", "a.jpg")
    run.commit("/p/gone", "b.jpg", "c.jpg")
    run.catalog.commit(Batch(failed=[failure(run.catalog.folder_id("/p/gone"), "x.jpg")]), run.encoder)
    run.commit("/pp", "d.jpg")
    run.walk("/p", folder("/p", "a.jpg"))
    assert run.batch == Batch(retired=[2, 3], resolved=[1])


def test_below_a_folder_that_cannot_be_listed_everything_is_kept(run: Run) -> None:
    run.commit("/p/a", "1.jpg")
    run.commit("/p/a/deep", "2.jpg")
    run.commit("/p/ab", "3.jpg")
    run.walk("/p", folder("/p", is_empty=False), FoundFolder("/p/a", problem="permission denied"))
    assert run.batch == Batch(retired=[3])
    assert run.problems() == [("/p/a", "permission denied", 2)]


@pytest.mark.parametrize("order", [("/p", "/p/sub"), ("/p/sub", "/p")])
def test_what_one_root_could_not_see_another_root_does_not_retire(run: Run, order: tuple[str, str]) -> None:
    """The walks share what was seen, so the second root meets nothing below ``/p/sub``."""
    run.commit("/p/sub", "1.jpg")
    run.commit("/p/sub/closed", "2.jpg")
    sub = (folder("/p/sub", "1.jpg"), FoundFolder("/p/sub/closed", problem="input/output error"))
    above = folder("/p", is_empty=False)
    first, second = ((above, *sub), ()) if order[0] == "/p" else (sub, (above,))
    run.meet(order[0], *first)
    run.meet(order[1], *second)
    run.comparison.finish()
    assert run.batch == Batch()
    assert run.problems() == [("/p/sub/closed", "input/output error", 1)]


def test_an_unplugged_drive_empties_nothing(run: Run) -> None:
    run.commit("/p/drive", "1.jpg", is_mount=True)
    run.commit("/p/drive/deep", "2.jpg")
    run.commit("/p/here", "3.jpg")
    for walked in ([], [folder("/p/drive")], [folder("/p/drive", is_empty=False), folder("/p/drive/deep", "x.jpg")]):
        run.start(unplugged=("/p/drive",))
        run.walk("/p", folder("/p", is_empty=False), folder("/p/here", "3.jpg"), *walked)
        assert run.batch == Batch()
        assert run.problems() == [("/p/drive", "no drive is mounted here, as there was before", 2)]


def test_a_root_below_an_unplugged_drive_is_not_believed_either(run: Run) -> None:
    run.commit("/drive/photos", "1.jpg", "2.jpg")
    run.catalog.folder_id("/drive", is_mount=True)
    run.start(unplugged=("/drive",))
    run.walk("/drive/photos", folder("/drive/photos", "1.jpg"))
    assert run.batch == Batch() and run.report.unchanged == 1
    assert run.problems() == [("/drive", "no drive is mounted here, as there was before", 2)]


def test_what_one_root_leaves_out_another_may_have_met(run: Run) -> None:
    run.commit("/p", "1.jpg")
    run.commit("/p/sub", "2.jpg")
    run.commit("/p/old", "3.jpg")
    run.meet("/p", folder("/p", "1.jpg"))
    run.meet("/p/sub", folder("/p/sub", "2.jpg"))
    run.comparison.finish()
    assert run.batch == Batch(retired=[3]) and run.report.unchanged == 2


def test_below_a_named_folder_that_is_missing_nothing_is_retired(run: Run) -> None:
    run.commit("/p/away", "1.jpg")
    run.commit("/p/old", "2.jpg")
    run.start(missing=("/p/away",))
    run.walk("/p", folder("/p", is_empty=False))
    assert run.batch == Batch(retired=[2])
    assert run.problems() == [], "it is reported already"


def test_a_root_that_is_suddenly_empty_is_kept_but_an_emptied_subfolder_is_not(run: Run) -> None:
    run.commit("/p", "1.jpg")
    run.commit("/p/sub", "2.jpg")
    run.walk("/p", folder("/p"))
    assert run.batch == Batch()
    assert run.problems() == [("/p", "the folder is empty, as if its drive were not mounted", 2)]
    run.start()
    run.walk("/p", folder("/p", "1.jpg"), folder("/p/sub"))
    assert run.batch == Batch(retired=[2])


def test_a_folder_without_pictures_is_not_remembered_but_a_mount_is(run: Run) -> None:
    run.walk("/p", folder("/p", is_empty=False), folder("/p/empty"), folder("/p/drive", is_mount=True))
    assert set(run.catalog.folders_below("/p")) == {"/p", "/p/drive"}  # the root itself was named
    assert "/p/drive" in run.catalog.mounts()
    run.start()
    run.walk("/p", folder("/p/drive", "1.jpg"))
    assert "/p/drive" in run.catalog.mounts(), "only forgetting takes this back"
