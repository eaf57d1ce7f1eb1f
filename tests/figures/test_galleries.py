"""Galleries show photographs upright and whole, judge them by colour and mark, and survive broken files."""

import io

import numpy as np
import pytest
from matplotlib import style
from matplotlib.colors import to_hex
from matplotlib.patches import ConnectionPatch
from PIL import Image

from tests.hostile import NAMES
from vg_core.figures.galleries import heat_gallery, match_gallery, photo_grid, picture_columns, retrieval_gallery
from vg_core.figures.house_style import ink
from vg_core.system.text import printable


@pytest.fixture
def photos(tmp_path, write_photo) -> list:
    return [write_photo(tmp_path, 500_000 + i, 5_000_000, seed=i) for i in range(7)]


def texts(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_a_grid_has_every_photograph_in_order(photos):
    figure = photo_grid(photos, titles=[f"{i}°" for i in range(7)], columns=3)
    assert [texts(axes) for axes in figure.axes] == [[f"{i}°"] for i in range(7)]
    lefts = [round(axes.get_position().x0, 6) for axes in figure.axes]
    assert lefts[0] == lefts[3] == lefts[6] < lefts[1] < lefts[2]
    for axes, path in zip(figure.axes, photos, strict=True):
        with Image.open(path) as photo:
            np.testing.assert_array_equal(axes.get_images()[0].get_array(), photo)


def test_a_photograph_lying_on_its_side_is_turned(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    Image.new("RGB", (80, 40)).save(tmp_path / "lying.jpg", exif=exif)
    assert photo_grid([tmp_path / "lying.jpg"]).axes[0].get_images()[0].get_array().shape == (80, 40, 3)


@pytest.mark.parametrize("content", [None, b"", b"\xff\xd8nonsense"])
def test_a_file_that_cannot_be_read_is_a_frame_with_its_name(photos, tmp_path, content):
    broken = tmp_path / "broken.jpg"
    if content is not None:
        broken.write_bytes(content)
    _, frame = photo_grid([photos[0], broken]).axes
    assert not frame.get_images() and texts(frame) == ["cannot be read\nbroken.jpg"]


def test_right_and_wrong_differ_in_colour_and_in_mark(photos):
    rows = [
        {
            "query": photos[0],
            "retrieved": photos[1:4],
            "metres": [3.2, 1500.0, np.nan],
            "correct": [True, False, False],
        },
        {"query": photos[4], "retrieved": photos[5:7], "metres": [0.0, 25.0], "correct": [True, True]},
    ]
    figure = retrieval_gallery(rows)
    with style.context("vg_core.figures.house"):
        green, red = ink("green"), ink("vermillion")
    judged = [axes for axes in figure.axes if len(axes.texts) == 2]
    assert len(figure.axes) == 7 and len(judged) == 5
    frames = [to_hex(axes.spines["left"].get_edgecolor()) for axes in judged]
    assert frames == [green, red, red, green, green]
    found = [texts(axes) for axes in judged]
    assert found == [["✓", "3 m"], ["✗", "1,500 m"], ["✗", "– m"], ["✓", "0 m"], ["✓", "25 m"]]
    assert [axes.get_title() for axes in figure.axes[:4]] == ["query", "1", "2", "3"]


def test_matches_are_lines_from_one_photograph_to_the_other(photos, tmp_path):
    seen = {"query": photos[0], "image": photos[1], "inliers": 2, "metres": 1200.0}
    seen |= {"within": photos[2], "inliers_within": 1, "metres_within": 3.0}
    seen["matches"] = np.array([[0.0, 0.0, 1.0, 1.0], [0.5, 0.25, 0.5, 0.75]])
    alone = seen | {"within": "", "image": tmp_path / "gone.jpg", "metres_within": np.nan}
    figure = match_gallery([seen, alone])
    assert [texts(axes)[-1] for axes in figure.axes[1:3]] == [
        "2 inliers, 1,200 m from its tag",
        "best near its tag: 1 inlier, 3 m",
    ]
    assert len(figure.axes) == 5 and "cannot be read\ngone.jpg" in texts(figure.axes[4])
    lines = figure.findobj(ConnectionPatch)
    assert [(line.xy1, line.xy2) for line in lines[:2]] == [((-0.5, -0.5), (63.5, 47.5)), ((31.5, 11.5), (31.5, 35.5))]
    assert len(lines) == 4 and lines[0].axesA is figure.axes[0] and lines[0].axesB is figure.axes[1]


def test_nothing_to_show_is_said():
    for figure in (photo_grid([]), retrieval_gallery([]), match_gallery([])):
        assert figure.texts[0].get_text() == "no data"


def test_picture_columns_show_every_picture_below_its_name():
    pictures = {"none": [np.zeros((6, 8, 3), np.uint8)] * 2, "random crop": [np.full((6, 8, 3), 200, np.uint8)] * 2}
    figure = picture_columns(pictures)
    assert len(figure.axes) == 4
    assert [axes.get_title() for axes in figure.axes if axes.get_title()] == ["none", "random\ncrop"]
    shown = [axes.get_images()[0].get_array() for axes in figure.axes]
    assert [picture.max() for picture in shown] == [0, 200, 0, 200]
    tops = [axes.get_position().y1 for axes in figure.axes]
    assert tops[0] == tops[1] > tops[2] == tops[3]
    assert picture_columns({}).texts[0].get_text() == "no data"


@pytest.mark.filterwarnings("ignore:Glyph")  # DejaVu Sans does not write Chinese
def test_names_of_files_are_shown_as_they_are():
    figure = photo_grid([f"there/{name}" for name in NAMES], titles=NAMES, columns=2)
    for name, axes in zip(NAMES, figure.axes, strict=True):
        frame, title = (text.replace("\n", "") for text in texts(axes))
        assert (
            frame == f"cannot be read{printable(name)}"
            and title.removesuffix("…") == printable(name)[: len(title.removesuffix("…"))]
        )
    figure.savefig(io.BytesIO(), format="svg")  # outside the style


def test_names_of_columns_and_models_are_shown_as_they_are(photos):
    names = [name for name in NAMES if " " not in name]
    columns = picture_columns({name: [np.zeros((6, 8, 3), np.uint8)] for name in names})
    assert [axes.get_title() for axes in columns.axes] == [printable(name) for name in names]
    seen = {"heat": np.ones((2, 2)), "path": photos[0], "metres": 1.0, "correct": True}
    heat = heat_gallery([{"query": photos[0], "models": [seen | {"name": name} for name in names[:3]]}])
    assert {axes.get_title() for axes in heat.axes} == {"", "query", *map(printable, names[:3])}
    for form in ("png", "pdf"):
        columns.savefig(io.BytesIO(), format=form)
