"""Losses over tuples by name, with their options."""

from functools import partial
from inspect import signature

from vg_core.losses import rivals, tuples
from vg_core.losses.rivals import SOS_LAMBDA
from vg_core.losses.tuples import MARGIN, Loss, Normaliser
from vg_core.system.errors import ByName

# all losses of both modules, in their order
LOSSES: dict[str, Loss] = ByName(
    "loss", {name: one for module in (tuples, rivals) for name, one in vars(module).items() if isinstance(one, Loss)}
)
WHOLE_BATCH = ("sos", "multi_similarity_of_places")  # whose value is no mean over the rows of a batch


def make_loss(
    name: str, margin: float = MARGIN, normaliser: Normaliser = "pairs", sos_lambda: float = SOS_LAMBDA
) -> Loss:
    """The loss called ``name`` with its options bound, to be called with tuples alone.

    KeyError for an unknown name. ValueError for an option other than its default that this loss does not have: it would
    be a difference between two runs that makes none.
    """
    loss, bound = LOSSES[name], {}
    given = ("margin", margin, MARGIN), ("normaliser", normaliser, "pairs"), ("sos_lambda", sos_lambda, SOS_LAMBDA)
    for option, value, default in given:
        if option in signature(loss.whole).parameters:
            bound[option] = value
        elif value != default:
            raise ValueError(f"{option}={value} does nothing to the loss {name!r}; leave it at {default}")
    return Loss(partial(loss.whole, **bound)) if bound else loss
