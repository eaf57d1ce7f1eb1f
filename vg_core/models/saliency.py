"""What in an image makes a match: how much each pixel adds to the similarity of the image and a reference.

Similarity is the cosine of two descriptors, for unit vectors their dot product. Maps are float32 (H, W) arrays on one
scale for all models and methods: the mean magnitude over the image is 1, so a pixel of 3 weighs as much as three
average ones, however alike a model finds all images. Positive speaks for the match, negative against it; where nothing
has any weight the map is zero. What is covered gets the image's mean colour. The model describes as at test time, in
float32, and is left as it was.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vg_core.models.network import GeoModel, inference_copy
from vg_core.models.precision import normalise

STEPS = 32  # points of the line that gradients are averaged on
ROUNDING = 1e-6  # differences of similarities below are rounding errors of float32
PATCHES = 6  # squares along the shorter side
BATCH = 16  # covered images in memory at a time


def gradient_map(model: GeoModel, image: Tensor, reference: Tensor | np.ndarray) -> np.ndarray:
    """Integrated gradients at the last feature map, enlarged to the pixels of the image.

    ``image`` is uint8 (3, H, W), ``reference`` a descriptor (D,) of the same model. A location weighs the sum over
    channels of gradient x (activation - activation of the covered image), the gradient being the mean over the line
    between the two maps: all weights add up to the similarity that the content of the image brings. Raises ValueError
    for an image or a reference of another kind.

    Source: Sundararajan, Taly, Yan, "Axiomatic attribution for deep networks", ICML 2017, eq. 1, on the map that
    Grad-CAM explains (Selvaraju et al., ICCV 2017). One gradient alone says little here: it vanishes where query and
    reference agree, and where locations get unit length, as before GeM and in NetVLAD, its product with the activations
    is zero everywhere, since longer activations change nothing.
    """
    network, image, reference = _ready(model, image, reference)
    weights = _location_weights(network, image, reference)  # (h, w)
    weights *= weights.numel()  # a share of the similarity at every location as large as over the whole image
    return _scaled(F.interpolate(weights[None, None], tuple(image.shape[1:]), mode="bilinear")[0, 0])


def occlusion_map(model: GeoModel, image: Tensor, reference: Tensor | np.ndarray) -> np.ndarray:
    """Drop of the similarity when a square is covered, for each pixel the mean over the squares that cover it.

    ``image`` is uint8 (3, H, W), ``reference`` a descriptor (D,) of the same model. Six squares fill the shorter side,
    neighbours overlap by half, and the last ones end with the image. Raises ValueError for an image or a reference of
    another kind.

    Source: Zeiler and Fergus, "Visualizing and understanding convolutional networks", ECCV 2014, section 4.2.
    """
    network, image, reference = _ready(model, image, reference)
    size = tuple(image.shape[1:])
    patch = max(1, min(size) // PATCHES)
    starts = (torch.tensor([*range(0, side - patch, max(1, patch // 2)), side - patch]) for side in size)
    whole, blank = _similarities(network, image[None], reference), _mean_colour(image)
    total, times = torch.zeros(2, *size, device=image.device)  # (H, W) each
    for corners in torch.cartesian_prod(*starts).split(BATCH):  # (B, 2)
        covered = image.repeat(len(corners), 1, 1, 1)  # (B, 3, H, W)
        squares = [np.s_[..., top : top + patch, left : left + patch] for top, left in corners.tolist()]
        for copy, square in zip(covered, squares, strict=True):
            copy[square] = blank
        drops = whole - _similarities(network, covered, reference)  # (B,)
        for square, drop in zip(squares, drops, strict=True):
            total[square] += drop
            times[square] += 1
    return _scaled(total / times)


def _ready(model: GeoModel, image: Tensor, reference: Tensor | np.ndarray) -> tuple[GeoModel, Tensor, Tensor]:
    """A copy of the model for inference; image and reference, of length one, on its device."""
    if image.ndim != 3 or len(image) != 3 or image.dtype != torch.uint8:
        raise ValueError(
            f"the image is {image.dtype} of shape {tuple(image.shape)}; "
            "a heat map needs uint8 pixels of shape (3, H, W), not normalised"
        )
    reference = torch.as_tensor(reference).float()
    if reference.shape != (model.dim,):
        raise ValueError(
            f"the reference has shape {tuple(reference.shape)}, descriptors of this model have ({model.dim},): "
            "describe one image with the same model"
        )
    device = next(model.parameters()).device
    return inference_copy(model), image.to(device), F.normalize(reference.to(device), dim=0)


@torch.enable_grad()
def _location_weights(network: GeoModel, image: Tensor, reference: Tensor) -> Tensor:
    """(h, w) weights of the locations of the last feature map, which add up to a difference of similarities."""
    if network.pooling.takes_token and network.backbone.class_token:
        raise ValueError("a class token lies at no location, so gradients tell none; use occlusion_map")
    # with every layer frozen, the stem makes the last map and the tail only pools
    network.backbone.frozen = len(network.backbone)
    blank = _mean_colour(image).expand_as(image)
    present, absent = network.stem(normalise(torch.stack([image, blank])))  # (C, h, w) each
    points, shares = np.polynomial.legendre.leggauss(STEPS)  # on -1…1; shares add up to 2
    along = torch.from_numpy((points + 1) / 2).to(present).view(-1, 1, 1, 1)
    line = (absent + along * (present - absent)).requires_grad_()  # (STEPS, C, h, w)
    similarities = F.normalize(network.encode(line).descriptors, dim=1) @ reference  # (STEPS,)
    (gradients,) = torch.autograd.grad(similarities @ torch.from_numpy(shares / 2).to(similarities), line)
    weights, _ = network.backbone.split((gradients.sum(0) * (present - absent))[None])  # (1, C, h, w)
    return weights[0].sum(0)  # (h, w)


@torch.inference_mode()
def _similarities(network: GeoModel, images: Tensor, reference: Tensor) -> Tensor:
    """(B,) similarities of uint8 images (B, 3, H, W)."""
    return F.normalize(network(normalise(images)), dim=1) @ reference


def _mean_colour(image: Tensor) -> Tensor:
    """uint8 (3, 1, 1): mean colour of the image."""
    return image.float().mean((1, 2), keepdim=True).round().to(torch.uint8)


def _scaled(weights: Tensor) -> np.ndarray:
    """The map divided by its mean magnitude."""
    return (weights / weights.abs().mean().clamp_min(ROUNDING)).cpu().numpy()
