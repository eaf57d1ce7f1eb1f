"""Plots show what their tables say, in bytes that do not change, and leave matplotlib as they found it."""

import io
from xml.etree import ElementTree

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib import style
from matplotlib.colors import to_hex

from tests.plot_tables import (
    NAMES,
    comparison,
    extrapolated,
    field,
    forces,
    grid,
    history,
    images,
    metres,
    rates,
    recalls,
    results,
    simulated,
    spent,
    trials,
)
from vg_core import figures
from vg_core.figures.house_style import FULL, ink, logarithmic, look, percent
from vg_core.system.text import printable

EVERY = {
    "recall_curves": lambda: figures.recall_curves(recalls(4)),
    "recall_by_dimension": lambda: figures.recall_by_dimension(recalls(2).rename(columns={"n": "dimension"})),
    "recall_bars": lambda: figures.recall_bars(recalls(4)),
    "gain_forest": lambda: figures.gain_forest(comparison()),
    "training_curves": lambda: figures.training_curves(*history("GeM", "NetVLAD")),
    "mining_hardness": lambda: figures.mining_hardness(history("GeM")[0]),
    "domain_scores": lambda: figures.domain_scores(scores()),
    "effort_curves": lambda: figures.effort_curves(efforts()),
    "range_test": lambda: figures.range_test(rates()),
    "distance_to_positive": lambda: figures.distance_to_positive(images()),
    "images_per_place": lambda: figures.images_per_place(images()),
    "headings": lambda: figures.headings(images()),
    "times": lambda: figures.times(images()),
    "recall_against_metres": lambda: figures.recall_against_metres(metres()),
    "error_cdf": lambda: figures.error_cdf(pd.DataFrame({"metres": [3.0, 30.0, 300.0], "threshold": 25.0})),
    "metric_grid": lambda: figures.metric_grid(grid(), "lr", "optimizer", "recall_1"),
    "force_surfaces": lambda: figures.force_surfaces(forces()),
    "push_curves": lambda: figures.push_curves(forces(far=(1.0,))),
    "force_field": lambda: figures.force_field(field()),
    "phase_bars": lambda: figures.phase_bars(spent()),
    "speed_ratios": lambda: figures.speed_ratios(results()),
    "recall_against_time": lambda: figures.recall_against_time(trials()),
    "time_against_images": lambda: figures.time_against_images(trials(), extrapolated()),
    "recalls_covered": lambda: figures.recalls_covered(simulated()),
    "false_claims": lambda: figures.false_claims(simulated()),
    "cost_scatter": lambda: figures.cost_scatter(recalls(4).query("n == 1").assign(bytes_per_image=[1024, 65536] * 2)),
}


def scores() -> pd.DataFrame:
    """Of a training with gradient reversal and one with an auto-encoder."""
    rounds, _ = history("DA", "AE")
    told, rebuilt = rounds.variant == "DA", rounds.variant == "AE"
    scores = {"domain_accuracy": 80.0, "target_error": 0.5, "source_error": 0.2}
    return rounds.assign(
        **{name: np.where(told if "domain" in name else rebuilt, at, np.nan) for name, at in scores.items()}
    )


def efforts() -> pd.DataFrame:
    """Of two trainings with two seeds."""
    found = history(*NAMES[:2], seeds=2)[1]
    return found.assign(learned=480 * found.epoch, described=720 * found.epoch, minutes=0.2 * found.epoch)


def svg(figure) -> bytes:
    file = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "vg_core"}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


def lines(axes, gid=None) -> list:
    return [line for line in axes.lines if line.get_gid() == gid]


def texts(figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def colour(name: str) -> str:
    with style.context("vg_core.figures.house"):
        return ink(name)


def legend(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_every_plot_is_here():
    assert sorted(EVERY) == sorted(figures.__all__)


@pytest.mark.parametrize("name", EVERY)
def test_bytes_are_the_same_whatever_style_a_notebook_has(name):
    before = dict(mpl.rcParams)
    first = svg(EVERY[name]())
    assert dict(mpl.rcParams) == before and plt.get_fignums() == []
    with style.context(["dark_background", {"font.size": 30, "lines.linewidth": 9}]):
        assert svg(EVERY[name]()) == first


@pytest.mark.parametrize("name", EVERY)
def test_letters_can_be_read_and_none_is_cut_off(name):
    figure = EVERY[name]()
    figure.draw_without_rendering()
    assert figure.get_figwidth() <= FULL  # wider ones are shrunk in the report
    labels = [
        label
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for label in axis.get_ticklabels(which="both")
    ]
    for text in figure.findobj(mpl.text.Text):
        if text.get_text().strip():
            assert text.get_fontsize() >= 7, text
            if text not in labels:  # of which those beyond the axes are not drawn
                corners = text.get_window_extent().corners() / figure.dpi
                assert (corners >= -0.02).all() and (corners <= figure.get_size_inches() + 0.02).all(), text


def test_lines_that_coincide_are_all_seen():
    rounds, _ = history("GeM", "NetVLAD", "SGD")
    for axes in figures.mining_hardness(rounds).axes:
        assert len({line.get_linestyle() for line in lines(axes)}) == 3
    assert len({tuple(look(number).values()) for number in range(28)}) == 28
    curves = figures.recall_curves(recalls(2)).axes[0].lines
    assert {line.get_markerfacecolor() for line in curves} == {"none"}  # nor do points hide others


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(99.8, 0, "99.8"), (99.97, 1, "99.97"), (100, 1, "100.0"), (0.004, 1, "0.004"), (0, 0, "0"), (37.4, 0, "37")],
)
def test_all_and_none_are_said_only_of_all_and_none(value, digits, text):
    assert percent(value, digits) == text


@pytest.mark.parametrize("count", [0, 1, 12])
def test_none_one_and_many_variants(count):
    for draw in (figures.recall_curves, figures.recall_bars):
        assert ("no data" in texts(draw(recalls(count)))) == (count == 0)


def test_curves_are_the_table():
    table = recalls(3)
    figure = figures.recall_curves(table.sample(frac=1, random_state=0))  # rows in any order
    drawn = {line.get_label(): line.get_xydata() for line in figure.axes[0].lines}
    assert drawn.keys() == set(NAMES[:3])
    for name, points in drawn.items():
        np.testing.assert_array_equal(points, table.loc[table.variant == name, ["n", "recall"]])
    band = figure.axes[0].collections[0].get_paths()[0].vertices
    rows = table[table.variant == figure.axes[0].lines[0].get_label()]
    assert (band[:, 1].min(), band[:, 1].max()) == (rows.low.min(), rows.high.max())
    assert figure.axes[0].get_title(loc="right") == "315 queries · 3 seeds · band: 95 % interval"


def test_independent_units_are_named_and_few_are_not_trusted():
    table = recalls(2).assign(unit="blocks of 50 m", units=24.2)
    said = [figures.recall_curves(rows).axes[0].get_title(loc="right") for rows in (table, table.assign(units=7.1))]
    assert said[0] == "315 queries · 3 seeds · 24 blocks of 50 m\nband: 95 % interval"
    assert "7 blocks of 50 m" in said[1] and "fewer than 10: no interval can be trusted" in said[1].replace("\n", " ")


def test_simulated_promises_are_the_table():
    covered, claims = figures.recalls_covered(simulated()).axes[0], figures.false_claims(simulated()).axes[0]
    assert [line.get_xydata().tolist() for line in lines(covered)] == [[[12, 95], [100, 95]]] * 2
    assert [line.get_ydata().tolist() for line in lines(claims)] == [pytest.approx(y) for y in ([5, 5], [15, 5]) * 2]


def test_twelve_variants_look_different():
    drawn = figures.recall_curves(recalls(12)).axes[0].lines
    assert len({(line.get_color(), line.get_linestyle(), line.get_marker()) for line in drawn}) == 12


def test_bars_keep_the_order_of_the_table():
    table = recalls(4).iloc[::-1]
    axes = figures.recall_bars(table, n=5).axes[0]
    rows = table[table.n == 5]
    assert [label.get_text() for label in axes.get_yticklabels()] == list(rows.variant)
    dots, below, above = axes.lines
    np.testing.assert_array_equal(dots.get_xdata(), rows.recall)
    np.testing.assert_array_equal(above.get_xdata() - below.get_xdata(), 2 * rows.seed_std)
    intervals = [segment[:, 0] for segment in axes.collections[0].get_segments()]
    np.testing.assert_array_equal(intervals, rows[["low", "high"]])


def test_a_gain_is_coloured_only_when_its_interval_excludes_zero():
    axes = figures.gain_forest(comparison()).axes[0]
    assert len(lines(axes, "zero")) == 1 and set(lines(axes, "zero")[0].get_xdata()) == {0.0}
    dots = lines(axes)
    assert [dot.get_xdata()[0] for dot in dots] == [4.0, -5.0, 1.0]
    assert [to_hex(dot.get_color()) for dot in dots] == [colour(name) for name in ("green", "vermillion", "grey")]
    assert [dot.get_markerfacecolor() == "white" for dot in dots] == [False, False, True]
    assert [text.get_text() for text in axes.texts] == ["+4.0  p<0.001", "-5.0  p=0.010", "+1.0  p=0.600"]


def test_a_training_shows_its_rounds_and_its_best_epoch():
    rounds, epochs = history("GeM")
    above, below = figures.training_curves(rounds, epochs).axes
    np.testing.assert_array_equal(above.lines[0].get_xdata(), [0.5, 1.0, 1.5, 2.0])
    np.testing.assert_array_equal(above.lines[0].get_ydata(), rounds.loss)
    np.testing.assert_array_equal([line.get_ydata() for line in lines(below)], epochs[["recall_5", "recall_1"]].T)
    assert lines(below, "best")[0].get_xydata().tolist() == [[1, 60.0]]
    assert not (above.get_legend() or below.get_legend())  # they would hide lines


def test_the_first_round_is_seen_where_it_lies():
    rounds, epochs = history("GeM")
    above, below = figures.training_curves(rounds[:1].assign(rounds=4), epochs[:1]).axes
    assert above.lines[0].get_xydata().tolist() == [[0.25, rounds.loss[0]]]
    assert [line.get_marker() for line in (above.lines[0], *lines(below))] == ["."] * 3


def test_seeds_share_the_colour_of_their_variant():
    figure = figures.training_curves(*history("GeM", "NetVLAD", seeds=2))
    meanings = ["recall@5", "recall@1", "best recall@5"]
    assert legend(figure) == ["GeM", "NetVLAD", *meanings]
    expected = [colour(name) for name in ("blue", "blue", "orange", "orange")]
    assert [line.get_color() for line in lines(figure.axes[0])] == expected
    assert legend(figures.training_curves(*history("GeM", seeds=2))) == ["seed 0", "seed 1", *meanings]


def test_hardness_has_shares_in_percent():
    rounds, _ = history("GeM")
    active, distance, excluded = figures.mining_hardness(rounds).axes
    np.testing.assert_allclose(active.lines[0].get_ydata(), [90, 90, 45, 45])
    assert [line.get_ydata()[0] for line in distance.lines] == [0.6, 0.5]
    assert set(excluded.lines[0].get_ydata()) == {7}


def test_scores_of_domains():
    accuracy, error = (figure := figures.domain_scores(scores())).axes
    assert legend(figure) == ["DA", "AE", "error of targets", "of sources"]
    told = [np.nanmean(line.get_ydata()) for line in lines(accuracy)[:1]]
    rebuilt = [np.nanmean(line.get_ydata()) for line in error.lines[2:4]]
    assert told == [80] and rebuilt == pytest.approx([0.5, 0.2])


def test_a_range_test_shows_the_valley_and_the_divergence():
    axes = (figure := figures.range_test(rates())).axes[0]
    assert legend(figure) == ["diverged"]
    assert axes.get_xscale() == "log" and axes.get_ylim()[1] < 1
    assert lines(axes, "diverged")[0].get_xdata().tolist() == [0.1]


def test_an_easy_first_batch_does_not_hide_the_rest_of_a_range_test():
    losses = [0.02, *np.linspace(0.1, 0.05, 30), 50.0]
    axes = figures.range_test(pd.DataFrame({"lr": np.geomspace(1e-5, 1, 32), "loss": losses})).axes[0]
    assert 0.1 < axes.get_ylim()[1] < 0.5


def test_a_diverged_run_is_hatched_and_a_missing_one_is_empty():
    figure = figures.metric_grid(grid(), "lr", "optimizer", "recall_1")
    axes = figure.axes[0]
    assert [(patch.get_xy(), patch.get_hatch()) for patch in axes.patches] == [((1, 0), "////")]
    cells = axes.collections[0].get_array().reshape(2, 2)  # Adam at 0.1 was not run
    assert cells.mask.tolist() == [[False, True], [False, True]] and cells.compressed().tolist() == [50, 40]
    assert sorted(texts(figure)) == ["40.0", "50.0", "diverged"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.01", "0.1"]
    assert axes.get_title() == "recall@1 (%)"


def test_a_long_name_leaves_room_for_its_line():
    table = comparison().assign(
        variant=["25 · train × 0.75, test × 0.75", "30 · NetVLAD, exponential joint over ind", "jitter"]
    )
    axes = figures.gain_forest(table).axes[0]
    axes.figure.draw_without_rendering()
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["25 · train × 0.75, test\n× 0.75", "30 · NetVLAD, exponential\njoint over ind", "jitter"]
    assert axes.get_window_extent().width > 0.3 * axes.figure.bbox.width


def test_two_runs_in_one_cell_are_refused():
    with pytest.raises(ValueError, match="several rows share one lr and optimizer: average them first"):
        figures.metric_grid(pd.concat([grid(), grid()]), "lr", "optimizer", "recall_1")


def test_names_of_points_do_not_overlap():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"variant": NAMES, "recall": rng.uniform(50, 90, 12), "ms": rng.uniform(1, 40, 12)})
    axes = figures.cost_scatter(table, "ms").axes[0]
    boxes = [text.get_window_extent() for text in axes.texts]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert sorted(texts(axes.figure)) == sorted(NAMES)


def test_errors_are_cumulated():
    ranks = pd.DataFrame({"variant": "GeM", "metres": [300.0, 3.0, 30.0, 0.2], "threshold": 25.0})
    axes = figures.error_cdf(ranks).axes[0]
    np.testing.assert_array_equal(lines(axes)[0].get_xydata(), [[1, 25], [3, 50], [30, 75], [300, 100]])
    assert set(lines(axes, "threshold")[0].get_xdata()) == {25.0} and legend(axes.figure) == ["GeM", "25 m"]


def test_a_missing_column_is_named():
    with pytest.raises(ValueError, match="the table has no column low, high; it has: variant, n, recall"):
        figures.recall_curves(recalls(2).drop(columns=["low", "high"]))


def test_thresholds_may_be_whole_numbers():
    whole = metres().assign(threshold=lambda table: np.arange(1, len(table) + 1))
    assert whole.threshold.dtype.kind == "i"
    drawn = figures.recall_against_metres(whole).axes[0]
    assert [tick for tick in drawn.get_xticks() if tick not in whole.threshold.tolist()] == []


def test_gains_judged_by_a_prediction_carry_their_verdict():
    judged = comparison().drop(columns="p_holm").assign(verdict=["confirmed"] + ["undecided"] * (len(comparison()) - 1))
    axes = figures.gain_forest(judged).axes[0]
    assert [text.get_text().split("  ")[1] for text in axes.texts if "  " in text.get_text()] == list(judged.verdict)
    assert "Holm" not in axes.get_title(loc="right")


def test_recall_by_dimension_has_a_tick_for_each_length():
    table = recalls(2).rename(columns={"n": "dimension"}).assign(dimension=lambda t: t.dimension.map(lambda n: 16 * n))
    axes = figures.recall_by_dimension(table.sample(frac=1, random_state=0)).axes[0]
    assert axes.get_xscale() == "log" and list(axes.get_xticks()) == sorted(table.dimension.unique())
    for line, (_, rows) in zip(axes.lines, table.groupby("variant", sort=False), strict=True):
        assert list(line.get_ydata()) == list(rows.sort_values("dimension").recall)


# --- names of strangers -------------------------------------------------------------------------------------------
STRANGE = ["a$b^{$c", "_hidden $\\alpha$", "caf\udce9\x1b", "\uffff{{x}}<b>&--", "$\\frac{1}$", "%s\nb"]

# plots with names in a legend, along an axis, beside points, above panels; how many names each shows
NAMED = {"recall_curves": 4, "gain_forest": 3, "cost_scatter": 4, "metric_grid": 2, "force_field": 2, "speed_ratios": 3}
TICKS = {(1e-6, 1.0): "10⁻⁶ 10⁻⁵ 10⁻⁴ 0.001 0.01 0.1 1", (200, 2e5): "1000 10⁴ 10⁵"}
TICKS |= {(2e4, 5e4): "2×10⁴ 3×10⁴ 4×10⁴ 5×10⁴", (0.4, 0.6): "0.4 0.5 0.6"}


def renamed(table: pd.DataFrame) -> pd.DataFrame:
    """The table with strange names for its variants, engines, rows or optimizers."""
    for column in {"variant", "engine", "row", "optimizer"} & set(table):
        names = dict(zip(table[column].unique(), STRANGE, strict=False))
        table = table.assign(**{column: pd.Series([names[name] for name in table[column]], table.index, dtype=object)})
    return table


def all_texts(figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(mpl.text.Text)).replace("\u200b", "")


@pytest.mark.parametrize(("name", "shown"), NAMED.items())
def test_a_name_is_shown_as_it_is(name, shown, monkeypatch):
    draw = getattr(figures, name)
    monkeypatch.setattr(
        figures, name, lambda *given: draw(*(renamed(g) if hasattr(g, "columns") else g for g in given))
    )
    figure = EVERY[name]()
    ElementTree.fromstring(svg(figure))  # saved in another style, well-formed
    text = all_texts(figure)
    names = [printable(one) for one in STRANGE[:shown]]
    assert [one for one in names if one.replace("_", " " if name == "speed_ratios" else "_") not in text] == []


@pytest.mark.parametrize("form", ["png", "pdf"])
def test_a_figure_with_strange_names_is_saved_in_any_form(form):
    figures.recall_curves(renamed(recalls(6))).savefig(io.BytesIO(), format=form)


def test_a_name_that_begins_with_a_line_is_in_the_legend():
    table = recalls(2).assign(variant=np.repeat(["_", "__init__"], 4))
    assert [name.removeprefix("\u200b") for name in legend(figures.recall_curves(table))] == ["_", "__init__"]


@pytest.mark.parametrize("name", ["range_test", "speed_ratios", "recall_against_time"])
def test_numbers_of_logarithmic_axes_are_no_formulas(name):
    figure = EVERY[name]()
    figure.set_size_inches(9, 9)
    svg(figure)  # more ticks, made in another style
    assert "$" not in all_texts(figure) and "mathdefault" not in all_texts(figure)


@pytest.mark.parametrize(("ends", "numbers"), TICKS.items())
def test_numbers_of_logarithmic_axes_are_those_of_the_ticks(ends, numbers):
    with style.context("vg_core.figures.house", after_reset=True):
        figure, axes = plt.subplots()
        plt.close(figure)
        logarithmic(axes, "x")
        axes.set_xlim(*ends)
        figure.draw_without_rendering()
        ticks = [*axes.xaxis.get_major_ticks(), *axes.xaxis.get_minor_ticks()]
        seen = {t.get_loc(): t.label1.get_text() for t in ticks if ends[0] <= t.get_loc() <= ends[1] * 1.001}
    assert [seen[place] for place in sorted(seen) if seen[place]] == numbers.split()
