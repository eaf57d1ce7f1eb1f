"""Pictures of what a loss does to a tuple: lengths of its gradients over two distances, and arrows in the plane."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure

from vg_core.figures.house_style import COLUMN, FULL, ink, look, marker, plot, remark, variants

LEVELS = (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1, 1.5, 2, 3, 4)  # unit vectors are at most 2 apart, forces at most 4
MARKERS = 17  # over a curve: enough to see that they lie on it
ROLES = {"query": ("o", "blue"), "positive": ("s", "green"), "negative": ("X", "vermillion")}
ACROSS = 4  # panels side by side


@plot("variant a b pull push pull_formula push_formula")
def force_surfaces(forces: pd.DataFrame) -> Figure:
    """|dL/dp| above |dL/dn| over b = ||q - n|| (to the right) and a = ||q - p|| (upwards), a column per variant.

    Columns: variant, a, b, pull, push, and the closed forms pull_formula and push_formula; every a with every b, evenly
    spaced, or a ValueError. Colours are autograd's, thin lines the closed form's: where both agree, colours change at
    the lines. All panels share one scale of uneven steps; where nothing is pulled or pushed a panel is white. On the
    dashed line a = b: negatives to its left are nearer than the positive. Source: SARE, figure 3.
    """
    for _, name, rows in variants(forces):
        if rows.duplicated(["a", "b"]).any() or len(rows) != rows.a.nunique() * rows.b.nunique():
            raise ValueError(f"the forces of {name} are no grid: give every a with every b once")
    names = forces.variant.nunique()
    figure, panels = plt.subplots(2, max(names, 1), figsize=(FULL, 2.8), sharex=True, sharey=True, squeeze=False)
    shades = ScalarMappable(BoundaryNorm(LEVELS, plt.get_cmap().N), plt.get_cmap())
    for line, force, symbol in zip(panels, ("pull", "push"), ("|∂L/∂p|", "|∂L/∂n|"), strict=True):
        for axes, (_, _, rows) in zip(line, variants(forces), strict=False):
            _surface(axes, rows, force, shades)
        line[0].set_ylabel(f"{symbol}\n‖q − p‖")
    for axes, (_, name, _) in zip(panels[0], variants(forces), strict=False):
        axes.set_title(name, pad=3)
    plt.setp(panels[1], xlabel="‖q − n‖")
    figure.colorbar(shades, ax=panels, label="length of the gradient", ticks=LEVELS, format="%g", pad=0.01, aspect=30)
    return figure


@plot("variant a b push push_formula")
def push_curves(forces: pd.DataFrame) -> Figure:
    """|dL/dn| against b = ||q - n|| at one a = ||q - p||: autograd as lines, closed forms as markers on them.

    Columns: variant, a (one value, or a ValueError), b, push, push_formula. Dotted: b = a, where the negative is as far
    away as the positive. Source: SARE, figure 4.
    """
    far = forces.a.unique()
    if len(far) > 1:
        raise ValueError(f"curves are drawn at one distance a, the table has {len(far)}: choose one")
    figure, axes = plt.subplots(figsize=(COLUMN, 2.5))
    for number, name, rows in variants(forces):
        rows = rows.sort_values("b")
        axes.plot(rows.b, rows.push, **look(number))
        few = rows.iloc[np.linspace(0, len(rows) - 1, MARKERS).round().astype(int)]
        hollow = {"marker": marker(number), "markerfacecolor": "white", "markersize": 3.8}
        axes.plot(few.b, few.push_formula, gid="formula", **look(number) | hollow | {"linestyle": ""})
        axes.plot([], [], label=name, gid="meaning", **look(number) | hollow)
    for a in far:
        axes.axvline(a, color=ink("grey"), linestyle=":", linewidth=0.8, gid="as far as the positive")
    axes.set(xlabel="‖q − n‖", ylabel="|∂L/∂n|", ylim=(0, None))
    remark(axes, "lines: autograd · markers: closed form · dotted: ‖q − n‖ = ‖q − p‖")
    return figure


@plot("variant loss role x y force_x force_y")
def force_field(forces: pd.DataFrame) -> Figure:
    """The points of one tuple in the plane, and on each an arrow: minus the gradient of the loss; a panel per variant.

    Columns: variant, loss (written above the panel), role (query, positive, negative), x, y, force_x, force_y. Arrows
    are as long as the force, in the units of the plane: they end where a descent with learning rate 1 would step.
    """
    names = max(forces.variant.nunique(), 1)
    across = min(names, ACROSS)
    size = (FULL * across / ACROSS, 0.35 + 1.8 * -(-names // across))
    figure, panels = plt.subplots(-(-names // across), across, figsize=size, sharex=True, sharey=True, squeeze=False)
    for axes in panels.flat[names:]:
        axes.remove()
    for axes, (_, name, rows) in zip(panels.flat, variants(forces), strict=False):
        axes.set_title(name, fontsize=7, pad=12)
        axes.annotate("", (0.5, 1), (0, 3), "axes fraction", "offset points", ha="center", fontsize=7)  # the loss
        _points(axes, rows)
    move_forces(figure, forces)
    return figure


def move_forces(figure: Figure, forces: pd.DataFrame) -> None:
    """Move points and arrows of a ``force_field`` to where another table of the same tuple has them; axes stay."""
    for axes, (_, _, rows) in zip(figure.axes, variants(forces), strict=False):
        (arrows,), (loss,), role = axes.collections, axes.texts, rows.role.to_numpy()
        places = rows[["x", "y"]].to_numpy()  # (points, 2)
        arrows.set_offsets(places)
        arrows.set_UVC(*rows[["force_x", "force_y"]].to_numpy().T)
        for points in axes.lines:
            points.set_data(places[role == points.get_label()].T)
        loss.set_text(f"loss {rows.loss.iloc[0]:.3f}")


def _surface(axes: Axes, rows: pd.DataFrame, force: str, shades: ScalarMappable) -> None:
    """One force as a picture with a pixel for each pair of distances."""
    grid = rows.pivot_table(force, "a", "b")  # (a, b)
    (left, right), (bottom, top) = _edges(grid.columns), _edges(grid.index)
    drawn = {"origin": "lower", "interpolation": "none", "extent": (left, right, bottom, top)}
    axes.imshow(np.ma.masked_equal(grid.to_numpy(), 0), norm=shades.norm, cmap=shades.cmap, **drawn)
    formula = rows.pivot_table(f"{force}_formula", "a", "b")
    inside = [level for level in LEVELS if formula.to_numpy().min() < level < formula.to_numpy().max()]
    axes.contour(formula.columns, formula.index, formula, inside, colors=ink("grey"), linewidths=0.5).set_gid("formula")
    ends = max(left, bottom), min(right, top)
    axes.plot(ends, ends, "--", color=ink("vermillion"), linewidth=0.9, gid="a = b")
    axes.grid(False)


def _edges(values: pd.Index) -> tuple[float, float]:
    """Where the first pixel begins and the last one ends."""
    half = (values[-1] - values[0]) / max(len(values) - 1, 1) / 2
    return values[0] - half, values[-1] + half


def _points(axes: Axes, rows: pd.DataFrame) -> None:
    """Draw arrows without length, and points, on axes around the query as wide as its tuple reaches."""
    colours = [ink(ROLES[role][1]) for role in rows.role]
    arrows = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.01, "zorder": 2.5}
    axes.quiver(rows.x, rows.y, 0 * rows.x, 0 * rows.y, color=colours, **arrows)
    for role, (shape, colour) in ROLES.items():
        axes.plot([], [], shape, color=ink(colour), markersize=4, label=role)
    x, y = rows.loc[rows.role == "query", ["x", "y"]].iloc[0]
    reach = 1.15 * np.hypot(rows.x - x, rows.y - y).max()
    axes.set(xlim=(x - reach, x + reach), ylim=(y - reach, y + reach), aspect="equal")
