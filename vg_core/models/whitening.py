"""PCA whitening: directions in which descriptors vary most weigh less; the first K values are a short descriptor."""

from collections.abc import Iterator

import numpy as np
import scipy.linalg
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vg_core.models.precision import at_least_float32

# own code: faiss.PCAMatrix copies the descriptors twice, 3.8 GB of 10,000 x 32,768 in place of less than 1, in float32
LEARNED_ON = 10_000  # descriptors at most
SMALLEST_VARIANCE = 1e-9  # added to every variance before its root divides
EXACT = 4096  # scatter matrices up to this size are stored and solved in float64; larger ones take half the memory
BLOCK = 5_000_000  # float64 numbers of a block of centred descriptors: 40 MB, which the allocator gives back at once
LIBRARIES = 8 * 2**20  # bytes that NumPy and LAPACK take for themselves; 1 MiB was seen, 5 on another processor


class Whitening(nn.Module):
    """Unit vectors (B, dim) from descriptors (B, in_dim): W x + b, then L2; W = Λ^-1/2 Uᵀ and b = -W mean.

    The leading eigenpairs (Λ, U) are those of the covariance of the descriptors it learned from. W and b are buffers:
    saved with a model, never trained. Source: Jégou and Chum, "Negative evidences and co-occurrences in image
    retrieval", ECCV 2012; settings of Arandjelović et al., "NetVLAD", CVPR 2016.
    """

    def __init__(self, in_dim: int, dim: int):
        super().__init__()
        self.in_dim, self.dim = in_dim, dim
        self.register_buffer("weight", torch.zeros(dim, in_dim))
        self.register_buffer("bias", torch.zeros(dim))

    def forward(self, descriptors: Tensor) -> Tensor:
        with torch.autocast(descriptors.device.type, enabled=False):  # lengths in W span decades
            return F.normalize(F.linear(at_least_float32(descriptors), self.weight, self.bias), dim=1)

    @classmethod
    def learn(cls, descriptors: np.ndarray, dim: int) -> "Whitening":
        """Whitening to ``dim`` values learned on descriptors (n, D), a float32 array or memory map; n <= LEARNED_ON.

        Solves for the covariance (D, D) or, where D > n, for the Gram matrix (n, n), which has the same leading
        eigenvalues. 10,000 descriptors of 32,768 values to 4096 take less than 1 GB beside their own 1.3 GB, of which
        W is 0.5 GB. Raises ValueError for values that are not finite, and for a ``dim`` above min(n - 1, D): n points
        vary in no more than n - 1 directions.
        """
        n, in_dim = descriptors.shape
        if not 0 < dim <= min(n - 1, in_dim):
            raise ValueError(
                f"{n} descriptors of {in_dim} values have no more than {min(n - 1, in_dim)} components, dim={dim} is "
                "not among 1 to that; choose a smaller dim or more descriptors"
            )
        centred = _Centred(descriptors)
        values, vectors = _leading(centred, dim)  # of the scatter, which is n - 1 covariances
        scale = 1 / np.sqrt(values / (n - 1) + SMALLEST_VARIANCE)  # (dim,)
        whitening = cls(in_dim, dim)
        weight, bias = whitening.weight.numpy(), whitening.bias.numpy()  # (dim, D), (dim,)
        if centred.dual:
            vectors *= scale / np.sqrt(np.maximum(values, (n - 1) * SMALLEST_VARIANCE))  # (n, dim)
            for columns in _blocks(in_dim, n):
                weight[:, columns] = _product(centred.across(columns), vectors).T[::-1]  # U = Xᵀ V Θ^-1/2
        else:
            weight[:] = (vectors * scale).T[::-1]  # (dim, D)
        for rows in _blocks(dim, in_dim):
            bias[rows] = -(weight[rows] @ centred.mean)
        return whitening

    def truncated(self, dim: int) -> "Whitening":
        """The whitening to the first ``dim`` values only, normalised again: what learning with ``dim`` would give."""
        if not 0 < dim <= self.dim:
            raise ValueError(f"a whitening to {self.dim} values cannot be cut to {dim}; choose 1…{self.dim}")
        shorter = Whitening(self.in_dim, dim)
        shorter.load_state_dict({name: rows[:dim] for name, rows in self.state_dict().items()})
        return shorter


def learning_bytes(count: int, in_dim: int, dim: int) -> int:
    """Bytes that learning takes at most, beside its ``count`` descriptors (``in_dim`` values each), W among them."""
    size, exact = min(count, in_dim), min(count, in_dim) <= EXACT
    solving = (4 * 8 if exact else 2 * 4) * size**2  # LAPACK's solver of all pairs keeps two more; the other overwrites
    refining = 0 if exact else 36 * dim**2 + 4 * size * dim  # float64 pairs within the span of the vectors, which stay
    return max(solving, refining, 4 * dim * (in_dim + 2 * size)) + 4 * 8 * BLOCK + LIBRARIES


class _Centred:
    """Descriptors X (n, D) less their mean, float64, a block at a time: a whole copy would be twice their memory."""

    def __init__(self, table: np.ndarray):
        self.table, self.dual = table, table.shape[1] > len(table)
        self.mean = sum(table[rows].sum(axis=0, dtype=np.float64) for rows in _blocks(*table.shape)) / len(table)
        if not np.isfinite(self.mean).all():
            raise ValueError("some descriptors are not finite: whitening cannot be learned from them")
        self.raw = table if self.dual else table.T  # the shorter side first
        self.shift = np.broadcast_to(self.mean if self.dual else self.mean[:, None], self.raw.shape)

    def along(self, some: slice) -> np.ndarray:
        """Some of the shorter side: descriptors (b, D) if D > n, else components (b, n)."""
        return self.raw[some] - self.shift[some]

    def across(self, some: slice) -> np.ndarray:
        """Some of the longer side: components (b, n) if D > n, else descriptors (b, D)."""
        return (self.raw[:, some] - self.shift[:, some]).T

    def scatter(self) -> np.ndarray:
        """X Xᵀ (n, n) if D > n, else Xᵀ X (D, D); summed in float64, stored in float32 above EXACT."""
        size, width = sorted(self.table.shape)
        scatter = np.empty((size, size), np.float64 if size <= EXACT else np.float32, order="F")
        blocks = list(_blocks(size, width))
        for i, here in enumerate(blocks):
            left = self.along(here)  # (b, width)
            for there in blocks[i:]:
                scatter[here, there] = left @ self.along(there).T  # (b, b)
                scatter[there, here] = scatter[here, there].T
        return scatter


def _leading(centred: _Centred, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """(the ``dim`` largest eigenvalues of the scatter, smallest first, eigenvectors (size, dim))."""
    scatter = centred.scatter()
    if scatter.dtype == np.float64:
        values, vectors = np.linalg.eigh(scatter)
        return values[-dim:].clip(min=0), vectors[:, -dim:]  # (dim,), (size, dim)
    # all vectors, though dim are wanted: asked for a part, LAPACK's float32 solver loses some of close eigenvalues
    vectors = scipy.linalg.eigh(scatter, overwrite_a=True, check_finite=False, driver="evr")[1]  # (size, size)
    del scatter  # each step makes room for the next
    vectors = vectors[:, -dim:].copy()  # (size, dim)
    # The eigenpairs of (Vᵀ S V, Vᵀ V), Ritz pairs, undo what float32 mixed within the span of V. The scatter S itself
    # is not needed: the first is Yᵀ Y with Y = X V, or Y = Xᵀ V if D > n.
    projected, overlap = np.zeros((2, dim, dim))  # (dim, dim) each
    for some in _blocks(*sorted(centred.table.shape)[::-1]):
        _add_gram(projected, _product(centred.across(some), vectors))
    for rows in _blocks(*vectors.shape):
        _add_gram(overlap, vectors[rows].astype(np.float64))
    values, rotation = scipy.linalg.eigh(projected.T, overlap.T, overwrite_a=True, overwrite_b=True)
    for rows in _blocks(*vectors.shape):
        vectors[rows] = vectors[rows] @ rotation  # (b, dim)
    return values.clip(min=0), vectors


def _product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """left (b, size) @ right (size, dim) in float64, without a float64 copy of all of ``right``."""
    return sum(left[:, rows] @ right[rows] for rows in _blocks(*right.shape))  # (b, dim)


def _add_gram(total: np.ndarray, block: np.ndarray) -> None:
    """Add blockᵀ block to ``total`` (dim, dim), without another matrix of its size."""
    for some in _blocks(*total.shape):
        total[:, some] += block.T @ block[:, some]


def _blocks(count: int, width: int) -> Iterator[slice]:
    """Slices that cover ``count`` rows of ``width`` numbers, each at most BLOCK numbers or one row."""
    step = max(1, BLOCK // width)
    return (slice(start, min(start + step, count)) for start in range(0, count, step))
