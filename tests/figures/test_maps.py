"""Maps put photographs where they were taken, open without a network, stay small, and count what they leave out."""

import io
import json
import re
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib import style
from matplotlib.collections import PatchCollection
from matplotlib.colors import to_hex

from tests.hostile import FOLDER, NAMES
from vg_core.datasets.folders import taken_at
from vg_core.datasets.labels import to_utm
from vg_core.figures import interactive_maps
from vg_core.figures.house_style import GROUPS, ink
from vg_core.figures.interactive_maps import folium_map, locate_map
from vg_core.figures.static_maps import class_map, density_map, static_map
from vg_core.system.text import printable


def photographs(count: int, seed: int = 0, folder="nowhere") -> pd.DataFrame:
    """Photographs within some 200 m; two of them share each position."""
    rng = np.random.default_rng(seed)
    degrees = np.repeat(np.array([43.3, 8.4]) + rng.uniform(0, 0.002, ((count + 1) // 2, 2)), 2, axis=0)[:count]
    metres = np.array([to_utm(*pair)[:2] for pair in degrees]).reshape(-1, 2)
    columns = {"latitude": degrees[:, 0], "longitude": degrees[:, 1], "easting": metres[:, 0], "northing": metres[:, 1]}
    return pd.DataFrame({"path": [f"{folder}/{i}.jpg" for i in range(count)]} | columns)


def svg(figure) -> bytes:
    file = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "vg_core"}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


def page(chart) -> str:
    return chart.get_root().render()


def given(text: str) -> dict:
    """What a page is given to draw."""
    return json.JSONDecoder().raw_decode(text, text.index('{"degrees"'))[0]


def without_zones(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(latitude=np.nan, longitude=np.nan)


# --- on paper -----------------------------------------------------------------------------------------------------
def splits() -> dict:
    return {"val": (photographs(20), photographs(10)), "train": (photographs(8, 2), photographs(6, 3))}


def test_positions_are_drawn_once_each_and_images_are_counted():
    figure = static_map(splits())
    for axes, (database, queries) in zip(figure.axes, splits().values(), strict=True):
        for dots, table in zip(axes.collections, (database, queries), strict=False):
            places = np.unique(table[["easting", "northing"]], axis=0)
            np.testing.assert_array_equal(dots.get_offsets(), places)
        texts = [text.get_text() for text in axes.get_legend().get_texts()]
        assert texts[:2] == [f"{len(database)} database", f"{len(queries)} queries"]
    with style.context("vg_core.figures.house"):
        expected = [ink(GROUPS[role]) for role in ("database", "queries")]
        assert [to_hex(dots.get_facecolor()[0]) for dots in figure.axes[0].collections[:2]] == expected


def test_queries_without_positives_are_crossed():
    database = pd.DataFrame({"easting": [500_000.0], "northing": [5_000_000.0]})
    queries = database.loc[[0] * 3].assign(easting=[500_000.0, 500_025.0, 500_025.02])
    _, _, crosses = static_map({"test": (database, queries)}).axes[0].collections
    assert crosses.get_offsets().tolist() == [[500_025.02, 5_000_000.0]]
    assert crosses.get_label() == "1 without positives"


def test_a_database_that_is_empty_leaves_every_query_without_positives():
    nothing, queries = photographs(0), photographs(4)
    assert static_map({"test": (nothing, queries)}).axes[0].collections[2].get_label() == "4 without positives"


def test_the_scale_bar_is_as_long_as_it_says():
    axes = static_map({"val": splits()["val"]}).axes[0]
    (bar,) = [line for line in axes.lines if line.get_gid() == "scale"]
    start, end = bar.get_xdata()
    assert f" {end - start:g} m" in [text.get_text() for text in axes.texts]
    assert end - start <= np.ptp(axes.get_xlim()) / 4


def test_a_wedge_opens_to_where_its_photographs_look():
    metres = {"easting": [500, 509.9, 500, 550, 900], "northing": [40, 44, 40, 40, 909]}
    photographs = pd.DataFrame(metres | {"heading": [0, 29, 91, 359, 360], "group": [1, 1, 2, 2, 1]})
    axes = class_map(photographs, 10, 30).axes
    whole, part = ([c.get_paths() for c in one.collections if isinstance(c, PatchCollection)] for one in axes)
    assert {tuple(path.vertices.min(axis=0)) for path in whole[1]} == {(500, 40), (900, 900)}  # cells of group 1
    (north,), (east, north_west) = ([path.vertices for path in paths] for paths in part)  # around (505, 45), (555, 45)
    assert (north.min(axis=0) > [504.9, 44.9]).all() and np.ptp(north[:, 1]) > np.ptp(north[:, 0])
    assert (east.min(axis=0) > [504.9, 40]).all() and east[:, 1].max() < 45.1
    assert north_west[:, 0].max() < 555.1 and north_west[:, 1].min() > 44.9


def test_cells_hold_the_images_inside_them():
    table = pd.DataFrame({"easting": [1000.0, 1024.9, 1025.0, 1080.0], "northing": [50.0, 50.0, 60.0, 99.0]})
    mesh = density_map({"test": table}).axes[0].collections[0]
    counts = mesh.get_array().reshape(2, 4)  # northwards, eastwards
    np.testing.assert_array_equal(counts.filled(0), [[2, 1, 0, 0], [0, 0, 0, 1]])


@pytest.mark.parametrize("draw", [static_map, lambda pairs: density_map({k: a for k, (a, _) in pairs.items()})])
def test_paper_maps_have_the_same_bytes_and_touch_nothing(draw):
    before = dict(mpl.rcParams)
    first = svg(draw(splits()))
    assert dict(mpl.rcParams) == before and plt.get_fignums() == []
    with style.context(["dark_background", {"font.size": 30, "lines.linewidth": 9}]):
        assert svg(draw(splits())) == first


def test_many_dots_do_not_make_a_large_file():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.uniform(4_000_000, 4_001_000, (20_000, 2)), columns=["easting", "northing"])
    assert len(svg(static_map({"test": (table, table)}))) < 1_000_000


@pytest.mark.parametrize("pairs", [{}, {"test": (photographs(0), photographs(0))}])
def test_a_map_of_nothing_is_refused(pairs):
    with pytest.raises(ValueError, match="there is no position to draw"):
        static_map(pairs)
    with pytest.raises(ValueError, match="there is no position to draw"):
        folium_map(pairs)


# --- on the screen ------------------------------------------------------------------------------------------------
def test_a_page_has_every_position_and_needs_no_network():
    text = page(folium_map(splits()))
    for database, queries in splits().values():
        for table in (database, queries):
            for latitude, longitude in table[["latitude", "longitude"]].drop_duplicates().to_numpy():
                assert f"[{round(longitude, 7)}, {round(latitude, 7)}]" in text
    assert "val database: 20 photographs, 10 positions" in text
    looks = {
        layer["title"].split(":")[0]: (layer["look"]["color"], layer.get("name")) for layer in given(text)["layers"]
    }
    assert looks["val database"][0] != looks["val queries"][0]
    assert [looks[f"{split} database"][1][0] for split in splits()] == ["val", "train"]  # written on the map
    assert re.findall(r'<(?:script|link)[^>]*(?:src|href)="?http', text) == []
    assert 'version="1.9' in text  # Leaflet itself


def test_layers_may_have_a_colour_for_each_name():
    layers = given(page(folium_map({f"group {n}": (photographs(4, n), photographs(0)) for n in range(3)}, True)))[
        "layers"
    ]
    assert len({layer["look"]["color"] for layer in layers}) == len(layers) == 3  # none for tables without rows


def test_thumbnails_are_in_the_page(tmp_path, write_photo, monkeypatch):
    file = write_photo(tmp_path, 500_000, 4_800_000)
    table = photographs(3, folder=tmp_path)
    table.loc[0, "path"] = str(file)
    text = page(folium_map({"test": (table, photographs(0))}))
    assert text.count("data:image/jpeg;base64,") == 1 and text.count("(file cannot be read)") == 1
    assert "2 of 2 dots have a picture" in text and file.name in text
    monkeypatch.setattr(interactive_maps, "PICTURES", 0)
    assert "data:image/jpeg" not in page(folium_map({"test": (table, table)}))


def test_a_large_set_is_capped_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(interactive_maps, "PICTURES", 2000)
    noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    plt.imsave(tmp_path / "noise.png", noise)  # nothing compresses worse
    many = photographs(8_000).assign(path=str(tmp_path / "noise.png"))
    chart = folium_map({"train": (many, many)})
    text = page(chart)
    assert len(text) < 5_000_000 and len(chart._repr_html_()) < 6_000_000
    assert "8,000 photographs, 4,000 positions, 1,500 of them shown" in text
    pictured = int(re.search(r"([\d,]+) of 3,000 dots have a picture", text)[1].replace(",", ""))
    assert 100 < pictured < 2000 and text.count("data:image/jpeg") == pictured


def test_photographs_without_degrees_are_counted():
    table = photographs(6)
    table.loc[:1, ["latitude", "longitude"]] = np.nan
    assert "2 photographs without degrees are not shown" in page(folium_map({"test": (table, photographs(2))}))


@pytest.mark.parametrize("name", NAMES)
def test_names_are_data_and_never_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    facts = {"metres": 0.0, "distance": 0.0, "error": 0.0}
    table = photographs(2).assign(path=pd.Series([f"there/{name}"] * 2, dtype=object), **facts)
    pages = []
    for chart in (folium_map({name: (table, table.head(0))}), locate_map(f"there/{name}", table, table.head(1))):
        chart.save("map.html")
        text = Path("map.html").read_text("utf-8")
        assert text.count("<script") == text.count("</script") == 3
        pages.append(given(text))
        dots = [dot for layer in pages[-1]["layers"] for dot in layer["dots"]]
        assert {tuple(dot["said"][-1]) for dot in dots} == {("small", printable(name))}
    shown = pages[0]["layers"][0]
    assert shown["title"].startswith(f"{printable(name)} database: 2 photographs")
    assert shown["dots"][0]["said"][0] == ["b", f"{printable(name)} database"]
    assert pages[1]["remark"][1] == ["span", f"where is this? {printable(name)}"]
    assert not (tmp_path / FOLDER).exists()


def guessed() -> pd.DataFrame:
    facts = {"metres": [0.0, 12.4, 300.0], "distance": [0.9, 0.8, 0.7], "error": np.nan}
    return photographs(6).iloc[::2].reset_index(drop=True).assign(**facts)


def test_guesses_are_numbered(tmp_path, write_photo):
    photo = write_photo(tmp_path, 500_000, 4_800_000)
    text = page(locate_map(photo, guessed(), guessed().head(0)))
    assert [number for number in "123" if f'"number": "{number}"' in text] == ["1", "2", "3"]
    assert "descriptor distance 0.800" in text and "12 m from the best" in text and "data:image/jpeg" in text
    assert [layer["title"] for layer in given(text)["layers"]] == ["other guesses", "best guess"]


def test_photographs_of_guesses_stand_beside_the_map(tmp_path, write_photo):
    files = [str(write_photo(tmp_path, 500_000 + i, 4_800_000)) for i in range(3)]
    asked, _, *beside = given(page(locate_map(files[0], guessed().assign(path=files), guessed().head(0))))["remark"]
    assert [tag for tag, _ in (asked, *beside)] == ["img", *["img", "span"] * 3]
    assert beside[3] == ["span", "guess 2: 12 m from the best"]


@pytest.mark.parametrize("degrees", [True, False])
def test_where_the_photograph_was_taken_is_shown_if_it_is_known(degrees):
    rows = guessed() if degrees else without_zones(guessed())
    facts = given(page(locate_map("nowhere/photo.jpg", rows.assign(error=[7.0, 14.0, 290.0]), photographs(1))))
    assert [layer["title"] for layer in facts["layers"]] == ["where it was taken", "other guesses", "best guess"]
    (truth,) = facts["layers"][0]["dots"]
    axes = ["longitude", "latitude"] if degrees else ["easting", "northing"]
    np.testing.assert_allclose(truth["at"], photographs(1)[axes].iloc[0], atol=1e-6)
    assert ["span", "guess 2: 14 m off"] in facts["remark"] and ["span", "290 m off"] in facts["layers"][1]["dots"][0][
        "said"
    ]


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("@500030.00@4800000.00@29@T@.jpg", (500_030, 4_800_000)),
        ("@500030.00@4800000.00@30@T@.jpg", None),  # of another zone: no metres to these guesses
        ("photo.jpg", None),
    ],
)
def test_a_name_may_say_where_its_photograph_was_taken(name, place):
    guesses = guessed().assign(**dict.fromkeys(["heading", "pano_id", "timestamp", "note"], ""), zone_number=29)
    found = taken_at(f"there/{name}", guesses.assign(zone_letter="T"))
    assert found[["easting", "northing"]].to_numpy().tolist() == ([list(place)] if place else [])
    assert found.latitude.between(43.3, 43.4).all()


# --- without zones ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("unknown", [[0], [1, 2], [0, 1, 2]])
def test_guesses_without_degrees_are_numbered_on_a_grid_of_metres(unknown):
    guesses = guessed()
    guesses.loc[unknown, ["latitude", "longitude"]] = np.nan
    chart = locate_map("nowhere/photo.jpg", guesses, guesses.head(0))
    facts = given(page(chart))
    dots = [dot for layer in facts["layers"][::-1] for dot in layer["dots"]]
    dots.sort(key=lambda dot: dot["number"])
    np.testing.assert_allclose([dot["at"] for dot in dots], guesses[["easting", "northing"]], atol=1e-6)
    assert [dot["number"] for dot in dots] == ["1", "2", "3"] and not facts["degrees"]
    assert "L.CRS.Simple" in page(chart) and "no UTM zone: this is a grid of metres" in facts["remark"][-1][1]
    position = f"{guesses.easting[1]:.2f} E {guesses.northing[1]:.2f} N"
    assert ["span", position] in dots[1]["said"]


@pytest.mark.parametrize("count", [1, 2, 400])
@pytest.mark.parametrize("spread", [1.0, 300.0])
def test_lines_of_the_grid_enclose_the_photographs_evenly(count, spread):
    table = without_zones(photographs(count))
    centre = table.easting.mean()
    table = table.assign(easting=centre + spread * (table.easting - centre))
    facts = given(page(folium_map({"test": (table, table)})))
    step = float(re.search(r"a line every (\S+) m", facts["remark"][-1][1])[1].replace(",", ""))
    for axis, side in ((0, "northing"), (1, "easting")):
        across = np.array(sorted({line[0][axis] for line in facts["lines"] if line[0][axis] == line[1][axis]}))
        np.testing.assert_allclose(np.diff(across), step)
        assert across[0] <= table[side].min() and table[side].max() <= across[-1]
    assert 4 <= len(facts["lines"]) <= 30


def test_a_grid_counts_what_it_shows():
    table = without_zones(photographs(6))
    facts = given(page(folium_map({"train": (table, photographs(0)), "test": (table, table)})))
    assert "6 photographs, 3 positions" in facts["layers"][0]["title"]
    assert not any("not shown" in text for _, text in facts["remark"])
    known = photographs(2)
    assert given(page(folium_map({"train": (table, table), "test": (known, known)})))["degrees"]
