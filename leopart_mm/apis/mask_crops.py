"""One feature per mask: the class token of the crop of its box (docs/methods/maskdistill.md §5)."""

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from mmseg.structures import SegDataSample
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from leopart_mm.apis.proposal_network import ProposalNetwork
from leopart_mm.datasets.image_reading import read_image
from leopart_mm.datasets.transforms.resizing import resize_image
from leopart_mm.files import printable, remove_temporary, write_bytes_whole
from leopart_mm.fingerprints import file_fingerprint, text_fingerprint
from leopart_mm.folder_lock import lock_folder
from leopart_mm.progress import progress

SUFFIX = '.safetensors'
MAX_TOKENS = 2**15  # patches of a batch, which bound its memory


@dataclass(frozen=True)
class MaskCrop:
    """The box of a mask in its image.

    Args:
        path: The image file.
        image_size: (height, width) that the image must have.
        rows, columns: What the box covers, see `box_pixels`.
    """

    path: str
    image_size: tuple[int, int]
    rows: slice
    columns: slice

    def size(self, max_side: int | None = None) -> tuple[int, int]:
        """(height, width) of the crop; a longer side than `max_side` is made that long, in proportion."""
        height, width = self.rows.stop - self.rows.start, self.columns.stop - self.columns.start
        if max_side is None or max(height, width) <= max_side:
            return height, width
        ratio = max_side / max(height, width)
        return max(round(height * ratio), 1), max(round(width * ratio), 1)

    def place(self) -> list[int]:
        """First and end of rows and of columns."""
        return [self.rows.start, self.rows.stop, self.columns.start, self.columns.stop]


def plan_batches(sizes: Sequence[tuple[int, int]], patch: int, batch_size: int) -> list[list[int]]:
    """Indices of crops in batches whose sizes are equal once they are padded to whole patches, the largest first.

    A batch depends on the crops of its size alone, so that another crop elsewhere leaves it as it is.

    >>> plan_batches([(8, 8), (20, 9), (7, 3), (24, 16), (1, 1)], 8, 2)
    [[1, 3], [0, 2], [4]]
    """
    groups: dict[tuple[int, int], list[int]] = {}
    for index, (height, width) in enumerate(sizes):
        groups.setdefault((-(-height // patch), -(-width // patch)), []).append(index)
    batches = []
    for (rows, columns), group in sorted(groups.items(), key=lambda item: (-item[0][0] * item[0][1], item[0])):
        step = max(1, min(batch_size, MAX_TOKENS // (rows * columns)))
        batches += [group[start:start + step] for start in range(0, len(group), step)]
    return batches


class CropReader(Dataset):
    """Reads the crops of each batch, (h, w, 3) uint8 BGR."""

    def __init__(self, batches: Sequence[Sequence[MaskCrop]], max_side: int | None) -> None:
        self.batches, self.max_side = batches, max_side

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> list[np.ndarray]:
        """The crops of a batch.

        Raises:
            ImageReadError: If an image cannot be read.
            ValueError: If it has another size than the file of masks says.
        """
        images: dict[str, np.ndarray] = {}
        return [self._crop(crop, images) for crop in self.batches[index]]

    def _crop(self, crop: MaskCrop, images: dict[str, np.ndarray]) -> np.ndarray:
        if crop.path not in images:
            images[crop.path] = read_image(crop.path)
        image = images[crop.path]
        if image.shape[:2] != tuple(crop.image_size):
            height, width = crop.image_size
            raise ValueError(f'{printable(crop.path)} has {image.shape[1]}x{image.shape[0]} pixels, but the file of '
                             f'masks says {width}x{height}: the masks are of another image. Make them again, or give '
                             'the folder that they were made of by --images.')
        pixels = image[crop.rows, crop.columns]
        size = crop.size(self.max_side)
        return np.ascontiguousarray(pixels) if size == pixels.shape[:2] else resize_image(pixels, size)


class CropFeatures:
    """Class tokens of crops by a frozen network, each batch of them kept in a file.

    The name of such a file is a fingerprint of the network, of the content of the images and of the boxes. So an
    interrupted run finds what it computed, to the last bit, and a run with another network, other images or other
    masks finds nothing: the published code reuses its features whatever the input.

    Args:
        network: The frozen network; its backbone must give a class token.
        folder: Where features are kept; made if it does not exist.
        batch_size: Most crops of a batch.
        max_side: Crops with a longer side are made smaller; None: no limit, as published.
        workers: Processes that read images.

    Attributes:
        computed: Number of crops that went through the network.

    Raises:
        TypeError: If the backbone gives no class token.
        FolderInUseError: If another run uses the folder.
    """

    def __init__(self, network: ProposalNetwork, folder: Path, batch_size: int = 16, max_side: int | None = 1024,
                 workers: int = 0) -> None:
        backbone = network.backbone
        if not hasattr(backbone, 'forward_dense') or getattr(backbone, 'cls_token', None) is None:
            raise TypeError(f'Masks are clustered by class tokens, and {type(backbone).__name__} '
                            f'{getattr(backbone, "arch", "")} has none: use '
                            "backbone=dict(type='leopart_mm.DenseViT', arch='vit_small_patch8_224').")
        if batch_size < 1 or workers < 0 or (max_side is not None and max_side < 1):
            raise ValueError(f'A batch size of {batch_size}, a longest side of {max_side} and {workers} workers: give '
                             'at least 1, 1 and 0.')
        self.network, self.folder, self.batch_size = network, folder, batch_size
        self.max_side, self.workers = max_side, workers
        self.settings = dict(network.settings(), max_side=max_side)
        self.computed = 0
        self._lock = lock_folder(folder)
        remove_temporary(folder)

    def __call__(self, crops: Sequence[MaskCrop]) -> np.ndarray:
        """(N, D) float32, one row per crop.

        Raises:
            ImageReadError: If an image cannot be read.
            ValueError: If an image has another size than its crop says.
            OSError: If a file cannot be written.
        """
        sizes = [crop.size(self.max_side) for crop in crops]
        batches = plan_batches(sizes, self.network.backbone.patch_size, self.batch_size)
        contents = {path: file_fingerprint(path) for path in {crop.path for crop in crops}}
        features = np.zeros((len(crops), self.network.backbone.embed_dims), np.float32)
        files = [self._file([crops[index] for index in batch], contents) for batch in batches]
        missing = []
        for batch, file in zip(batches, files, strict=True):
            kept = self._read(file, (len(batch), features.shape[1]))
            if kept is None:
                missing.append((batch, file))
            else:
                features[batch] = kept
        for (batch, file), images in zip(missing, self._images(crops, [batch for batch, _ in missing]), strict=True):
            features[batch] = self._compute(images)
            write_bytes_whole(file, save_tensors(dict(features=features[batch])))
            self.computed += len(batch)
        return features

    def _images(self, crops: Sequence[MaskCrop], batches: Sequence[Sequence[int]]) -> Iterator[list[np.ndarray]]:
        """The pixels of batches of crops."""
        if not batches:
            return
        reader = CropReader([[crops[index] for index in batch] for batch in batches], self.max_side)
        loader = DataLoader(reader, batch_size=None, num_workers=self.workers, collate_fn=_unchanged)
        yield from progress(loader, 'Reading features of masks, in batches', len(batches), time_left=True)

    def _file(self, crops: Sequence[MaskCrop], contents: dict[str, str]) -> Path:
        key = [self.settings, [[contents[crop.path], crop.place()] for crop in crops]]
        return self.folder / f'{text_fingerprint(json.dumps(key, sort_keys=True))}{SUFFIX}'

    def _read(self, file: Path, shape: tuple[int, int]) -> np.ndarray | None:
        """Kept features; None if there are none, or the file is damaged."""
        try:
            found = load_tensors(file.read_bytes())['features']
        except FileNotFoundError:
            return None
        except Exception:  # safetensors has errors of its own
            found = None
        if found is None or found.shape != shape:
            print_log(f'{printable(file)} is damaged; its features are computed again.', logger='current',
                      level=logging.WARNING)
            return None
        return found

    @torch.no_grad()
    def _compute(self, images: Sequence[np.ndarray]) -> np.ndarray:
        inputs = [self._normalised(image) for image in images]
        height, width = (max(side) for side in zip(*(tuple(image.shape[-2:]) for image in inputs), strict=True))
        patch = self.network.backbone.patch_size
        height, width = (-(-side // patch) * patch for side in (height, width))
        padded = [F.pad(image, (0, width - image.shape[-1], 0, height - image.shape[-2])) for image in inputs]
        tokens = self.network.backbone.forward_dense(torch.cat(padded)).cls_token
        return tokens.float().cpu().numpy()

    def _normalised(self, image: np.ndarray) -> Tensor:
        """(1, 3, h, w) on the device of the network, before any padding."""
        pixels = torch.from_numpy(image).permute(2, 0, 1).to(next(self.network.parameters()).device)
        return self.network.data_preprocessor(dict(inputs=[pixels], data_samples=[SegDataSample()]))['inputs']


def _unchanged(item: Any) -> Any:
    return item
