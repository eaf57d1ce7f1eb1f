"""Which values an option may have: in configurations, on the command line, in environment variables."""

import difflib
import os
import re
import reprlib
from types import UnionType
from typing import Literal, get_args, get_origin, get_type_hints

LARGEST = 2**31 - 1  # Faiss takes its seed, and indices are stored, as 32 bits
BOUNDS: dict[str, tuple[float, float]] = {  # both ends are allowed; whatever is not finite lies outside
    name: (low, high)
    for names, low, high in (
        ("image_size test_image_size aerial_size", 24, 16_384),  # pixels; below, a stride of 16 leaves a single row
        ("clusters cluster_dim", 1, 65_536),
        ("fc_output_dim", 0, 65_536),
        ("whitened_dim", 0, 4096),
        ("train_batch_size infer_batch_size batch_size accumulate patience top", 1, LARGEST),
        ("queries_per_epoch cache_refresh_rate negs_num_per_query neg_samples_num images_per_row", 1, LARGEST),
        ("images_per_place", 2, LARGEST),
        ("epochs_num lr_halving_epochs val_queries seed batch_hard_count memory_size", 0, LARGEST),
        ("train_positives_dist_threshold val_positives_dist_threshold", 0.001, 20_000_000),  # metres, to the antipodes
        ("train_positives_min_dist", 0, 20_000_000),
        ("lr attention_lr classifiers_lr", 1e-12, 1000),
        ("weight_decay margin sos_lambda logit_margin domain_weight domain_margin emms_weight", 0, 1000),
        ("fda_beta", 0, 1),
        ("soft_margin_alpha", 0.001, 1000),
        ("near_metres", 0, 20_000_000),
        ("position_maps", 0, 1024),
        ("logit_scale", 0.001, 1_000_000),
        ("M", 0.1, 1_000_000),  # metres
        ("alpha L", 1, 360),  # degrees; directions
        ("N min_images_per_class groups_num", 1, 1_000_000),
        ("momentum", 0, 0.999_999),
        ("older_than", 0, 36_500),  # days
    )
    for name in names.split()
}
WORDS = {str: "a text", int: "a whole number", float: "a number", float | None: "a number", bool: "true or false"}
_short = reprlib.Repr()  # what a file gives may be of any length and depth
_short.maxstring = 100
shortened = _short.repr


def check_cluster(cluster: str) -> None:
    """ValueError for what is no place where runs can be made."""
    known = ("auto", "here", "local")
    if cluster in known or re.fullmatch(r"\w+://\S+|\S+:\d+", cluster):
        return
    near = difflib.get_close_matches(cluster, known, 1)
    raise ValueError(
        f"cluster={shortened(cluster)} is none of {', '.join(known)}, nor the address of a Dask scheduler, such as "
        "tcp://10.0.0.1:8786" + (f"; did you mean {near[0]}?" if near else "")
    )


def allowed_bytes(variable: str, default: int = 0) -> int:
    """Bytes that an environment variable allows, or the default where it is not set; ValueError if it is no number."""
    return whole_number(variable, default, "bytes", 8_000_000_000)


def whole_number(variable: str, default: int, unit: str, example: int) -> int:
    """What an environment variable holds, or the default where it is not set; ValueError if it is no number."""
    text = os.environ.get(variable, str(default))
    if not re.fullmatch("[0-9]{1,18}", text):
        raise ValueError(f"{variable}={text!r} must be a whole number of {unit}, e.g. {variable}={example}")
    return int(text)


def check(options: object) -> None:
    """Raises ValueError for an option of a dataclass that has another type than its field, none of the field's choices,
    or a number outside its ``BOUNDS``.
    """
    for name, hint in get_type_hints(type(options)).items():
        value, choices = getattr(options, name), get_args(hint) if get_origin(hint) is Literal else ()
        kind = str if choices else hint
        if not _is_of(value, kind):
            raise ValueError(f"{name}={shortened(value)} must be {WORDS.get(kind, '(height, width) in whole pixels')}")
        if choices and value not in choices:
            raise ValueError(f"{name}={shortened(value)} is unknown; choose one of: {', '.join(choices)}")
    check_numbers(options)


def check_numbers(options: object) -> None:
    """Raises ValueError for a number (one of several, where an option has them) outside its ``BOUNDS``."""
    for name, (low, high) in BOUNDS.items():
        value = vars(options).get(name)
        numbers = value if isinstance(value, tuple) else () if value is None else (value,)
        if not all(low <= number <= high for number in numbers):
            order = "(height, width), each " if name.endswith(("image_size", "aerial_size")) else ""
            raise ValueError(f"{name}={shortened(value)} must be {order}from {low} to {high}")


def _is_of(value: object, hint: object) -> bool:
    """True when the value has the type of a hint. Whole numbers are numbers, but true is no number."""
    if get_origin(hint) is UnionType:
        return any(_is_of(value, one) for one in get_args(hint))
    if get_origin(hint) is tuple:
        return type(value) is tuple and [*map(type, value)] == [*get_args(hint)]
    return type(value) is hint or (hint is float and type(value) is int)
