"""Principal masks of single images, step by step, for pictures."""

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from leopart_mm.datasets.image_reading import read_image
from leopart_mm.datasets.transforms.resizing import resize_image
from leopart_mm.datasets.transforms.square import CentreCrop, shorter_side
from leopart_mm.devices import best_device
from leopart_mm.geometry.patch_grid import Extent
from leopart_mm.masks import PrincipalMasks, PrincipalProposals, ProposalImage, principal_masks
from leopart_mm.masks.principal_cleaning import clean_masks
from leopart_mm.models.backbones import DenseViT
from leopart_mm.visualization.principal_sheet import principal_sheet

IMAGENET = ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375])
SIDE = 320  # of the square that the network sees, as published


@dataclass
class PrincipalSteps:
    """What became of an image.

    Args:
        image: (S, S, 3) uint8 RGB, the square that the network saw.
        masks: The masks on its cells, on the CPU.
        labels: (S, S) uint8, mask numbers of pixels; 255 in none.
    """

    image: np.ndarray
    masks: PrincipalMasks
    labels: np.ndarray

    @property
    def num_masks(self) -> int:
        """Number of masks that hold a pixel, after cleaning and the CRF."""
        return len(np.unique(self.labels[self.labels != 255]))

    def sheet(self, max_masks: int = 12) -> np.ndarray:
        """(H, W, 3) uint8 RGB, see `principal_sheet`."""
        return principal_sheet(self.image, self.masks, clean_masks(self.masks.soft_masks).numpy(), self.labels,
                               max_masks)


class PrincipalViewer:
    """Splits images into principal masks and keeps every step.

    Args:
        checkpoint: Weights, see `DenseViT`.
        arch: Its architecture; None: the one that `checkpoint` names.
        block: The block whose output is used, counted from the last one, 1.
        side: Shorter side of the image, whose middle square is used; rounded to whole patches.
        mean: RGB mean, 0..255; None: that of the weights if they tell, else ImageNet's.
        std: RGB standard deviation likewise.
        device: Where the network runs; None: a GPU if there is one.
        proposals: Arguments of `PrincipalProposals`: `threshold`, `crf`, `orientation`, ...

    Attributes: `side`, `colours` (mean and std) and `guessed`, whether they are ImageNet's for want of better.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(self, checkpoint: str, arch: str | None = None, block: int = 1, side: int = SIDE,
                 mean: list[float] | None = None, std: list[float] | None = None, device: str | None = None,
                 **proposals: Any) -> None:
        self.source = PrincipalProposals(**proposals)
        if (mean is None) != (std is None):
            raise ValueError('Give both --mean and --std, or none of them.')
        if block < 1:
            raise ValueError(f'The block must be at least 1, the last one, not {block}.')
        self.network = DenseViT(arch, checkpoint=checkpoint, out_indices=-block).eval().requires_grad_(False)
        self.network.load_pretrained(checkpoint)
        self.device = torch.device(device or best_device())
        self.network.to(self.device)
        patch = self.network.patch_size
        self.side = max(round(side / patch), 1) * patch
        known = (mean, std) if mean is not None else (self.network.mean, self.network.std)
        self.guessed = known[0] is None
        self.colours = IMAGENET if self.guessed else known

    @torch.no_grad()
    def __call__(self, path: str | os.PathLike) -> PrincipalSteps:
        """All steps of an image file.

        Raises:
            ImageReadError: If it cannot be read.
        """
        image = self.square(read_image(path, 'rgb'))
        mean, std = (torch.tensor(colour, dtype=torch.float32)[:, None, None] for colour in self.colours)
        pixels = (torch.from_numpy(image).permute(2, 0, 1) - mean) / std
        features = self.network.forward_dense(pixels[None].to(self.device))
        found = principal_masks(features.maps[-1], self.source.masks, names=[os.fspath(path)])[0].to('cpu')
        draft = self.source.draft(found, Extent(0, features.grid[0], 0, features.grid[1]))
        colours = (tuple(value / 255 for value in colour) for colour in self.colours)
        seen = ProposalImage(os.fspath(path), image, image.shape[:2], *colours)
        return PrincipalSteps(image, found, self.source.refine(draft, seen).labels)

    def square(self, image: np.ndarray) -> np.ndarray:
        """(side, side, 3): the middle of an image, resized by its shorter side."""
        results = dict(img=resize_image(image, shorter_side(image.shape[:2], self.side)))
        return np.ascontiguousarray(CentreCrop(self.side)(results)['img'])
