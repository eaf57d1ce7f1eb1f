"""What never changes is made once and stays in memory where it fits: the frozen layers' output, pixels on a GPU."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vg_core.datasets.photographs import Photographs, in_parts
from vg_core.models.network import Encoded, GeoModel, frozen_stem
from vg_core.models.precision import mixed_precision, normalise
from vg_core.system import processes
from vg_core.system.devices import free_memory
from vg_core.system.progress_bar import bar

STEMS_SHARE = 0.5  # of what is free on the network's device; the other half is for training
SHARED_SHARE = 0.1  # of the same: caches up to this are held for later runs of this process
PIXELS_SHARE = 0.25  # of what is free on a GPU, beside the frozen layers' output of other photographs
COMPILED_AT_MOST = 64  # compiled forms of a network: some per architecture of a sweep, by batch, mode and gradient
Stem = Callable[[Tensor], Tensor]  # images to the frozen layers' output


class DeviceCache:
    """Photographs in the memory of a device: here their uint8 pixels, read and sent there once.

    All are made when the first is asked for, in batches of their own: what is in it does not depend on who asks, and a
    run that was stopped goes on with the same numbers. Several processes, which all have to ask, share out the batches,
    and each of them has everything at the end: any image may come up in any of their batches.
    """

    label = "pixels to the device, once"  # of the progress bar

    def __init__(self, photographs: Photographs, device: torch.device, batch_size: int):
        self.photographs, self.device, self.batch_size = photographs, device, batch_size
        self.one = self.make(torch.zeros(1, 3, *photographs.size, dtype=torch.uint8))  # (1, C, H, W)

    def make(self, pixels: Tensor) -> Tensor:
        """(B, C, H, W) on the device: what the cache holds of pixels (B, 3, H, W)."""
        return pixels.to(self.device)

    def __len__(self) -> int:
        return len(self.photographs)

    @property
    def nbytes(self) -> int:
        """Bytes that all of it takes."""
        return len(self) * self.one.nbytes

    @cached_property
    def maps(self) -> Tensor:
        """(N, H, W, C): everything in the cache, channels last, as networks compute."""
        _, channels, height, width = self.one.shape
        own = np.arange(len(self))[processes.share(len(self), self.batch_size)]  # (n,)
        parts = list(in_parts(own, self.batch_size))
        with torch.inference_mode(False):  # asked for by inference or not, a training step must be able to use them
            maps = torch.empty(len(self), height, width, channels, dtype=self.one.dtype, device=self.device)
            batches = self.photographs.batches(parts)
            for part, images in zip(bar(parts, desc=self.label), batches, strict=True):
                maps[part[0] : part[-1] + 1] = self.make(images).permute(0, 2, 3, 1)  # (B, H, W, C)
            return processes.complete(maps, self.batch_size)

    def batches(self, indices: Sequence[Sequence[int]]) -> Iterator[Tensor]:
        """Copies (B, C, H, W) in channels-last layout for each list of indices."""
        maps = self.maps
        return (maps[torch.from_numpy(np.asarray(wanted))].permute(0, 3, 1, 2) for wanted in indices)


class StemCache(DeviceCache):
    """Photographs as the frozen layers of a network see them, on the network's device; ``GeoModel.encode`` takes them.

    They are float32, or bfloat16 where the network computes in it, as the same layers give in a training step.
    """

    label = "frozen layers, once"

    def __init__(self, model: GeoModel, photographs: Photographs, batch_size: int):
        self.stem = frozen_stem(model)
        super().__init__(photographs, next(model.parameters()).device, batch_size)

    def make(self, pixels: Tensor) -> Tensor:
        with mixed_precision(self.device):
            return self.stem(normalise(pixels.to(self.device, non_blocking=True)))


_shared: dict[tuple, StemCache] = {}  # by what they follow from; the one used last comes last


def keep_stems(
    model: GeoModel, sets: Sequence[Photographs], batch_size: int, budget: int | None = None
) -> list[Photographs | StemCache]:
    """Each set of photographs, or a StemCache of it as long as they fit in ``budget`` bytes together, the first first.

    The budget is by default STEMS_SHARE of what is free, to the first of several processes: a cache is made by all of
    them together. A network without frozen layers needs none.
    """
    if not len(model.frozen_layers):
        return list(sets)
    device, sources = next(model.parameters()).device, []
    budget = processes.agreed(int(STEMS_SHARE * free_memory(device))) if budget is None else budget
    for photographs in sets:
        cache = shared_stems(model, photographs, batch_size)
        fits = cache.nbytes <= budget
        if not fits:
            print(
                f"what the frozen layers make of {len(cache)} images would take {cache.nbytes / 1e9:.1f} GB of the "
                f"{budget / 1e9:.1f} GB set aside for it: computing it on every pass instead (slower)."
            )
        budget -= cache.nbytes * fits
        sources.append(cache if fits else photographs)
    return sources


def shared_stems(model: GeoModel, photographs: Photographs, batch_size: int) -> StemCache:
    """The StemCache of photographs, which later runs with the same frozen layers get again where it is small: those
    used last are held, up to SHARED_SHARE of what is free.
    """
    if photographs.pixels is None:  # nothing names its contents
        return StemCache(model, photographs, batch_size)
    device, weights = next(model.parameters()).device, hashlib.sha256()
    for tensor in model.frozen_layers.state_dict().values():
        weights.update(tensor.cpu().numpy().tobytes())
    key = weights.hexdigest(), Path(photographs.pixels.filename).name, device, batch_size
    found = _shared.pop(key, None)
    found = StemCache(model, photographs, batch_size) if found is None else found
    most = processes.agreed(int(SHARED_SHARE * free_memory(device)))
    if found.nbytes <= most:
        _shared[key] = found
    while sum(cache.nbytes for cache in _shared.values()) > most:
        del _shared[next(iter(_shared))]
    return found


def stems_if_shared(model: GeoModel, photographs: Photographs, batch_size: int) -> Photographs | StemCache:
    """The StemCache of photographs if later runs get it again, else the photographs: making it would gain nothing."""
    if not len(model.frozen_layers) or photographs.pixels is None:
        return photographs
    cache = shared_stems(model, photographs, batch_size)
    return cache if cache in _shared.values() else photographs


def keep_pixels(source: Photographs | StemCache, device: torch.device, batch_size: int) -> Photographs | DeviceCache:
    """A DeviceCache of photographs if the device is a GPU with room for them; else, or of others, the source."""
    if not isinstance(source, Photographs):
        return source
    fit = processes.agreed(pixels_fit(source.nbytes, device, free_memory(device)))  # all make them together, or none
    return DeviceCache(source, device, batch_size) if fit else source


class Sources(NamedTuple):
    """Where the images come from that a training takes its steps on, chooses tuples among, and is validated on."""

    learned: Photographs | DeviceCache
    mined: Photographs | DeviceCache
    validated: Photographs | DeviceCache


def keep(model: GeoModel, sets: tuple[Photographs, Photographs], augmented: bool, batch_size: int) -> Sources:
    """The sources of a training on the ``sets`` train and val: what never changes is kept where it fits."""
    train, device = sets[0], next(model.parameters()).device
    mined, validated = keep_stems(model, sets, batch_size)
    others = augmented and isinstance(mined, StemCache)  # frozen layers make something else of augmented images
    mined = keep_pixels(mined, device, batch_size)
    return Sources(keep_pixels(train, device, batch_size) if others else mined, mined, validated)


def pixels_fit(nbytes: int, device: torch.device, free: float) -> bool:
    """True when decoded photographs of ``nbytes`` have room on a GPU with so many bytes free."""
    return device.type == "cuda" and nbytes <= PIXELS_SHARE * free


def descriptors_of(network: GeoModel, batch: Tensor, stem: Stem | None = None) -> Tensor:
    """Descriptors (B, D) of uint8 pixels (B, 3, H, W), or of what the frozen layers made of them, as in a StemCache.

    ``stem`` stands in for the network's own frozen layers. Compiled if the network's configuration asks for it; copies
    of a network share what was compiled.
    """
    work = _compiled(_descriptors_of) if network.config.compile else _descriptors_of
    return work(network, batch, stem or network.stem)


def encoded(network: GeoModel, batch: Tensor, stem: Stem | None = None) -> Encoded:
    """Descriptors (B, D) as from ``descriptors_of``, and the maps (B, C, H, W) that they were pooled from."""
    work = _compiled(_encoded) if network.config.compile else _encoded
    return work(network, batch, stem or network.stem)


@cache
def _compiled(work: Callable) -> Callable:
    torch._dynamo.config.recompile_limit = COMPILED_AT_MOST  # beyond its 8, PyTorch goes on uncompiled, with a warning
    return torch.compile(work)


def _descriptors_of(network: GeoModel, batch: Tensor, stem: Stem) -> Tensor:
    return _encoded(network, batch, stem).descriptors


def _encoded(network: GeoModel, batch: Tensor, stem: Stem) -> Encoded:
    return network.encode(stem(normalise(batch)) if batch.dtype is torch.uint8 else batch)
