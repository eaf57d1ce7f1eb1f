"""Files of weights, of ours and of others: what a file holds follows from the names and shapes of its tensors alone."""

import re
import shlex
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vg_core.attention.masks import AdaptiveAttention
from vg_core.models.backbones import BACKBONES, ENDS, HEADS, layers_of
from vg_core.models.tensor_files import read_tensors
from vg_core.models.transformers.names import renamed

COUNTER = "num_batches_tracked"  # of a batch norm: decides nothing, and files of old PyTorch versions lack it
OURS, COSPLACE = "a model of ours", "a CosPlace or EigenPlaces model"
MAKERS = {  # whose network it is, by the prefix of its backbone and whether the layers there have numbers for names
    ("backbone.", False): OURS,
    ("backbone.", True): "a DVGL model",
    ("backbone.model.", False): "a GSV-Cities model",
    ("encoder.", True): "a pytorch-NetVlad model",
    ("features.", True): "a backbone alone",
    ("", False): "a backbone alone",
}
WRAPPED = re.compile(r"(^|\.)(module|_orig_mod)\.")  # by DataParallel or torch.compile
FAMILIES = {  # by the start of their names, which have the same layers: one of the first convolutions, with its shape
    "cct": re.compile(r"(.*\.)?(patches)\.convolutions\.0\.weight .*"),
    "dinov2": re.compile(r"(.*\.)?(patches)\.proj\.weight \(\d+, 3, 14, 14\)"),
    "vit": re.compile(r"(.*\.)?(patches)\.proj\.weight .*"),
    "efficientnet": re.compile(r"(.*\.)?(block1|1)\.0\.block\.0\.0\.weight \(\d+, 1, 3, 3\)"),  # for each channel
    "resnet": re.compile(r"(.*\.)?(conv1|0)\.weight \(64, 3, 7, 7\)"),
    "vgg16": re.compile(r"(.*\.)?(conv1_1|0)\.weight \(64, 3, 3, 3\)"),
}
PARTS = {"backbone": "backbone", "pooling": "head.pool", "linear": "head.linear"}  # where they are in our networks
_ASSIGNMENT, _POOLING = r"(?:\w+(?:\.gem|\.\d)*\.conv|.*attention_pool)\.", r"\w+(?:\.gem|\.\d)*\."
SALAD = r"(?:token_features\.[02]|(?:cluster_features|score)\.[03])\.(?:weight|bias)|dust_bin"
HEAD = {  # parts by the names of their tensors, whose last group is the name here
    "pooling": re.compile(
        rf"head\.pool\.(.+)|{_ASSIGNMENT}(weight|bias)|{_POOLING}(p|centroids)|aggregator\.(?:agg\.)?({SALAD})"
    ),
    "linear": re.compile(r"(?:head\.linear|aggregation\.[13]|aggregator\.linear)\.(weight|bias)"),
}
# heads of DVGL, pytorch-NetVlad, CosPlace, SALAD and MegaLoc that can be built here: options by their tensors' names
HEADS_OF_OTHERS = {
    "aggregation.1.p": {"pooling": "gem", "l2": "before_pool"},
    "aggregation.0.p": {"pooling": "gem", "l2": "after_pool"},
    "aggregation.1.p aggregation.3.bias aggregation.3.weight": {"pooling": "gem", "l2": "both"},
    "aggregation.0.1.p aggregation.1.bias aggregation.1.weight": {"pooling": "gem", "l2": "both"},
    "aggregation.centroids aggregation.conv.weight": {"pooling": "netvlad"},
    "pool.centroids pool.conv.weight": {"pooling": "netvlad"},
    "aggregator.SALAD": {"pooling": "salad"},  # which stands for all its tensors
    "aggregator.agg.SALAD aggregator.linear.bias aggregator.linear.weight": {"pooling": "salad"},
    "aggregation.0.centroids aggregation.0.conv.weight aggregation.1.bias aggregation.1.weight": {"pooling": "netvlad"},
}


@dataclass(frozen=True)
class Weights:
    """The tensors of a network that somebody has saved."""

    kind: str  # whose it is, in words
    family: str  # of FAMILIES
    parts: dict[str, dict[str, Tensor]]  # of each of PARTS, its tensors by the names that they have here
    head: dict[str, str]  # names in the file of all tensors behind the backbone, and the part that each belongs to


def recognised(tensors: Mapping[str, Tensor], file: Path) -> Weights:
    """What the tensors of a file are; ValueError for a network of no family that is known here."""
    given = {WRAPPED.sub(r"\1", key): value for key, value in tensors.items()}
    tensors = renamed(given)
    shapes = [f"{key} {tuple(value.shape)}" for key, value in tensors.items()]
    matches = ((family, match) for family, first in FAMILIES.items() for match in map(first.fullmatch, shapes) if match)
    family, match = next(matches, ("", None))
    if match is None:
        names = first_names(tensors)
        raise ValueError(
            f"{file} holds no ResNet, VGG-16, EfficientNet or transformer by names known here, but {names}"
        )
    prefix, name = match.groups(default="")
    numbers = {str(number): layer for number, layer in enumerate(layers_of(of_family(family)[0]))}
    parts, head = {part: {} for part in PARTS}, {}
    for key, value in tensors.items():
        layer, _, rest = key.removeprefix(prefix).partition(".")
        if key.startswith(prefix) and layer not in HEADS:
            parts["backbone"][f"{numbers.get(layer, layer)}.{rest}"] = value
            continue
        head[key], here = next(((part, found) for part in HEAD if (found := HEAD[part].fullmatch(key))), ("", None))
        if here:  # others write (K, C) as (K, C, 1, 1)
            parts[head[key]][here[here.lastindex]] = value.flatten(1) if value.shape[2:] == (1, 1) else value
    kind = COSPLACE if "aggregation.3.weight" in head else MAKERS.get((prefix, name.isdigit()), "a model of others")
    if kind == OURS and tensors.keys() != given.keys():
        kind = "a model of others"
    return Weights(kind, family, parts, head)


def of_family(family: str) -> list[str]:
    return [name for name in BACKBONES if name.startswith(family)]


def architecture(weights: Weights) -> tuple[str, str] | None:
    """(backbone, last layer with weights) that has all of a file's tensors and no others; None when none here has."""
    found = weights.parts["backbone"]
    for name in of_family(weights.family):
        states = {layer: module.state_dict(prefix=f"{layer}.") for layer, module in layers_of(name).items()}
        wanted = {key: value for end in ENDS for key, value in states.pop(end, {}).items()}
        for layer, own in states.items():
            wanted |= own
            if own and not differences(wanted, found):
                return name, layer
    return None


def options(weights: Weights, file: Path) -> dict:
    """Options of ``Config`` for a network of others; ValueError says what it is if it cannot be built."""
    names = sorted({re.sub(SALAD, "SALAD", name) for name in weights.head})
    known, head = architecture(weights), HEADS_OF_OTHERS.get(" ".join(names))
    if known and head:
        if head.get("l2") == "after_pool":
            warnings.warn(f"{file} is read as of --l2 after_pool: with none, names would be the same", stacklevel=4)
        pooling, linear = weights.parts["pooling"], weights.parts["linear"]
        found = {"clusters": pooling.get("centroids", pooling.get("score.3.bias")), "fc_output_dim": linear.get("bias")}
        found["cluster_dim"] = pooling.get("cluster_features.3.bias")
        sizes = {option: len(torch.atleast_1d(tensor)) for option, tensor in found.items() if tensor is not None}
        return {"backbone": known[0], "layer": known[1], "freeze": "none", "weights": "none"} | head | sizes
    if weights.kind == OURS:
        raise ValueError(f"{file} is {OURS} without its configuration, as a state.pt; give best.safetensors beside it")
    found = first_names(weights.head) or "none, so that nothing tells the pooling"
    command = known and f"train --weights {shlex.quote(str(file))} --backbone {known[0]} --layer {known[1]}"
    use = f"can be used: python -m vg_core {command}" if known else f"is none of {', '.join(BACKBONES)}"
    raise ValueError(
        f"{file} is {weights.kind} with a head unknown here (its tensors: {found}), which cannot be built here; "
        f"its backbone {use}"
    )


def start_from(model: torch.nn.Module, file: Path) -> None:
    """Take a file's backbone up to the model's last layer and, if that is the file's last layer too, what fits of its
    head: the pooling, then the linear layer; and the classes that an adaptive attention looks for.
    """
    config, tensors = model.config, read_tensors(file)[1]
    weights = recognised(tensors, file)
    backbone, pooling, linear = (weights.parts[part] for part in PARTS)
    cut = layers_of(config.backbone).keys() - dict(model.backbone.named_children()).keys()
    behind = sorted({key.partition(".")[0] for key in backbone} & cut)
    taken = {"backbone": {key: value for key, value in backbone.items() if key.partition(".")[0] not in behind}}
    faults = differences(model.backbone.state_dict(), taken["backbone"])
    if faults:
        known = architecture(weights)
        found = f"it is {weights.kind}, {known[0]} up to {known[1]}" if known else f"tensors {faults}"
        raise ValueError(f"{file} does not fit {config.backbone} up to {config.layer}; {found}")
    misfit = "of another layer" if behind else differences(model.pooling.state_dict(), pooling)
    if pooling and not misfit:
        taken["pooling"] = pooling
    if config.fc_output_dim and not misfit and not differences(model.head.linear.state_dict(), linear):
        taken["linear"] = linear
    attention, classes = getattr(model.head, "attention", None), ("fc.weight", "fc.bias")
    if isinstance(attention, AdaptiveAttention) and tensors.keys() >= {*classes} and not behind:
        attention.take(*sound({name: tensors[name] for name in classes}, file).values())
    for part, own in taken.items():
        model.get_submodule(PARTS[part]).load_state_dict(sound(own, file))
    model.ready |= "pooling" in taken
    left = first_names([*behind, *(key for key, part in weights.head.items() if part not in taken)]) or "nothing"
    model.origin = f"{file} is {weights.kind}; taken: {' and '.join(taken)}; left aside: {left}"
    if pooling and misfit:
        model.origin += f" (the pooling is {misfit})"


def differences(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """What keeps the tensors ``found`` from being those ``wanted``, in words; empty when they fit."""
    faults = {
        "missing": [key for key in wanted if key not in found and not key.endswith(COUNTER)],
        "unknown": [key for key in found if key not in wanted],
        "of another shape": [
            f"{key} {tuple(found[key].shape)} instead of {tuple(tensor.shape)}"
            for key, tensor in wanted.items()
            if key in found and found[key].shape != tensor.shape
        ],
    }
    return "; ".join(f"{fault}: {first_names(keys)}" for fault, keys in faults.items() if keys)


def first_names(keys: Iterable[str], most: int = 5) -> str:
    keys = list(keys)
    return ", ".join(keys[:most]) + (f" and {len(keys) - most} more" if len(keys) > most else "")


def sound(tensors: Mapping[str, Tensor], file: Path) -> dict[str, Tensor]:
    """Copies of tensors that have the right shapes, in float32; ValueError names the first that does not hold finite
    floating-point numbers.
    """
    copies = {}
    for name, tensor in tensors.items():
        counts = name.endswith(COUNTER)
        # an expanded tensor is larger than what it keeps: a small file could ask for all memory
        plain = tensor.layout is torch.strided and tensor.is_cpu and tensor.nbytes <= tensor.untyped_storage().nbytes()
        if not plain or not (counts or tensor.is_floating_point()):
            raise ValueError(f"{file}: tensor {name} is no plain one of floating-point numbers ({tensor.dtype})")
        # the sum takes a tenth of the time; of large numbers it may be infinite
        if not counts and not tensor.float().sum().isfinite() and not tensor.isfinite().all():
            raise ValueError(f"{file}: tensor {name} holds NaN or infinity; the training diverged, or it is damaged")
        # a copy, because what safetensors reads is the file itself, and changes with it
        copies[name] = tensor.detach().to(torch.int64 if counts else torch.float32, copy=True)
    return copies
