"""Model soups: one network whose weights are the mean of those of several (Wortsman et al., ICML 2022)."""

from collections.abc import Callable, Sequence
from pathlib import Path

from torch import Tensor

from vg_core.models.checkpoint import load_model
from vg_core.models.network import GeoModel
from vg_core.models.weights import differences


def uniform_soup(paths: Sequence) -> GeoModel:
    """The mean of the models of these checkpoints, with the configuration of the first: see `save_model`. It is
    transductive if one of them is.

    Batch norms' statistics are averaged like weights, their counters to whole numbers. Raises what `load_model` raises,
    and ValueError for no checkpoint at all, for networks that are not alike and for whitened ones.
    """
    return _mean([Path(path) for path in paths])


def greedy_soup(paths: Sequence, score: Callable[[GeoModel], float]) -> tuple[GeoModel, list[Path]]:
    """(soup, its checkpoints): the best model by ``score``, then the others in turn, each kept if the score of the soup
    rises.

    ``score`` is the higher the better, such as recall@1 on **val**: a soup that was chosen on the test set is not
    tested by it. Raises what `uniform_soup` raises.
    """
    uniform_soup(paths)  # says what cannot be mixed before anything is scored
    single = {Path(path): score(load_model(path)) for path in paths}
    best, *others = sorted(single, key=single.get, reverse=True)
    soup, chosen, highest = load_model(best), [best], single[best]
    for path in others:
        tried = _mean([*chosen, path])
        found = score(tried)
        if found > highest:
            chosen, soup, highest = [*chosen, path], tried, found
    return soup, chosen


def _mean(paths: list[Path]) -> GeoModel:
    if not paths:
        raise ValueError("a soup needs the checkpoint of a model, at least one")
    soup = load_model(paths[0])
    transductive = soup.config.transductive
    sums = {name: tensor.double() for name, tensor in soup.state_dict().items()}  # exact: equal models stay as they are
    for path in paths[1:]:
        model = load_model(path)
        if fault := _unlike(soup, model):
            raise ValueError(f"{path} cannot be mixed with {paths[0]}: {fault}; a soup is made of one kind of network")
        transductive |= model.config.transductive
        for name, tensor in model.state_dict().items():
            sums[name] += tensor
    soup.config = soup.config.replace(transductive=transductive)
    soup.load_state_dict({name: _like(tensor, sums[name] / len(paths)) for name, tensor in soup.state_dict().items()})
    return soup


def _unlike(soup: GeoModel, model: GeoModel) -> str:
    """What keeps two models from being averaged, in words; empty when nothing does."""
    if model.whitening is not None:
        return "it is whitened, and whitenings of different networks have no axes in common"
    ours, theirs = ({name: type(layer).__name__ for name, layer in one.named_modules()} for one in (soup, model))
    if soup.config.image_size != model.config.image_size:
        sizes = ("x".join(map(str, one.config.image_size)) for one in (model, soup))
        return "it was trained on images of {} and not of {}".format(*sizes)
    fault = next((name for name in ours | theirs if ours.get(name) != theirs.get(name)), None)
    if fault is not None:
        return f"its layer {fault} is {theirs.get(fault, 'missing')} in place of {ours.get(fault, 'none')}"
    fault = differences(soup.state_dict(), model.state_dict())
    return f"tensors {fault}" if fault else ""


def _like(tensor: Tensor, mean: Tensor) -> Tensor:
    """The mean in the type of a tensor, rounded if that holds whole numbers."""
    return (mean if tensor.is_floating_point() else mean.round()).to(tensor.dtype)
