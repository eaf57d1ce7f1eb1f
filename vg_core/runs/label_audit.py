"""Labels that lie: queries that show another place than the one they are tagged with."""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial

import numpy as np
import pandas as pd

from vg_core.datasets.places import PlaceSet, load_places
from vg_core.evaluation.comparisons import recall_table
from vg_core.evaluation.ranks import metres_to
from vg_core.retrieval.geometry import features, geometric_matches
from vg_core.runs.identity import code_digest
from vg_core.runs.record import Run
from vg_core.system import own_files
from vg_core.system.devices import WORKERS
from vg_core.system.progress_bar import bar
from vg_core.system.text import count

CHANCE = 0.01  # of mirrored queries that may have a match as strong as one that accuses
CLEARLY = 2  # times as many inliers as with an image within the threshold accuse
REMEMBERED = 1024  # photographs whose points are kept in memory: a quarter of a MB each
COLUMNS = ["query", "image", "inliers", "metres", "within", "inliers_within", "metres_within", "needed", "number"]


def label_audit(run: Run, shown: int = 10) -> pd.DataFrame:
    """Suspect queries of a finished run, the surest first: a row for each that one of the first ``shown`` images
    retrieved for it confirms, which lies farther from its tag than the threshold, while no image within confirms it.

    Columns: query, image (paths), inliers, metres; within (path, "" where there is none), inliers_within and
    metres_within of the best match within the threshold, of all images there; inliers needed; number of the query.
    How many confirm is measured: the mirror image of a query cannot show the same place, yet looks like it, and of the
    mirrored queries CHANCE have a match as strong with an image far off (with fewer than 100 queries, none has).
    Where one sees far, over a square, an image little beyond the threshold may accuse a query wrongly: look at metres
    and at ``suspect_matches``. What was matched is kept; asked again, it is read back.
    """
    places = load_places(run.config, "test")
    key = f"{places.fingerprint} {shown} {code_digest(('runs.label_audit',))}"
    name = f"{run.test}-matches-{hashlib.sha256(key.encode()).hexdigest()[:10]}.parquet"
    pairs = own_files.read_or_make(run.checkpoint.with_name(name), lambda: _matched(run, places, shown))
    limit, images = run.config.val_positives_dist_threshold, places.database.path
    far, needed = _best(pairs[pairs.metres > limit]), _needed(pairs, limit)
    table = far.join(_best(pairs[pairs.metres <= limit]), suffixes=("", "_within")).fillna({"inliers_within": 0})
    unconfirmed = (table.inliers_within < needed) & (table.inliers >= CLEARLY * table.inliers_within)
    table = table[(table.inliers >= needed) & unconfirmed].reset_index()
    table = table.assign(query=places.queries.path.reindex(table.number).to_numpy(), needed=needed)
    table["image"] = images.reindex(table.image).to_numpy()
    table["within"] = images.reindex(table.image_within).fillna("").to_numpy()
    return table.astype({"inliers_within": int})[COLUMNS]


def recall_without_suspects(run: Run, suspects: pd.DataFrame) -> pd.DataFrame:
    """Rows of `recall_table`: "as published", which is the number to report, and beside it without the suspects."""
    ranks = run.ranks.assign(seed=run.config.seed)
    without = f"without {count(len(suspects), 'suspect query')}"
    tables = [ranks.assign(variant="as published"), ranks.drop(index=suspects.number).assign(variant=without)]
    return recall_table(pd.concat(tables, ignore_index=True))


def suspect_matches(suspects: pd.DataFrame, shown: int = 4) -> list[dict]:
    """Rows for ``match_gallery``: the first suspects, with the matches that accuse them."""
    rows = suspects.head(shown).to_dict("records")
    return [row | {"matches": geometric_matches(features(row["query"]), features(row["image"]))} for row in rows]


def _matched(run: Run, places: PlaceSet, shown: int) -> pd.DataFrame:
    """A row for each pair that was compared: number (of the query), image (number), metres, inliers, and mirrored,
    inliers with the mirrored query (-1 within the threshold, where they tell nothing).

    These are the first ``shown`` of each query and, where one of them may accuse it, all images within the threshold.
    """
    limit, retrieved = run.config.val_positives_dist_threshold, run.retrieved()[:, :shown]
    compare = partial(_compare, places, lru_cache(REMEMBERED)(features), limit)
    found = _all([(number, images[images >= 0]) for number, images in enumerate(retrieved)], compare)
    accused = found[(found.metres > limit) & (found.inliers >= _needed(found, limit))].number.unique()
    near = places.neighbours(limit)
    others = [(number, np.setdiff1d(near[number], retrieved[number])) for number in accused]
    return pd.concat([found, _all(others, compare)], ignore_index=True)


def _all(rows: Sequence[tuple[int, np.ndarray]], compare: Callable) -> pd.DataFrame:
    """The pairs of all rows (query, images)."""
    with ThreadPoolExecutor(WORKERS) as pool:
        found = list(bar(pool.map(compare, rows), total=len(rows), desc="matching", unit="query"))
    columns = {"number": int, "image": int, "metres": float, "inliers": int, "mirrored": int}
    return pd.DataFrame([pair for pairs in found for pair in pairs], columns=list(columns)).astype(columns)


def _compare(places: PlaceSet, read: Callable, limit: float, row: tuple[int, np.ndarray]) -> list[tuple]:
    """The pairs of one query with some images."""
    number, images = row
    query, mirrored = (features(places.queries.path[number], mirrored) for mirrored in (False, True))
    metres = metres_to(places.queries.iloc[[number]], places.database, images[None])[0]
    pairs = []
    for image, away in zip(images, metres, strict=True):
        other = read(places.database.path[image])
        turned = len(geometric_matches(mirrored, other)) if away > limit else -1
        pairs.append((number, image, away, len(geometric_matches(query, other)), turned))
    return pairs


def _best(pairs: pd.DataFrame) -> pd.DataFrame:
    """The pair with most inliers of each query, by its number, the most inliers first."""
    return pairs.sort_values("inliers", ascending=False, kind="stable").groupby("number", sort=False).first()


def _needed(pairs: pd.DataFrame, limit: float) -> int:
    """Inliers that confirm an image: more than all but CHANCE of the mirrored queries have with any image far off."""
    mirrored = pairs[pairs.metres > limit].groupby("number").mirrored.max()
    return int(mirrored.quantile(1 - CHANCE, interpolation="higher")) + 1 if len(mirrored) else 0
