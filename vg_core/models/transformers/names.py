"""Names of tensors of transformers in files of others, in ours: DINOv2's and timm's, torchvision's, CCT's."""

import re
from collections.abc import Mapping

from torch import Tensor

_START = r"(^|\.)"  # of a name, or of what follows the name of a whole network
PATTERNS = [  # in this order: what was renamed may be renamed again
    (re.compile(_START + theirs), rf"\1{ours}")
    for theirs, ours in (
        (r"tokenizer\.conv_layers\.(\d)\.0\.", r"patches.convolutions.\2."),
        (r"classifier\.positional_emb$", "patches.pos_embed"),
        (r"classifier\.(blocks\.\d+|norm)\.", r"\2."),
        (r"conv_proj\.", "patches.proj."),
        (r"class_token$", "patches.cls_token"),
        (r"encoder\.pos_embedding$", "patches.pos_embed"),
        (r"encoder\.layers\.encoder_layer_(\d+)\.", r"block\2."),
        (r"encoder\.ln\.", "norm."),
        (r"(block\d+)\.ln_([12])\.", r"\2.norm\3."),
        (r"(block\d+)\.self_attention\.in_proj_", r"\2.attn.qkv."),
        (r"(block\d+)\.self_attention\.out_proj\.", r"\2.attn.proj."),
        (r"(block\d+)\.mlp\.(?:0|linear_1)\.", r"\2.mlp.fc1."),
        (r"(block\d+)\.mlp\.(?:3|linear_2)\.", r"\2.mlp.fc2."),
        (r"patch_embed\.proj\.", "patches.proj."),
        (r"(?<!patches\.)(cls_token|pos_embed)$", r"patches.\2"),
        (r"blocks\.(\d+)\.", r"block\2."),
    )
]


def renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors by our names, where they are those of a transformer; without what only DINOv2's own training needs."""
    found = {}
    for name, tensor in tensors.items():
        for theirs, ours in PATTERNS:
            name = theirs.sub(ours, name)
        if not name.endswith("mask_token"):
            found[name] = tensor
    return found
