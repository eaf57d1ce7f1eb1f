"""What an epoch of each rung should take on an H200: counted from operations and bytes, before anything was measured.

ResNet-18 cut at conv4 and NetVLAD with 64 clusters, 480x640, the chip's bandwidth and matrix rates; decoding, reading
decoded pixels, a query mined for and the reference's search were measured on a CPU. What is sent to the device is not
counted, nor what compiling gains.
"""

from typing import NamedTuple

from benchmarks.ladder import RUNGS

IMAGE_SIZE = (480, 640)  # (height, width) that the costs are for
GOALS = {"augmented": 20.0, "trainer": 8.0}  # seconds of an epoch; both 25 times as fast as the reference, or more


class Costs(NamedTuple):
    """Microseconds of an image decoded or read by eight workers, described, described for validation, trained on, and
    of a query mined for; seconds of the validation's search.
    """

    decoded: float
    described: float
    validated: float
    trained: float
    mined: float
    search: float


CHANGES = {  # of costs by each rung; one that is not here changes none
    "reference": {"decoded": 708, "described": 275, "validated": 275, "trained": 563, "mined": 83_600, "search": 12},
    "mining": {"mined": 100, "search": 0.1},
    "pixels": {"decoded": 17},
    "netvlad": {"described": 174, "validated": 174, "trained": 242},
    "bf16": {"described": 98, "validated": 98, "trained": 138},
    "device_pixels": {"decoded": 0},
    # the model counts frozen layers without autograd here, too; in the ladder they never have any
    "folded": {"described": 70, "validated": 70, "trained": 112},
    "augmented": {"validated": 19},
    "trainer": {"described": 19, "trained": 62},
}


def predicted(rung: str, queries: int, described: float, trained: int, validated: int) -> float:
    """Seconds of an epoch of so many queries and images; workers decode while the device computes."""
    names, changes = list(RUNGS), {}
    for name in names[: names.index(rung) + 1]:
        changes |= CHANGES.get(name, {})
    costs = Costs(**changes)
    decoding = costs.decoded * (described + trained + validated)
    computing = costs.described * described + costs.trained * trained + costs.validated * validated
    return (costs.mined * queries + max(decoding, computing)) / 1e6 + costs.search
