"""A catalog with some of everything, and every question that it answers."""

from __future__ import annotations

import numpy as np

from retrieval.catalog import (
    albums,
    changes,
    embedded_xmp,
    embeddings,
    encoders,
    exclusions,
    faces,
    facets,
    folders,
    images,
    known,
    labels,
    leases,
    lexicon,
    moments,
    orders,
    person_changes,
    persons,
    places,
    runs,
    shots,
    stored,
    texts,
)
from retrieval.catalog.batch import Batch, IndexedImage
from retrieval.catalog.exclusions import Exclusion, replace_exclusions
from retrieval.catalog.label_copies import contents_of
from retrieval.catalog.reader import CatalogReader
from retrieval.catalog.records import pack_vector
from retrieval.catalog.transaction import Transaction
from retrieval.catalog.writer import Catalog
from retrieval.filters import Filter, parse_filter
from tests.retrieval.rows import encoder_spec, failure, hash_of, image, vector_of

FACTS = (
    {"taken_at": "2023-06-01T10:00:00", "camera": "Canon EOS 5D", "lens": "50mm", "iso": 400, "aperture": 2.8},
    {"taken_at": "2023-06-01T10:00:01", "camera": "NIKON D850", "latitude": 48.86, "longitude": 2.34},
    {"taken_at": "2021-12-24T18:30:00", "format": "PNG", "width": 1080, "height": 1920, "is_page": False},
    {"format": "RAW", "exposure": 0.004, "focal_length": 35.0, "is_page": True, "motion_offset": 5_000_000_000},
    {"taken_at": "2020-01-01T00:00:00", "taken_precision": "year", "latitude": 59.91, "longitude": 10.75},
    {"duration_s": 4.5, "still_s": 1.0, "format": "MP4", "content_id": "X"},
    {"colour": 0x102030, "phash": bytes(64)},
)
NAMES = ("a.jpg", "b.jpg", "Screenshot 1.png", "d.raw", "d.jpg", "clip.mp4", "Ärger.jpg")


CONDITIONS = (
    "", "after=2022", "before=2022-06", "day=12-24", "undated=true", "camera=canon", "no_camera=canon", "lens=50",
    "iso=100-800", "aperture=f/2.8", "exposure=1/250", "focal_length=35mm", "near=48.86,2.34,5km", "place=paris",
    "country=norway", "unplaced=true", "person=Anna", "no_person=Anna", "people=1-2", "orientation=portrait",
    "format=PNG", "no_format=PNG", "tag=dog", "no_tag=dog", "untagged=true", "rating=5", "rating=rejected",
    "min_rating=3", "favourite=true", "hidden=true", "album=Best", "kind=video", "kind=screenshot", "kind=document",
    "no_kind=photo", "duration=1s-10s", "min_width=1000", "max_height=40", "max_bytes=10", "near=Paris,50km",
)  # fmt: skip
"""One for each condition that says nothing in SQLite's own words."""
OWN_CONDITIONS = ("name=a", "caption=pool", "text=hello", "under=/photos", "glob=*.png", "glob=photos/*.p?g")


def asked(text: str) -> Filter:
    """The filter of one of these conditions."""
    name, _, value = text.partition("=")
    return parse_filter(**{name: True if value == "true" else value}) if name else Filter()


def fill(catalog: Catalog) -> tuple[int, int]:
    """Pictures with every kind of label, and what else a catalog holds; the ids of two encoders."""
    one, two = (catalog.register_encoder(encoder_spec(name)) for name in ("one", "two"))
    catalog.register_encoder(encoder_spec("one"))
    folder = catalog.folder_id("/photos", is_root=True)
    assert catalog.folder_id("/photos", is_mount=True) == folder
    below = catalog.folder_id("/photos/trip")
    run = catalog.begin_run(one, ["/photos"])
    rows = [image(folder, name, **facts) for name, facts in zip(NAMES, FACTS, strict=True)]
    film = rows[5]
    values = {name: getattr(film, name) for name in IndexedImage.__slots__}
    rows[5] = IndexedImage(**values | {"moments": ((0.5, pack_vector(vector_of("x"))), (2.0, film.vector))})
    rows += [image(below, "copy.jpg", "a.jpg"), image(below, "old.jpg")]
    away = ["/photos"]  # a disk that is not there: no file of it is taken for gone
    failed = [failure(folder, "bad.jpg"), failure(below, "z", transient=True)]
    catalog.commit(Batch(indexed=rows, failed=failed), one, unplugged=away)
    catalog.activate_encoder(one)
    catalog.commit(Batch(retired=[9], noted=[(1, 1 << 60)]), one, unplugged=away)
    edited = [image(folder, "b.jpg", "edited")]
    catalog.commit(Batch(indexed=edited, failed=[failure(folder, "bad.jpg", "x")]), one, unplugged=away)
    catalog.note_passed_over("/photos", "{}")
    catalog.finish_run(run, "complete", {"images": 9})
    return one, two


def say(transaction: Transaction, encoder: int) -> None:
    folders.note_host(transaction, "/photos", "this")
    key = leases.lease_key(1, "a.jpg")
    transaction.run("INSERT INTO leases (key, indexer) VALUES (:key, 1)", {"key": key})
    assert leases.give_back(transaction, 2, [key]) == set() and leases.give_back(transaction, 1, [key]) == {key}
    leases.only_own(transaction, Batch(retired=[1, 2]), 1, {}, 1)
    labels.add_said(
        transaction, "tags", [(1, "dog", "user"), (2, "Dog", "xmp"), (3, "cat", "user"), (9, "dog", "user")]
    )
    labels.add_said(transaction, "captions", [(1, "at the pool", "user")])
    labels.add_said(transaction, "ratings", [(1, 5, "user"), (1, 2, "xmp"), (2, -1, "user"), (3, 3, "xmp")])
    labels.add_said(transaction, "favourites", [(1, 1, "user")])
    labels.add_said(transaction, "hidden", [(4, 1, "user")])
    labels.add_predicted(transaction, encoder, [(2, "dog", 0.9), (3, "sea", 0.4)])
    labels.keep_said(transaction, hash_of("gone"), "tags", [("lake", "user")])
    best = albums.insert_album(transaction, "Best", None)
    entries = albums.new_entries(transaction, best, 2)
    labels.put_said(transaction, "memberships", [(1, entries[0], "user"), (3, entries[1], "user")])
    albums.set_cover(transaction, best, entries[1])
    albums.put_in_order(transaction, entries[::-1], behind=0)
    searched = albums.insert_album(transaction, "Blue", '{"filter": {"under": ["/photos/trip"]}}')
    albums.rename(transaction, searched, "Blues")
    albums.set_deleted(transaction, searched, deleted=True)
    embedding = np.eye(8, dtype=np.float32)
    seen = [faces.SeenFace((0.1 * n, 0.2, 0.1, 0.1), 0.9, embedding[n]) for n in range(3)]
    for _ in range(2):  # the second time, what is there is replaced
        faces.write_faces(
            transaction,
            [
                (hash_of("a.jpg"), faces.PictureFaces("m/1", "2024", tuple(seen[:2]))),
                (hash_of("d.jpg"), faces.PictureFaces("m/1", "2024", tuple(seen[2:]))),
                (hash_of("clip.mp4"), faces.PictureFaces("m/1", "2024", (), "broken")),
            ],
        )
    anna, other = persons.insert_person(transaction, "Anna"), persons.insert_person(transaction)
    faces.set_persons(transaction, [(1, anna), (2, other), (3, other)])
    before = person_changes.read_state(transaction, [anna, other], [1, 2, 3])
    faces.set_grouped(transaction, [(1, other), (2, None)])
    persons.set_verdict(transaction, 1, anna, is_person=True)
    persons.set_verdict(transaction, 1, other, is_person=False)
    persons.set_verdict(transaction, 2, other, is_person=False)
    new = persons.insert_person(transaction, "Bo")
    persons.move_all(transaction, other, anna)
    persons.set_hidden(transaction, anna, is_hidden=False)
    edit = person_changes.noted(transaction, "merge", before, [new])
    back = person_changes.take_back(transaction, edit)
    assert back is not None and person_changes.take_back(transaction, back) is not None
    paris = places.Place("1", "town", "Paris", "Paris, France", "\nparis\n", None, "FR", 48.85, 2.35)
    france = places.Place("FR", "country", "France", "France", "\nfrance\n")
    norway = places.Place("NO", "country", "Norway", "Norway", "\nnorway\n")
    places.write_located(transaction, [paris, france, norway], {(48.86, 2.34): "1", (59.91, 10.75): "NO"})
    texts.write_texts(transaction, [(hash_of("d.jpg"), texts.PictureText("m/1", "2024"))])
    embedded_xmp.note_earlier(transaction, hash_of("b.jpg"), hash_of("b0"), [(0, 1, b"x")])
    embedded_xmp.note_earlier(transaction, hash_of("b.jpg"), hash_of("b1"), [(0, 2, b"y")])
    embedded_xmp.forget_earlier(transaction, [hash_of("b1")])
    faces.insert_said_face(transaction, hash_of("d.raw"), (0.1, 0.1, 0.2, 0.2))
    shots.note_shots(transaction)
    replace_exclusions(transaction, [Exclusion("/photos", "*.tmp"), Exclusion(None, None, hash_of("e"))])


def ask(rows: CatalogReader | Transaction, encoder: encoders.EncoderRow) -> None:
    """Every question; that the answers are equal is seen to by :class:`Both`."""
    ids = list(range(1, 12))
    for question in (
        encoders.all_encoders, encoders.active_encoder, folders.all_folders, folders.folders_and_mounts,
        folders.all_roots, folders.passed_over, folders.present_counts, images.summary, images.image_count,
        labels.texts_said, labels.is_any_said, labels.tag_counts, labels.favourite_count, labels.hidden_count,
        labels.caption_count, labels.kept_label_count, labels.said_by_content, albums.all_albums, albums.album_pairs,
        faces.face_counts, faces.person_pairs, persons.all_persons, persons.rejections, places.unlocated,
        places.all_places, places.place_pairs, places.place_names, places.unnamed_count, texts.text_counts,
        runs.all_failures, runs.failure_count, runs.last_run, shots.shots, shots.raw_images, moments.videos,
        orders.present_ids, orders.days_taken, orders.ids_latest_first, orders.names, facets.tag_pairs,
        facets.rating_pairs, facets.favourite_pairs, facets.rating_counts, stored.same_bytes, contents_of,
        exclusions.all_exclusions, persons.hidden_persons,
    ):  # fmt: skip
        question(rows)
    for about in (
        images.records_of, images.known_ids, images.added_at, images.dates_and_places, labels.label_counts,
        albums.albums_of, faces.faces_in, faces.face_boxes, texts.texts_of, shots.shot_mates, changes.album_states,
    ):  # fmt: skip
        about(rows, ids)
    for kind in labels.KINDS:
        labels.said_of(rows, kind, ids)
    for by in (labels.predicted_counts, facets.predicted_pairs, images.image_count, folders.unembedded_folders):
        by(rows, encoder.id)
    labels.predicted_of(rows, ids, encoder.id)
    albums.all_albums(rows, deleted=True)
    albums.pictures_in(rows, 1, for_list=True)
    albums.entries_of(rows, 1)
    albums.album_with_id(rows, 1)
    albums.deleted_album(rows, "blues")
    assert albums.is_album(rows, "best")
    embeddings.vectors_of(rows, ids, encoder)
    embeddings.half_vectors(rows, ids, encoder)
    assert embeddings.embedding_of(rows, hash_of("d.jpg"), encoder.id) is not None
    folders.count_present(rows, "/photos/trip")
    folders.roots_only_elsewhere(rows, "other")
    leases.written_since(rows, ids, 1)
    leases.known_at(rows, encoder.id, [(1, "a.jpg"), (1, "bad.jpg"), (2, "no")])
    assert folders.roots_of_others(rows, "other") == ["/photos"] and not folders.roots_of_others(rows, "this")
    labels.is_tagged(rows, ids, "dog")
    faces.unlooked(rows, "m/2")
    faces.has_ungrouped(rows)
    texts.unread(rows, "m/2")
    persons.id_named(rows, "anna")
    lexicon.documents_with(rows, '"trip"')
    lexicon.names_beginning(rows, "scr", 5)
    texts.images_with_text(rows, "hello")
    texts.images_with_word(rows, "hello")
    albums.entry_of(rows, 1, 3)
    for table in ("picture_texts", "face_looks"):
        for again in (False, True):
            images.waiting(rows, table, "m/1", retry_failures=again)  # type: ignore[arg-type]
    images.others_with_bytes(rows, hash_of("a.jpg"), 1)
    images.retired_at(rows, 9, hash_of("old.jpg"))
    images.record_at(rows, "/photos/a.jpg")
    faces.faces_of(rows, 1)
    faces.face_numbered(rows, 1)
    faces.face_vectors(rows, 8)
    faces.face_look(rows, hash_of("clip.mp4"))
    persons.person_named(rows, "anna")
    persons.person_with_id(rows, 1)
    persons.faces_about(rows, 1)
    places.place_names(rows, "town")
    moments.moments_of(rows, ids, encoder)
    moments.moments_by_hash(rows, hash_of("clip.mp4"), encoder.id)
    moments.stored_moments(rows, moments.moment_ids(rows, encoder.id).tolist(), encoder.id)
    embeddings.missing_from(rows, encoder, 2, 0, 5)
    known.is_known(rows, 1, "a.jpg")
    known.known_failures(rows, 1)
    texts.pages_by_text(rows, [hash_of("d.jpg")])
    images.present_hashes(rows)
    embedded_xmp.earlier(rows, hash_of("b.jpg"))
    orders.taken_within(rows, [("2023-01-01", "2024-01-01"), ("2020-01-01T00:00", "2020-01-02")])
    list(facets.changed_pictures(rows, 0))
    list(facets.changed_pictures(rows, 1))
    facets.value_counts(rows, "camera", 5)
    facets.year_counts(rows, 5)
    for kind_, refs in {"name": [1, 2], "folder": [1, 2], "tag": ["dog"], "place": ["FR", "1"]}.items():
        kind_of: lexicon.Kind = kind_  # type: ignore[assignment]
        lexicon.pictures_of(rows, kind_of, refs)
