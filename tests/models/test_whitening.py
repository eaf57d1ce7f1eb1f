"""PCA whitening against numpy's own decomposition, its two forms against each other, its memory, and bad input."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.benchmarks.hungry import peak_is_told
from tests.children import child
from vg_core.models import whitening
from vg_core.models.whitening import Whitening
from vg_core.system.devices import peak_of


def descriptors(n, in_dim, seed=0):
    """Unit vectors with a common part and variances that fall off, as those of photographs do."""
    rng = np.random.default_rng(seed)
    fall = np.arange(1, in_dim + 1) ** -0.7
    table = (rng.standard_normal((n, in_dim)) + 0.5 * rng.standard_normal(in_dim)) * fall
    table = table @ np.linalg.qr(rng.standard_normal((in_dim, in_dim)))[0]
    return (table / np.linalg.norm(table, axis=1, keepdims=True)).astype(np.float32)


def whitened(learned, table):
    """What ``learned`` makes of a table before it normalises, float64."""
    return table.astype(float) @ learned.weight.numpy().T.astype(float) + learned.bias.numpy()


def by_numpy(table, dim):
    """Unit vectors by the formulas of the literature, with numpy's covariance."""
    values, vectors = np.linalg.eigh(np.cov(table.T.astype(float)))
    components = vectors[:, ::-1][:, :dim] / np.sqrt(values[::-1][:dim] + 1e-9)
    found = (table - table.mean(0, dtype=float)) @ components
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def assert_same_up_to_signs(found, expected, tolerance=1e-4):
    signs = np.sign((found * expected).sum(axis=0))
    np.testing.assert_allclose(found * signs, expected, atol=tolerance)


# --- what it is ------------------------------------------------------------------------------------------------


def test_two_descriptors_by_hand():
    """Mean (2, 1), covariance diag(2, 0) to (0.5, …): (x - mean) / √2 along the first axis."""
    table = np.array([[1, 1], [3, 1]], dtype=np.float32)
    learned = Whitening.learn(table, 1)
    np.testing.assert_allclose(abs(whitened(learned, table)), np.full((2, 1), 2**-0.5), rtol=1e-6)
    assert abs(learned(torch.tensor(table))).tolist() == [[1.0], [1.0]]


@pytest.mark.parametrize(("n", "in_dim", "dim"), [(400, 30, 30), (400, 30, 7), (60, 200, 59), (60, 200, 10)])
@pytest.mark.parametrize("exact", [whitening.EXACT, 1], ids=["float64", "float32"])
def test_the_whitened_training_set_has_identity_covariance(monkeypatch, exact, n, in_dim, dim):
    monkeypatch.setattr(whitening, "EXACT", exact)
    table = descriptors(n, in_dim)
    found = whitened(Whitening.learn(table, dim), table)
    np.testing.assert_allclose(np.cov(found.T).reshape(dim, dim), np.eye(dim), atol=2e-4)
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-5)


@pytest.mark.parametrize(("n", "in_dim", "dim"), [(300, 40, 12), (50, 120, 12)], ids=["primal", "dual"])
@pytest.mark.parametrize("exact", [whitening.EXACT, 1], ids=["float64", "float32"])
def test_it_is_the_formula_of_the_literature(monkeypatch, exact, n, in_dim, dim):
    monkeypatch.setattr(whitening, "EXACT", exact)
    table = descriptors(n, in_dim)
    found = Whitening.learn(table, dim)(torch.from_numpy(table))
    assert found.shape == (n, dim)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.norm(dim=1), torch.ones(n))
    assert_same_up_to_signs(found.numpy(), by_numpy(table, dim))


def test_dual_and_primal_form_agree_up_to_signs():
    """The same numbers, once with more values than descriptors, once without the values that are always zero."""
    table = descriptors(80, 40)
    padded = np.concatenate([table, np.zeros((80, 100), np.float32)], axis=1)
    primal, dual = Whitening.learn(table, 20), Whitening.learn(padded, 20)
    assert_same_up_to_signs(dual(torch.from_numpy(padded)).numpy(), primal(torch.from_numpy(table)).numpy(), 1e-5)
    np.testing.assert_allclose(dual.weight[:, 40:], 0, atol=1e-4)


def test_cutting_equals_learning_less():
    table = descriptors(200, 64)
    images = torch.from_numpy(descriptors(20, 64, seed=1))
    long, short = Whitening.learn(table, 32), Whitening.learn(table, 8)
    cut = long.truncated(8)
    assert (cut.in_dim, cut.dim) == (64, 8)
    assert_same_up_to_signs(cut(images).numpy(), short(images).numpy(), 1e-5)
    # before or after the first normalisation, it is the same
    torch.testing.assert_close(cut(images), torch.nn.functional.normalize(long(images)[:, :8], dim=1))
    long.weight.zero_()
    assert cut.weight.any()


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 30), st.integers(1, 30), st.integers(1, 300), st.booleans(), st.data())
def test_blocks_make_the_whole(n, in_dim, block, exact, data):
    dim = data.draw(st.integers(1, min(n - 1, in_dim)))
    table = descriptors(n, in_dim, seed=3)
    expected = Whitening.learn(table, dim)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whitening, "BLOCK", block)
        patch.setattr(whitening, "EXACT", whitening.EXACT if exact else 0)
        found = Whitening.learn(table, dim)
    images = torch.from_numpy(table)
    torch.testing.assert_close(
        found(images) @ found(images).T, expected(images) @ expected(images).T, atol=2e-3, rtol=0
    )


@pytest.mark.parametrize("exact", [whitening.EXACT, 1], ids=["float64", "float32"])
@pytest.mark.parametrize("shape", [(40, 10), (10, 40)], ids=["primal", "dual"])
def test_descriptors_that_hardly_vary_stay_finite(monkeypatch, exact, shape):
    monkeypatch.setattr(whitening, "EXACT", exact)
    table = np.repeat(descriptors(5, shape[1]), shape[0] // 5, axis=0)  # 4 directions
    found = Whitening.learn(table, 8)(torch.from_numpy(descriptors(30, shape[1], seed=1)))
    assert found.isfinite().all()
    torch.testing.assert_close(found.norm(dim=1), torch.ones(30))


# --- as a part of a network ------------------------------------------------------------------------------------


def test_it_is_saved_but_never_trained():
    learned = Whitening.learn(descriptors(50, 16), 4)
    assert list(learned.state_dict()) == ["weight", "bias"]
    assert not list(learned.parameters())
    copy = Whitening(16, 4)
    copy.load_state_dict(learned.state_dict())
    images = torch.from_numpy(descriptors(3, 16, seed=1))
    assert torch.equal(copy(images), learned(images))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_around_it_changes_nothing(dtype):
    table = descriptors(50, 16)
    table[:, 0] *= 1e-5  # a row of W much longer than the others
    learned = Whitening.learn(table, 16)
    images = torch.from_numpy(table)
    with torch.autocast("cpu", dtype=dtype):
        found = learned(images)
    assert found.dtype == torch.float32
    assert torch.equal(found, learned(images))


# --- input -----------------------------------------------------------------------------------------------------


def test_arrays_and_memory_maps_are_the_same(tmp_path):
    table = descriptors(40, 60)
    np.save(tmp_path / "table.npy", table)
    expected = Whitening.learn(table, 10).state_dict()
    for given_as in (np.load(tmp_path / "table.npy", mmap_mode="r"), np.asfortranarray(table)):
        for name, value in Whitening.learn(given_as, 10).state_dict().items():
            torch.testing.assert_close(value, expected[name], atol=1e-4, rtol=1e-4)


def broken(row, value):
    table = descriptors(20, 8)
    table[row, 3] = value
    return table


@pytest.mark.parametrize(
    ("table", "dim", "message"),
    [
        (np.zeros((1, 8), np.float32), 1, "1 descriptors of 8 values have no more than 0 components, dim=1"),
        (descriptors(5, 8), 5, "5 descriptors of 8 values have no more than 4 components, dim=5"),
        (descriptors(20, 8), 9, "20 descriptors of 8 values have no more than 8 components, dim=9"),
        (descriptors(20, 8), 0, "dim=0 is not among 1 to that"),
        (broken(0, np.nan), 2, "some descriptors are not finite"),
        (broken(13, np.inf), 2, "some descriptors are not finite"),
    ],
)
def test_bad_input_is_said(monkeypatch, table, dim, message):
    monkeypatch.setattr(whitening, "BLOCK", 30)  # several blocks
    with pytest.raises(ValueError, match=message):
        Whitening.learn(table, dim)


@pytest.mark.parametrize("dim", [0, 5])
def test_a_cut_that_is_none(dim):
    with pytest.raises(ValueError, match=rf"to 4 values cannot be cut to {dim}; choose 1…4"):
        Whitening(16, 4).truncated(dim)


# --- memory ----------------------------------------------------------------------------------------------------


def memory_of_learning(count, in_dim, dim):
    """Bytes that learning takes, of the table and of the weights, and what is said that it takes."""
    whitening.EXACT, whitening.BLOCK = 100, 500_000
    table = np.random.default_rng(0).standard_normal((count, in_dim), dtype=np.float32)
    Whitening.learn(table[:, :50], 10)  # libraries have loaded what they need
    learned = []
    peak = peak_of(lambda: learned.append(Whitening.learn(table, dim)), torch.device("cpu"))
    return peak, table.nbytes, learned[0].weight.nbytes, whitening.learning_bytes(count, in_dim, dim)


@peak_is_told
@pytest.mark.parametrize("shape", [(800, 20_000, 300), (1500, 1400, 1400), (1500, 4000, 1400)])
def test_learning_takes_less_memory_than_a_copy_of_the_descriptors(shape):
    peak, table, weight, expected = child(memory_of_learning, *shape)
    assert weight < peak < expected
    if shape[1] == 20_000:
        assert (table, weight) == (64_000_000, 24_000_000)
        assert expected < table  # a centred copy in float64 would be 128 MB
