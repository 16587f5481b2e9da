"""Index the example photos, search them by text and by a picture, and print the recall of the search.

Run by ``make demo``; works without a network. The gallery is recreated in ``.demo/`` each time.
"""

from __future__ import annotations

import csv
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from retrieval import Gallery, Indexer, Query, QueryEngine, load_encoder
from retrieval.indexing.progress import shown_progress
from retrieval.output import printable, report_rows, write_hits, write_pairs

PHOTOS = Path(__file__).parent / "photos"
GALLERY = Path(__file__).parent.parent / ".demo" / "gallery"
K = 5


def main() -> None:
    shutil.rmtree(GALLERY, ignore_errors=True)
    gallery = Gallery(GALLERY)
    encoder = load_encoder("builtin-224")

    print(f"1. Index {PHOTOS.name}/ with {encoder.spec.name} on {encoder.device}\n")
    with shown_progress(sys.stderr) as show:
        report = Indexer(gallery, encoder).run(PHOTOS, on_progress=show)
    write_pairs(report_rows(report), sys.stdout)

    form = "table" if sys.stdout.isatty() else "plain"
    with QueryEngine(gallery, encoder) as engine:
        for text in ("a dog", "fruit to eat"):
            print(f'\n2. photoseek search "{text}"\n')
            write_hits(engine.search(Query.text(text, k=K)), form, sys.stdout)
        photo = PHOTOS / "animals" / "horse.jpg"
        print(f"\n3. photoseek similar {printable(str(photo.relative_to(PHOTOS)))}\n")
        write_hits(engine.similar(photo, K), form, sys.stdout)
        print_recall(engine)


def print_recall(engine: QueryEngine) -> None:
    """Use each caption as a query with one correct picture, and print how often it is among the first K."""
    with (PHOTOS / "captions.tsv").open(encoding="utf-8", newline="") as file:
        captions = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    print(f"\n4. How good is that? {len(captions)} captions as queries, one right picture each:\n")
    # The files are called by what they show, which says nothing of the model.
    for only, by in (("visual", "by what the pictures show"), (None, "also by the words in their names")):
        ranks = []
        for row in captions:
            hits = engine.search(replace(Query.text(row["caption"], k=len(captions)), only=only))
            right = str((PHOTOS / row["path"]).resolve())
            ranks.append(next(hit.rank for hit in hits if hit.image.path == right))
        found = sum(rank <= K for rank in ranks)
        median = sorted(ranks)[len(ranks) // 2]
        print(f"recall@{K} {found / len(captions):.3f}, median rank {median} of {len(captions)}: {by}")
    print(f"recall@{K} {K / len(captions):.3f}: by chance")
    print(
        "\nbuiltin-224 is small and was not trained on these pictures. For a better model, with a network connection:\n"
        "    photoseek models fetch ViT-B-32-SigLIP2-256/webli"
    )


if __name__ == "__main__":
    main()
