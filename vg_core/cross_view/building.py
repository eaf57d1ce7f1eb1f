"""The network of a configuration of pairs."""

from vg_core.config import Config
from vg_core.cross_view.branches import TwoBranches
from vg_core.cross_view.oricnn import CHANNELS, SMALL, oricnn
from vg_core.cross_view.safa import safa


def build_branches(config: Config) -> TwoBranches:
    """SAFA or OriCNN as configured, on the CPU; what is random in it follows from ``config.seed`` alone.

    ValueError for weights that do not fit, and for any but "none" where there are none to start from.
    """
    task, sizes = config.task, config.task.sizes(config.image_size)
    if task.network == "safa":
        backbone = "small" if task.small else "vgg16"
        model = safa(sizes, backbone, task.position_maps, task.reduce, config.weights, seed=config.seed)
    else:
        if config.weights != "none":
            raise ValueError("OriCNN starts from random weights, there are no others: weights='none'")
        options = task.orientation_maps, task.random_turns, task.legacy_batch_statistics
        model = oricnn(sizes, *options, SMALL if task.small else CHANNELS, config.seed)
    model.config = config
    return model
