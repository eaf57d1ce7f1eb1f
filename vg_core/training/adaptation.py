"""Domain adaptation: an objective of classes around which rows gain photographs of another domain, such as night."""

from collections import defaultdict

import numpy as np
import torch
from torch import Tensor, nn

from vg_core.config import ClassOptions, Config
from vg_core.datasets.places import PlaceSet
from vg_core.losses.domain import AADA, DomainHead
from vg_core.mining.rounds import Describe
from vg_core.models.network import Encoded, GeoModel
from vg_core.models.precision import IMAGENET_MEAN, IMAGENET_STD
from vg_core.system import processes
from vg_core.training.objective import Encode, Objective, RoundKey


class Adaptation(Objective):
    """Objective of another one and of a loss of domains (`losses.domain`); each row ends with an unlabelled photograph.

    These are the targets, and so are photographs that an augmentation made night; all others are sources. One pass
    through the network serves both losses, so batch norms see both domains at once; AMLSquad/CosPlace makes a second
    one, of sources and targets in other shares. What the other objective draws does not depend on the targets.
    """

    def __init__(self, config: Config, places: PlaceSet, inner: Objective, channels: int):
        super().__init__()
        self.inner, self.legacy_normalisation = inner, config.task.legacy_normalisation
        self.images_per_row, self.rows_per_round = inner.images_per_row + 1, inner.rows_per_round
        labelled = [(slice(*some.indices(inner.images_per_row)), share) for some, share in inner.augmented]
        self.augmented = (*labelled, (slice(-1, None), 0.0))  # targets are not made night
        self.separate = config.task.night_batches == "separate"
        parts = config.accumulate * processes.size()
        least = min(config.train_batch_size, inner.most_rows) // parts  # rows
        if self.separate and least < 3:
            raise ValueError(
                f"{places.name} train: night_batches=separate takes sources from a third of the rows, and a part of a "
                f"batch has {least}; raise train_batch_size"
            )
        self.mines, self.rests, self.needs_pixels = inner.mines, inner.rests, self.legacy_normalisation
        if not places.unlabelled:
            raise ValueError(
                f"{places.name} train: domain={config.task.domain} needs unlabelled photographs of the other domain"
            )
        self.unlabelled = len(places.database) + len(places.queries) + np.arange(len(places.unlabelled))  # numbers
        with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they were
            torch.default_generator.manual_seed(config.seed)
            self.domains = _loss_of_domains(config.task, channels)
        self.heard: dict[str, list[Tensor]] = defaultdict(list)

    @property
    def most_rows(self) -> int:
        return self.inner.most_rows

    def parameter_groups(self) -> list[dict]:
        """Those of the other objective, and the layers that tell domains, which learn as fast as the network."""
        return [*self.inner.parameter_groups(), {"params": list(self.domains.parameters())}]

    def draw(self, key: RoundKey, rng: np.random.Generator, describe: Describe) -> tuple[np.ndarray, dict]:
        """(R, P + 1): rows of the other objective, each with a target, none of which comes twice before all have."""
        rows, facts = self.inner.draw(key, rng, describe)
        order = [rng.permutation(self.unlabelled) for _ in range(-(-len(rows) // len(self.unlabelled)))]
        return np.column_stack([rows, np.concatenate(order)[: len(rows)]]), facts

    def marked(self, rows: np.ndarray, by_night: np.ndarray) -> np.ndarray:
        """Rows in which a photograph i that was made night is ~i."""
        return np.where(by_night, ~rows, rows)

    def loss(self, encode: Encode, pixels: Tensor, rows: np.ndarray) -> Tensor:
        is_target, rows = rows < 0, np.where(rows < 0, ~rows, rows)  # (B, P + 1) each; see marked
        is_target[:, -1] = True
        descriptors, maps = (part.unflatten(0, rows.shape) for part in encode(pixels))  # (B, P + 1, …) each
        labelled = Encoded(descriptors[:, :-1].flatten(0, 1), maps[:, :-1].flatten(0, 1))  # of B x P images
        of_places = self.inner.loss(lambda _pixels: labelled, pixels, rows[:, :-1])
        if self.legacy_normalisation:
            images = pixels.unflatten(0, rows.shape)[:, :-1]  # (B, P, 3, H, W)
            raw = encode(_not_normalised(images.flatten(0, 1))).maps.unflatten(0, images.shape[:2])
            maps = torch.cat([raw, maps[:, -1:]], dim=1)
        asked = _asked(is_target) if self.separate else np.ones_like(is_target)
        sources, targets = (maps[torch.from_numpy(some)] for some in (asked & ~is_target, asked & is_target))
        of_domains = self.domains.loss(sources, targets)
        for name, value in self.domains.told.items():
            self.heard[name].append(value)
        return of_places + of_domains

    def seen(self) -> dict:
        """Means over the steps since it was last asked of what the loss of domains tells."""
        facts = {name: float(processes.mean(torch.stack(values).mean())) for name, values in self.heard.items()}
        self.heard.clear()
        return facts | self.inner.seen()


def _asked(is_target: np.ndarray) -> np.ndarray:
    """Which images (B, 3) of day, made night and targets the loss of domains sees of separate batches, as many as rows:
    a third by day, a third made night if there are, and targets; the reference's 5, 5 and 6 of 16.
    """
    asked, third = np.zeros_like(is_target), len(is_target) // 3
    asked[:third, 0], asked[:third, 1] = True, is_target[:third, 1]
    asked[asked.sum() - len(asked) :, -1] = True
    return asked


def _not_normalised(images: Tensor) -> Tensor:
    """uint8 images of which the network's normalisation makes shares of white, up to rounding."""
    mean, std = (torch.tensor(some, device=images.device).view(1, 3, 1, 1) for some in (IMAGENET_MEAN, IMAGENET_STD))
    return (images * std + 255.0 * mean).round().to(torch.uint8)


def _loss_of_domains(task: ClassOptions, channels: int) -> nn.Module:
    if task.domain == "gradient_reversal":
        return DomainHead(channels, 0.1 if task.domain_weight is None else task.domain_weight)
    kind = "convolutional" if task.domain == "auto_encoder" else "fully_connected"
    margin = 0.5 if task.domain_margin is None else task.domain_margin
    gamma = 0.01 if task.domain_weight is None else task.domain_weight
    return AADA(channels, kind, margin, gamma, task.legacy_inert_margin)


def with_adaptation(objective: Objective, config: Config, places: PlaceSet, model: GeoModel) -> Objective:
    """The objective, inside an Adaptation of the model's feature maps where a configuration asks for one; ValueError,
    in a sentence, without targets.
    """
    if config.task.adapts and config.epochs_num:
        return Adaptation(config, places, objective, model.channels)
    return objective
