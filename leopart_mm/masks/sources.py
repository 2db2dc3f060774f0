"""Where noisy masks of images come from: an interface, and sources that need no label."""

import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from leopart_mm.files import printable, write_image_whole
from leopart_mm.geometry.patch_grid import Extent, content_groups, content_of, image_index
from leopart_mm.masks.attention import attention_foreground


@dataclass
class MaskInputs:
    """What a source may look at, of B images; what it does not request may be None.

    Args:
        names: B names of the images, such as their paths.
        grid: (h, w) of the patch grid.
        extents: B extents of the images on it.
        device: Device of the masks.
        features: (B, C, h, w), the backbone's last map.
        attention: (B, heads, h*w), attention of the class token to the patches.
        q: (B, heads, h*w, head_dim), queries of the patches.
        k: The same of their keys.
        v: The same of their values.
        images: (B, 3, H, W), normalised for the network.
        others: Features of further networks that the source requests, by `Network`.
        class_q: (B, heads, 1, head_dim), query of the class token in the block of the request `class_query`.
        token_k: (B, heads, 1 + h*w, head_dim), keys of the class token and the patches there.
        black_map: Gives the map (C, h, w) of a black image on a grid (h, w), from the network of `features`.
    """

    names: Sequence[str]
    grid: tuple[int, int]
    extents: Sequence[Extent]
    device: torch.device | str = 'cpu'
    features: Tensor | None = None
    attention: Tensor | None = None
    q: Tensor | None = None
    k: Tensor | None = None
    v: Tensor | None = None
    images: Tensor | None = None
    others: Mapping[Any, Any] = field(default_factory=dict)
    class_q: Tensor | None = None
    token_k: Tensor | None = None
    black_map: Callable[[tuple[int, int]], Tensor] | None = None

    def __len__(self) -> int:
        return len(self.extents)

    def content(self, index: int) -> tuple[slice, slice, Extent]:
        """Rows and columns of the grid with pixels of image `index`; see `content_of`."""
        return content_of(self.extents[index], self.grid)

    def cut(self, maps: Tensor, rule: Callable[[Tensor], Tensor]) -> Tensor:
        """Masks of the images, each from its own cells alone: what a batch pads does not change a mask.

        Args:
            maps: (B, C, h, w).
            rule: (N, C, h_i, w_i), the cells of images of one size -> (N, 1, h_i, w_i), 0 and 1.

        Returns:
            (B, h, w) float, 0 in padding.
        """
        masks = torch.zeros(len(self), *self.grid, device=maps.device)
        for members, (rows, columns, _) in content_groups(self.extents, self.grid):
            index = image_index(members, maps.device)
            masks[index, rows, columns] = rule(maps[index, :, rows, columns])[:, 0]
        return masks


class MaskSource(ABC):
    """Gives each image a mask, without looking at a label."""

    @property
    def requests(self) -> dict[str, Any]:
        """What of `MaskInputs` the source needs, as arguments of `Requests`: dict(attention=True), dict(qkv=11), ..."""
        return {}

    @abstractmethod
    def __call__(self, inputs: MaskInputs) -> Tensor:
        """Masks (B, h, w) float {0, 1} on the patch grid or a finer one of the same area; cells of padding are 0."""

    def release(self) -> None:  # noqa: B027 - most sources have nothing to free
        """Free what masks are made with (a network); called when no mask is needed any more."""


class AttentionMasks(MaskSource):
    """The cells that hold most of the class token's attention, see `attention_foreground`.

    Source: docs/methods/leopart.md §10.

    Args:
        mass: Share of the attention to keep, in (0, 1]; 0.65 as published (training uses 0.6).
        sigma: Standard deviation of the Gaussian blur, in cells.
        kernel: Side of the window of the blur, odd.
        min_component: Smallest number of cells of a component that is kept.
        save_dir: Folder into which the masks are written too, as PNG files (0 and 255, one pixel per cell) that
            MaskFiles reads. None: no files.

    Raises:
        ValueError: If `mass` is out of range.
    """

    def __init__(self, mass: float = 0.65, sigma: float = 0.6, kernel: int = 7, min_component: int = 3,
                 save_dir: str | None = None) -> None:
        if not 0 < mass <= 1:
            raise ValueError(f'AttentionMasks: mass={mass} must lie in (0, 1].')
        self.options = dict(mass=mass, sigma=sigma, kernel=kernel, min_component=min_component)
        self.save_dir = None if save_dir is None else Path(save_dir)

    @property
    def requests(self) -> dict[str, Any]:
        """Attention."""
        return dict(attention=True)

    def __call__(self, inputs: MaskInputs) -> Tensor:
        """Masks on the patch grid; see `MaskInputs.cut`.

        Raises:
            ValueError: If there is no attention.
        """
        attention = self.attention_of(inputs)
        if attention is None:
            raise ValueError('The batch holds no attention of the class token: use a backbone with forward_dense, such '
                             'as leopart_mm.DenseViT, or MaskFiles.')
        attention = attention.mean(dim=1).view(-1, 1, *inputs.grid)
        masks = inputs.cut(attention, partial(attention_foreground, **self.options))
        if self.save_dir is not None:
            save_masks(self.save_dir, masks, inputs)
        return masks

    def attention_of(self, inputs: MaskInputs) -> Tensor | None:
        """(B, heads, h*w): the attention that the masks are made of."""
        return inputs.attention


class MaskFiles(MaskSource):
    """Masks from image files named after the images; what is not 0 is foreground.

    Args:
        folder: Folder that holds the files. They may have any size: they are resized (nearest) to the patch grid.
        suffix: Suffix of the files.
        ignore: A value that counts as background besides 0, such as 255 where it marks borders; None: only 0 does.

    Raises:
        FileNotFoundError: If the folder does not exist.
    """

    def __init__(self, folder: str, suffix: str = '.png', ignore: int | None = None) -> None:
        self.folder = Path(folder).expanduser()
        if not self.folder.is_dir():
            raise FileNotFoundError(f'MaskFiles: the folder {printable(self.folder)} does not exist.')
        self.suffix = suffix
        self.ignore = ignore

    def __call__(self, inputs: MaskInputs) -> Tensor:
        """Masks on the patch grid.

        Raises:
            FileNotFoundError: If an image has no mask.
            ValueError: If two images share a file name, or a file is no image.
        """
        stems = Counter(Path(name).stem for name in set(inputs.names))
        repeated = [stem for stem, count in stems.items() if count > 1]
        if repeated:
            raise ValueError(f'MaskFiles tells images apart by their file names, but several are called '
                             f'{repeated[0]!r}.')
        masks = torch.zeros(len(inputs), *inputs.grid)
        for index, name in enumerate(inputs.names):
            rows, columns, _ = inputs.content(index)
            masks[index, rows, columns] = self._read(name, masks[index, rows, columns].shape)
        return masks.to(inputs.device)

    def _read(self, name: str, size: tuple[int, int]) -> Tensor:
        path = self.folder / f'{Path(name).stem}{self.suffix}'
        if not path.is_file():
            raise FileNotFoundError(f'The image {printable(name)} has no foreground mask {printable(path)}.')
        mask = cv2.imread(os.fspath(path), cv2.IMREAD_UNCHANGED)
        if mask is None:
            raise ValueError(f'The foreground mask {printable(path)} could not be read: it is no image file.')
        mask = mask if mask.ndim == 2 else mask[..., :3].max(axis=2)
        inside = (mask != 0) if self.ignore is None else (mask != 0) & (mask != self.ignore)
        resized = cv2.resize(inside.astype(np.uint8), tuple(size)[::-1], interpolation=cv2.INTER_NEAREST)
        return torch.from_numpy(resized).float()


def save_masks(folder: Path, masks: Tensor, inputs: MaskInputs) -> None:
    """Write masks (B, h, w) {0, 1} without padding as ``<folder>/<stem of the image>.png``, 0 and 255.

    Raises:
        OSError: If a file cannot be written.
    """
    for index, name in enumerate(inputs.names):
        rows, columns, _ = inputs.content(index)
        write_image_whole(folder / f'{Path(name).stem}.png',
                          (masks[index, rows, columns].cpu().numpy() * 255).astype(np.uint8))
