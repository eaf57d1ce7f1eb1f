"""The label audit: planted lies are found, what is honest is not accused, and the official recall stays the first."""

import numpy as np
import pandas as pd
import pytest

from tests.facades import facade, view
from tests.tiny import TINY
from vg_core.datasets.labels import Label, format_name
from vg_core.datasets.places import load_places
from vg_core.evaluation.ranks import Within
from vg_core.figures.galleries import match_gallery
from vg_core.runs import label_audit as audit
from vg_core.runs.record import Run
from vg_core.system import own_files, paths

PLACES, APART = 10, 100.0  # and metres from one to the next


def photograph(role: str, place: int, wall: int, metres: float = 0.0, symmetric: bool = False, **look) -> None:
    """A photograph of a wall, tagged with a place and some metres to the east of it."""
    where = Label(400_000 + APART * place + metres, 5_000_000, 32, "T", pano_id=f"{place}_{wall}")
    view(facade(wall, symmetric), paths.data_root() / "planted" / "images" / "test" / role / format_name(where), **look)


def finished() -> Run:
    """A run that retrieved every image for every query."""
    for split in ("train", "val"):
        for role in ("database", "queries"):
            (paths.data_root() / "planted" / "images" / split / role).mkdir(parents=True, exist_ok=True)
    config = TINY.replace(dataset="planted")
    places, protocol = load_places(config, "test"), Within()
    indices = np.tile(np.arange(len(places.database)), (len(places.queries), 1))
    ranks = protocol.ranks(places.queries, places.database, indices, places.positives(protocol))
    run = Run(config, "run", "test", {}, ranks, pd.DataFrame(), pd.DataFrame())
    own_files.write(run.checkpoint.with_name("test.npy"), indices.astype(np.int32))
    return run


@pytest.fixture
def town():
    """A photograph and a query of ten walls; two queries are tagged with places of others."""
    for place in range(PLACES):
        photograph("database", place, wall=place)
        tag = {3: 7, 6: 0}.get(place, place)
        photograph("queries", tag, wall=place, metres=3, shift=20, noise=place + 1)


def test_queries_that_show_another_place_are_found(town):
    suspects = audit.label_audit(finished())
    tags = {role: suspects[role].str.extract(r"@(\d)_(\d)@").to_numpy(int).tolist() for role in ("query", "image")}
    assert dict(zip(map(tuple, tags["query"]), tags["image"], strict=True)) == {(7, 3): [3, 3], (0, 6): [6, 6]}
    assert set(suspects.metres.round()) == {403, 597} and set(suspects.metres_within) == {3.0}
    assert (suspects.inliers >= suspects.needed).all() and (suspects.inliers_within < suspects.needed).all()
    assert suspects.inliers.is_monotonic_decreasing
    assert suspects.within.str.contains("@").all()


def test_a_second_audit_reads_the_first(town, monkeypatch):
    run = finished()
    first = audit.label_audit(run)
    monkeypatch.setattr(audit, "features", None)
    pd.testing.assert_frame_equal(audit.label_audit(run), first)


def test_other_photographs_are_audited_anew(town):
    run = finished()
    audit.label_audit(run)
    for file in (paths.data_root() / "planted" / "images" / "test" / "queries").glob("*_3@*"):
        file.unlink()
    assert len(audit.label_audit(finished())) == 1


def test_what_is_seen_from_afar_does_not_accuse_a_query_that_its_own_place_confirms(town):
    photograph("database", 1, wall=1, metres=45, noise=2)
    run = finished()
    found = run.retrieved()
    own_files.write(run.checkpoint.with_name("test.npy"), np.roll(found, -2, axis=1))  # the one far off comes first
    for shown in (1, 11):
        assert not audit.label_audit(run, shown)["query"].str.contains("@1_1@").any()


def test_a_query_whose_tag_lies_far_from_all_images_has_none_within():
    for place in range(PLACES):
        photograph("database", place, wall=place)
    photograph("queries", 20, wall=4, shift=20, noise=1)
    (found,) = audit.label_audit(finished()).to_dict("records")
    assert found["within"] == "" and found["inliers_within"] == 0 and np.isnan(found["metres_within"])


def test_where_all_images_lie_within_the_threshold_nobody_can_be_accused():
    for wall in range(3):
        photograph("database", 0, wall=wall)
        photograph("queries", 0, wall=wall, shift=20, noise=1)
    suspects = audit.label_audit(finished())
    assert suspects.empty and list(suspects) == audit.COLUMNS


def test_where_houses_are_built_alike_a_match_proves_little():
    """They match mirror images, too, by which it is measured how many inliers confirm."""
    for place in range(PLACES):
        photograph("database", place, wall=0, symmetric=True, noise=place)
        photograph("queries", place, wall=0, symmetric=True, noise=50 + place)
    photograph("queries", 20, wall=0, symmetric=True, shift=40, noise=99)
    assert audit.label_audit(finished()).empty


def test_recall_without_suspects_stands_beside_the_official_one(town):
    run = finished()
    suspects = audit.label_audit(run)
    table = audit.recall_without_suspects(run, suspects).query("n == 1").set_index("variant")
    assert list(table.index) == ["as published", "without 2 suspect queries"]
    assert list(table.queries) == [10, 8]
    hits = (run.ranks["rank"] == 1).to_numpy()
    assert table.recall.iloc[0] == pytest.approx(100 * hits.mean())
    assert table.recall.iloc[1] == pytest.approx(100 * np.delete(hits, suspects.number).mean())


def test_suspects_are_drawn_with_their_matches(town):
    rows = audit.suspect_matches(audit.label_audit(finished()), shown=1)
    (row,) = rows
    assert len(row["matches"]) == row["inliers"]
    figure = match_gallery(rows)
    words = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert f"{row['inliers']} inliers, {row['metres']:,.0f} m from its tag" in words
