"""Soups: means of weights, statistics and counters; what is chosen greedily; and what cannot be mixed."""

import pytest
import torch

from vg_core.config import Config
from vg_core.models import build_model, load_model, save_model
from vg_core.models.soup import greedy_soup, uniform_soup
from vg_core.models.whitening import Whitening

CONFIG = Config(weights="none", layer="layer1", freeze="conv1", pooling="gem", fc_output_dim=4)
COUNTER = "backbone.bn1.num_batches_tracked"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Function that writes a model as it is built from a seed, with statistics and counters that training leaves."""
    folder = tmp_path_factory.mktemp("models")

    def write(seed, whitened=False, **changes):
        model = build_model(CONFIG.replace(seed=seed, **changes))
        for name, tensor in model.state_dict().items():
            if name.endswith(("running_mean", "running_var", "pool.p")):
                tensor.uniform_(0.5, 1.5)
            elif name.endswith("num_batches_tracked"):
                tensor.fill_(seed)
        if whitened:
            model.whiten(Whitening.learn(torch.rand(20, 4).numpy(), 2))
        file = folder / f"{seed}_{'_'.join(map(str, changes.values()))}{whitened}.safetensors"
        save_model(model, file)
        return file

    return write


def tensors(model):
    return model.state_dict()


def test_every_tensor_is_the_mean_and_counters_are_whole(saved, tmp_path):
    files = [saved(seed) for seed in (1, 2, 5)]
    soup, states = uniform_soup(files), [tensors(load_model(file)) for file in files]
    for name, found in tensors(soup).items():
        mean = torch.stack([state[name].double() for state in states]).mean(0)
        expected = mean if found.is_floating_point() else mean.round()
        torch.testing.assert_close(found, expected.to(found.dtype))
    assert tensors(soup)[COUNTER] == 3 and tensors(uniform_soup(files[1:]))[COUNTER] == 4  # of 2.67, which is not 2
    assert soup.config == CONFIG.replace(seed=1) and not soup.training
    save_model(soup, tmp_path / "soup.safetensors")
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(load_model(tmp_path / "soup.safetensors")(images), soup(images))


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_equal_models_stay_as_they_are(saved, count):
    file = saved(1)
    expected = tensors(load_model(file))
    assert all(torch.equal(tensor, expected[name]) for name, tensor in tensors(uniform_soup([file] * count)).items())


def test_a_soup_of_linear_layers_is_the_mean_of_their_outputs(saved):
    files, pooled = [saved(seed) for seed in (1, 2, 5)], torch.randn(3, 64)
    outputs = [load_model(file).head.linear(pooled) for file in files]
    torch.testing.assert_close(uniform_soup(files).head.linear(pooled), torch.stack(outputs).mean(0))


def test_the_greedy_soup_takes_what_raises_its_score(saved):
    files, asked = {seed: saved(seed) for seed in (1, 4, 9)}, []
    scores = {9: 5, 4: 4, 1: 2} | {6: 5, 5: 6}  # by the models' counters; 9 with 4 is as good as 9, 9 with 1 better

    def score(model):
        asked.append(int(tensors(model)[COUNTER]))
        return scores[asked[-1]]

    soup, chosen = greedy_soup([files[1], files[9], files[4]], score)
    assert chosen == [files[9], files[1]] and asked == [1, 9, 4, 6, 5]
    expected = tensors(uniform_soup(chosen))
    assert all(torch.equal(tensor, expected[name]) for name, tensor in tensors(soup).items())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pooling": "max"}, r"its layer head.pool is MaxPool in place of GeM"),
        ({"l2": "after_pool"}, r"its layer head.l2_locations is missing in place of L2"),
        ({"fc_output_dim": 5}, r"tensors of another shape: head.linear.weight \(5, 64\) instead of \(4, 64\), .*"),
        ({"layer": "layer2"}, r"its layer backbone.layer2 is \w+ in place of none"),
    ],
)
def test_unlike_networks_are_not_mixed(saved, changes, message):
    first, other = saved(1), saved(2, **changes)
    for soup in (uniform_soup, lambda files: greedy_soup(files, lambda model: pytest.fail("scored"))):
        with pytest.raises(ValueError, match=rf"{other.name} cannot be mixed with .*{first.name}: {message}; a soup"):
            soup([first, other])


def test_whitened_models_are_not_mixed(saved):
    files = [saved(seed, whitened=True) for seed in (1, 2)]
    with pytest.raises(ValueError, match="it is whitened, and whitenings of different networks have no axes in common"):
        uniform_soup(files)


def test_a_soup_of_nothing(tmp_path):
    for soup in (uniform_soup, lambda files: greedy_soup(files, lambda model: 0.0)):
        with pytest.raises(ValueError, match="a soup needs the checkpoint of a model, at least one"):
            soup([])
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at .*none\.safetensors"):
        uniform_soup([tmp_path / "none.safetensors"])
