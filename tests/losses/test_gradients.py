"""Tables of forces: the paper's cells are confirmed, a planted fault is refuted, arrows are minus the gradient."""

import numpy as np
import pytest
import torch

from vg_core.losses import LOSSES, gradients
from vg_core.losses.gradients import EQUATIONS, FIGURE_3, check_gradients, force_table, paper_loss, tuple_forces

CHECKED = [*FIGURE_3.values(), *gradients.JOINT]


def test_a_table_has_every_distance_with_every_other():
    table = force_table({"one": "triplet_squared", "two": "contrastive"}, [0.5, 1.0], [0.25, 0.5, 2.0])
    assert table.groupby("variant", sort=False).size().to_dict() == {"one": 6, "two": 6}
    one = table[table.variant == "one"].set_index(["a", "b"])
    assert one.loc[(0.5, 0.25), ["pull", "push"]].tolist() == [1.0, 0.5]  # 2a and 2b
    assert one.loc[(0.5, 2.0), ["pull", "push"]].tolist() == [0.0, 0.0]  # beyond the margin
    np.testing.assert_allclose(table[["pull", "push"]], table[["pull_formula", "push_formula"]], atol=1e-14)


def test_a_loss_that_is_not_in_table_1_is_named():
    with pytest.raises(
        KeyError, match="no loss with a gradient in table 1 is called 'n_pair'; choose one of: triplet_squared,"
    ):
        force_table({"N-pair": "n_pair"}, [1.0], [1.0])


@pytest.mark.parametrize("name", CHECKED)
def test_every_gradient_of_the_paper_is_confirmed(name):
    table = check_gradients(name)
    assert table.gradient.tolist() == ["dL/dq", "dL/dp", "dL/dn"] and set(table.verdict) == {"confirmed"}
    assert table.source.tolist() == list(EQUATIONS.get(name, ("section 5", "table 1", "table 1")))


def test_equations_10_to_20_are_each_named_once():
    cited = sorted(int(source.removeprefix("eq. ")) for sources in EQUATIONS.values() for source in sources)
    assert cited == [10, 11, 12, 14, 15, 16, 18, 19, 20]  # 13 and 17 are losses


@pytest.mark.parametrize("name", CHECKED)
def test_a_gradient_a_millionth_off_is_refuted(name):
    def slightly_larger(*batch):
        return paper_loss(name)(*batch) * (1 + 1e-6)

    assert set(check_gradients(name, slightly_larger).verdict) == {"refuted"}


def test_a_wrong_formula_and_a_number_that_is_none_are_refuted(monkeypatch):
    monkeypatch.setitem(gradients.TABLE_1, "contrastive", lambda a, b: (a + 0 * b, (0.7 - b).clamp(min=0) + 1e-9))
    assert check_gradients("contrastive").verdict.tolist() == ["refuted", "confirmed", "refuted"]
    monkeypatch.setitem(gradients.TABLE_1, "contrastive", lambda a, b: (a * torch.nan + 0 * b, b * torch.nan))
    assert set(check_gradients("contrastive").verdict) == {"refuted"}


@pytest.mark.parametrize(
    ("name", "without_hinge"),
    [
        ("triplet_squared", lambda a, b: (2 * a + 0 * b, 2 * b + 0 * a)),
        ("contrastive", lambda a, b: (a + 0 * b, 0.7 - b)),
    ],
)
def test_a_formula_without_its_hinge_is_refuted(monkeypatch, name, without_hinge):
    """The random tuples meet both sides of it."""
    monkeypatch.setitem(gradients.TABLE_1, name, without_hinge)
    assert check_gradients(name).verdict.iloc[2] == "refuted"
    monkeypatch.setitem(gradients.TABLE_1, name, lambda a, b: (without_hinge(a, b)[0], 0 * b))
    assert check_gradients(name).verdict.iloc[2] == "refuted"


def test_a_step_along_the_arrows_lowers_the_loss():
    points = (0.0, 0.0), (0.8, -0.6), [(0.48, 0.64), (-1.2, 0.5), (-1.2, -1.6)]
    of_products = ("n_pair", "angular", "multi_similarity")  # which want unit vectors
    names = {name: name for name in LOSSES if name not in of_products}
    table = tuple_forces(names, *points)
    assert table.groupby("variant").size().unique() == 5
    for name, rows in table.groupby("variant"):
        moved = rows[["x", "y"]].to_numpy() + 0.01 * rows[["force_x", "force_y"]].to_numpy()
        after = tuple_forces({name: name}, moved[0], moved[1], moved[2:]).loss.iloc[0]
        assert after < rows.loss.iloc[0]
        np.testing.assert_allclose(rows[["force_x", "force_y"]].sum(), 0, atol=1e-5)  # nothing pushes the whole tuple


def test_only_a_hinge_lets_an_easy_negative_go():
    table = tuple_forces(FIGURE_3, (0, 0), (0.8, -0.6), [(0.48, 0.64), (-1.2, -1.6)])
    easy = table[(table.role == "negative") & (table.y < 0)].set_index("variant")
    pushed = np.hypot(easy.force_x, easy.force_y) > 0
    assert pushed.to_dict() == {name: name not in ("triplet, squared", "contrastive") for name in FIGURE_3}
