"""What one real batch of a training takes: bytes of its maps, seconds through the layers and back."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from vg_core.config import Config
from vg_core.devices import fast, free_memory
from vg_core.models import GeoModel, build_model
from vg_core.models.network import inference_copy
from vg_core.places.dataset import PlaceSet
from vg_core.places.images import normalise
from vg_core.places.photographs import Photographs

FEW = 2  # images that memory is measured on: a whole tuple without room would end the process
MARGIN = 1.3  # on memory that is counted: workspaces of convolutions, fragmentation
ALIVE = 2  # maps of the largest size that a layer has at hand: its input and its output


@dataclass(frozen=True)
class Batch:
    """What one real batch shows. Bytes and seconds are of one image unless they say otherwise."""

    dim: int  # values of a descriptor
    weights: int  # bytes of all of the network's
    trained: int  # bytes of those not frozen
    kept: int  # bytes for the backward pass
    largest: int  # bytes of the largest map
    stem: int  # bytes of what the frozen layers make; 0 when nothing is frozen
    decode_seconds: float  # by all threads
    stem_seconds: float  # through the frozen layers
    tail_seconds: float  # through those behind
    train_seconds: float  # through those behind and back


def measure(config: Config, places: PlaceSet, device: torch.device) -> Batch:
    """Bytes of a few training images and seconds of as many as a tuple has, or of the few where a tuple has no room in
    what is free; through a network of random clusters. Raises torch.OutOfMemoryError where a GPU has no room for that.
    """
    model = build_model(config).to(device, memory_format=torch.channels_last)
    files = [*places.database.path, *places.queries.path][: config.task.images_per_row]
    photographs, started = Photographs(files, config.image_size, progress=False), time.monotonic()
    pixels = torch.cat(list(photographs.batches([[i] for i in range(len(files))])))
    decode_seconds = (time.monotonic() - started) / len(files)
    with fast(device):
        few = normalise(pixels[:FEW].to(device))
        kept, largest, stem = _bytes(model, few)
        fits = len(files) * step_bytes(kept, largest) <= free_memory(device)
        spent = _layer_seconds(model, normalise(pixels.to(device)) if fits else few)
    weights = sum(p.nbytes for p in model.parameters())
    trained = sum(p.nbytes for p in model.parameters() if p.requires_grad)
    return Batch(model.dim, weights, trained, kept, largest, stem, decode_seconds, *spent)


def step_bytes(kept: int, largest: int) -> float:
    """Bytes of memory that one image takes on its way forth and back."""
    return MARGIN * (kept + ALIVE * largest)


def _bytes(model: GeoModel, few: torch.Tensor) -> tuple[int, int, int]:
    """``kept``, ``largest`` and ``stem`` of a Batch, from FEW images."""
    largest, maps = _largest_map(model, few), model.stem(few)
    model.train()
    # weights and their copies in bfloat16 are kept once, whatever the batch: the difference of two has none of them
    kept = _kept_for_backward(model, maps) - _kept_for_backward(model, maps[:1].clone())
    return kept // (FEW - 1), largest // FEW, maps.nbytes // FEW if model.backbone.frozen else 0


def _layer_seconds(model: GeoModel, images: torch.Tensor) -> list[float]:
    """``stem_seconds``, ``tail_seconds`` and ``train_seconds`` of a Batch."""
    device, network = images.device, inference_copy(model)
    with torch.inference_mode():
        stem_seconds = _seconds(device, lambda: network.stem(images))
        maps = network.stem(images)
        tail_seconds = _seconds(device, lambda: network.tail(maps))
    maps = model.stem(images)
    train_seconds = _seconds(device, lambda: model.train().tail(maps).sum().backward())
    return [seconds / len(images) for seconds in (stem_seconds, tail_seconds, train_seconds)]


def _kept_for_backward(model: GeoModel, maps: torch.Tensor) -> int:
    """Bytes that the trained layers keep for their backward pass; what is shared counts once."""
    sizes = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        descriptors = model.tail(maps)
    del descriptors  # until here what was kept is alive, and no address names two tensors
    return sum(sizes.values())


@torch.no_grad()
def _largest_map(model: GeoModel, images: torch.Tensor) -> int:
    """Bytes of the largest output of a layer."""
    sizes = [images.nbytes]
    hooks = [
        layer.register_forward_hook(lambda _layer, _inputs, output: sizes.append(output.nbytes))
        for layer in model.backbone.modules()
        if isinstance(layer, nn.Conv2d)
    ]
    model.eval()(images)
    for hook in hooks:
        hook.remove()
    return max(sizes)


def _seconds(device: torch.device, work: Callable[[], object]) -> float:
    """Of the fastest of three calls: the first one warms up, and others may use the machine, too."""
    spent = []
    for _ in range(3):
        started = time.monotonic()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        spent.append(time.monotonic() - started)
    return min(spent)
