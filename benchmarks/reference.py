"""What the field's reference code does at each stage, in our own words and only to be timed against.

Method and order of operations are those of the Deep Visual Geo-localization Benchmark (Berton et al., CVPR 2022) unless
another source is named: loops where it loops, copies where it copies. Nothing in ``vg_core`` may import this file.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import faiss
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter
from sklearn.neighbors import NearestNeighbors
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

MARGIN = 0.1
TO_NORMALISED = transforms.Compose(
    [transforms.ToTensor(), transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])]
)


# --- pooling -------------------------------------------------------------------------------------------------------
def netvlad(maps: Tensor, weight: Tensor, centroids: Tensor) -> Tensor:
    """(B, K · C) descriptors of maps (B, C, H, W): one residual of all locations for each cluster, one after another.

    ``weight`` and ``centroids`` are (K, C).
    """
    maps = F.normalize(maps, dim=1)
    locations = maps.flatten(2)  # (B, C, M)
    assignment = F.conv2d(maps, weight[:, :, None, None]).flatten(2).softmax(dim=1)  # (B, K, M)
    vlad = torch.zeros(len(maps), *centroids.shape, dtype=maps.dtype, device=maps.device)
    for k in range(len(centroids)):
        residual = locations[:, None] - centroids[k, :, None]  # (B, 1, C, M)
        residual = residual * assignment[:, k : k + 1, None]
        vlad[:, k : k + 1] = residual.sum(dim=-1)
    return F.normalize(F.normalize(vlad, dim=2).flatten(1), dim=1)


def gem(maps: Tensor, p: Tensor, eps: float = 1e-6) -> Tensor:
    """(B, C) generalised means, each operation left to automatic differentiation."""
    return F.avg_pool2d(maps.clamp(min=eps).pow(p), maps.shape[2:]).pow(1.0 / p).flatten(1)


# --- losses: descriptors (B · (2 + N), D), a query, its positive and its negatives after one another -----------------
def triplet(descriptors: Tensor, negatives: int) -> Tensor:
    """Mean triplet loss, one negative of all queries after the other."""
    triplets = _triplets(descriptors, negatives)  # (B, N, 3)
    loss = 0
    for column in triplets.unbind(1):
        query, positive, negative = (descriptors[rows] for rows in column.T)
        loss = loss + F.triplet_margin_loss(query, positive, negative, margin=MARGIN, p=2, reduction="sum")
    return loss / triplets[..., 0].numel()


def sare_joint(descriptors: Tensor, negatives: int) -> Tensor:
    """Mean Gaussian SARE, all negatives of a query at once, one query after the other."""
    triplets = _triplets(descriptors, negatives)
    loss = 0
    for own in triplets:
        query, positive = descriptors[own[0, 0]][None], descriptors[own[0, 1]][None]
        loss = loss + _sare(query, positive, descriptors[own[:, 2]])
    return loss / triplets[..., 0].numel()


def sare_ind(descriptors: Tensor, negatives: int) -> Tensor:
    """Mean Gaussian SARE of single negatives: a loop over queries and negatives."""
    triplets = _triplets(descriptors, negatives).flatten(0, 1)
    loss = 0
    for q, p, n in triplets:
        loss = loss + _sare(descriptors[q : q + 1], descriptors[p : p + 1], descriptors[n : n + 1])
    return loss / len(triplets)


def _triplets(descriptors: Tensor, negatives: int) -> Tensor:
    """(B, N, 3) rows of query, positive and negative."""
    first = torch.arange(0, len(descriptors), 2 + negatives)[:, None].expand(-1, negatives)
    return torch.stack([first, first + 1, first + 2 + torch.arange(negatives)], dim=2)


def _sare(query: Tensor, positive: Tensor, negatives: Tensor) -> Tensor:
    squared = torch.cat([((query - positive) ** 2).sum(1), ((query - negatives) ** 2).sum(1)])
    return -F.log_softmax(-squared, dim=0)[0]


def soft_margin(
    ground: Tensor, aerial: Tensor, alpha: float, near: Tensor | None = None, batch_hard_count: int = 0
) -> Tensor:
    """Soft-margin loss of pairs (B, D) in both directions, one triplet after the other (Shi et al., NeurIPS 2019)."""
    total, wrong = 0, 0
    for own in range(len(ground)):
        twins = 2 - 2 * (ground[own] * aerial[own]).sum()
        to_aerial, to_ground = [], []
        for other in range(len(ground)):
            counted = near is None or not near[own, other]
            wrong += counted and (near is not None or own != other)
            for terms, (query, found) in ((to_aerial, (ground, aerial)), (to_ground, (aerial, ground))):
                apart = 2 - 2 * (query[own] * found[other]).sum()
                terms.append(F.softplus(alpha * (twins - apart) * counted, threshold=40))
        for terms in (to_aerial, to_ground):
            total = total + sum(sorted(terms, reverse=True)[: batch_hard_count or None]) / 2
    return total / (len(ground) * batch_hard_count or wrong)


# --- mining: ``cache`` is a list of descriptors, one for each image ---------------------------------------------------
def mine(
    cache: list[np.ndarray], queries: np.ndarray, hard: Sequence, soft: Sequence, pools: Iterable, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """(positives (Q,), negatives (Q, count)), by a Faiss index of each query's positives and one of its candidates.

    ``pools`` holds the candidates of each query; for partial mining the same ones again and again.
    """
    positives, negatives = [], []
    for query, near, close, pool in zip(queries, hard, soft, pools, strict=True):
        positives.append(near[_nearest(cache, near, query, 1)[0]])
        candidates = np.setdiff1d(pool, close, assume_unique=True)
        negatives.append(candidates[_nearest(cache, candidates, query, count)])
    return np.array(positives), np.array(negatives)


def _nearest(cache: list[np.ndarray], rows: np.ndarray, query: np.ndarray, count: int) -> np.ndarray:
    index = faiss.IndexFlatL2(len(query))
    index.add(np.array([cache[row] for row in rows]))
    return index.search(query[None], count)[1][0]


# --- evaluation ----------------------------------------------------------------------------------------------------
def search(queries: np.ndarray, database: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(distances, indices), both (Q, k), of Faiss' flat index, which copies the database."""
    index = faiss.IndexFlatL2(database.shape[1])
    index.add(database)
    squared, indices = index.search(queries, k)
    return np.sqrt(squared), indices


def search_one_by_one(queries: Tensor, database: Iterable[Tensor], k: int) -> tuple[np.ndarray, np.ndarray]:
    """(distances, indices), both (Q, k), from a table of all distances that is filled image by image, then sorted."""
    columns = [((queries - image) ** 2).sum(1).numpy() for image in database]
    distances = np.stack(columns, axis=1)  # (Q, N)
    indices = distances.argsort(axis=1)[:, :k]
    return np.sqrt(np.take_along_axis(distances, indices, axis=1)), indices


def neighbours(database: np.ndarray, queries: np.ndarray, radius_m: float) -> np.ndarray:
    """Object array: the database rows within ``radius_m`` of each query, from scikit-learn's tree."""
    tree = NearestNeighbors(n_jobs=-1).fit(database)
    return tree.radius_neighbors(queries, radius=radius_m, return_distance=False)


def recall(indices: np.ndarray, positives: Sequence[np.ndarray], at: Sequence[int]) -> dict[int, float]:
    """{N: %}, one query and one N after the other."""
    hits = np.zeros(len(at))
    for row, right in zip(indices, positives, strict=True):
        for column, n in enumerate(at):
            if np.isin(row[:n], right).any():
                hits[column:] += 1
                break
    return dict(zip(at, 100.0 * hits / len(indices), strict=True))


# --- night of one uint8 image (H, W, 3): AMLSquad/CosPlace, whose loops over pixels are NumPy's here ------------------
def fda(image: np.ndarray, style: np.ndarray, beta: float, size: tuple[int, int] | None = None) -> np.ndarray:
    """The image with the amplitudes of a style image's lowest frequencies, at ``size`` = (height, width) if given."""
    whole = image.shape[:2]
    if size:
        image, style = (Image.fromarray(one).resize(size[::-1], Image.Resampling.BICUBIC) for one in (image, style))
    own, other = (torch.fft.rfft2(torch.tensor(np.float32(one)).permute(2, 0, 1)) for one in (image, style))
    amplitude, phase, of_style = own.abs(), own.angle(), other.abs()
    height, width = amplitude.shape[1:]
    b = int(np.floor(0.5 * min(height, 2 * width) * beta))
    for rows in (slice(0, b), slice(height - b + 1, height)) if b else ():
        amplitude[:, rows, :b] = of_style[:, rows, :b]
    changed = torch.complex(torch.cos(phase) * amplitude, torch.sin(phase) * amplitude)
    pixels = torch.fft.irfft2(changed, s=np.shape(image)[:2]).permute(1, 2, 0).numpy().astype(int).clip(0, 255)
    return np.asarray(Image.fromarray(pixels.astype(np.uint8)).resize(whole[::-1], Image.Resampling.BICUBIC))


def synthetic_night(image: np.ndarray, factors: Sequence[float], lamps: Iterable, noise: float) -> np.ndarray:
    """The image darker, paler, bluer, of more contrast (``factors``), with a black sky, ``lamps`` (x, y, radius) and
    noise of that standard deviation.
    """
    height, width = image.shape[:2]
    brightness, colour, blue, contrast = factors
    picture = ImageEnhance.Brightness(Image.fromarray(image)).enhance(brightness)
    pixels = np.array(ImageEnhance.Color(picture).enhance(colour))
    pixels[..., 2] = (pixels[..., 2] * blue).astype(int).clip(max=255)
    picture = ImageEnhance.Contrast(Image.fromarray(pixels)).enhance(contrast)
    sky, shade = Image.new("RGBA", picture.size), Image.new("RGBA", picture.size, (0, 0, 0, 100))
    for y in range(height):
        ImageDraw.Draw(sky).line((0, y, width, y), fill=(0, 0, 0, int(y / (height * 1.2) * 255)))
    for x, y, radius in lamps:
        ImageDraw.Draw(shade).ellipse((x - radius, y - radius, x + radius, y + radius), fill=(0, 0, 0, 0))
    for mask in (sky.rotate(180), shade.filter(ImageFilter.GaussianBlur(80 * height / 512))):
        picture.paste(mask, (0, 0), mask)
    grains = np.random.default_rng().normal(0, noise, image.shape).astype(int)
    return (np.array(picture) + grains).clip(0, 255).astype(np.uint8)


def classes(names: Sequence[str], size: int, alpha: int, apart: int, turned: int, fewest: int) -> dict[str, tuple]:
    """{name: (class, group)} of the photographs of classes that have so many: one name, then one image after the other;
    a cell is ``size`` metres wide, a group every ``apart``-th cell and every ``turned``-th ``alpha`` degrees.
    """
    images, groups = defaultdict(list), {}
    for name in names:
        fields = name.split("@")
        easting, northing, heading = (float(fields[number]) for number in (1, 2, 9))
        across, up, turn = int(easting // size), int(northing // size), int(heading // alpha)
        key = (across * size, up * size, turn * alpha)
        images[key].append(name)
        groups[key] = (across % apart, up % apart, turn % turned)
    return {name: (key, groups[key]) for key, found in images.items() if len(found) >= fewest for name in found}


# --- photographs and network ------------------------------------------------------------------------------------------
class Photographs(Dataset):
    """Files decoded by Pillow at every access and normalised in float32 one by one."""

    def __init__(self, paths: Sequence[str]):
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        return TO_NORMALISED(Image.open(self.paths[index]).convert("RGB"))


def batches(paths: Sequence[str], order: Sequence[int], batch_size: int, workers: int) -> DataLoader:
    """float32 batches (B, 3, H, W) in the given order from worker processes, in pinned memory where there is a GPU."""
    pinned = torch.cuda.is_available()
    return DataLoader(Photographs(paths), batch_size, sampler=order, num_workers=workers, pin_memory=pinned)


def training_step(
    backbone: nn.Module, pooling: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, negatives: int
) -> float:
    """Loss of one step on normalised images of whole tuples; ``pooling`` holds NetVLAD's weight and centroids."""
    descriptors = netvlad(backbone(images), pooling.weight, pooling.centroids)
    loss = triplet(descriptors, negatives)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()
