"""Data samples that wait beside cached features: label maps are compressed, without loss."""

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.structures import PixelData
from torch import Tensor

from leopart_mm.devices import move

LABELS = 'gt_sem_seg'


def pack_integers(values: Tensor, bounds: tuple[int, int] | None = None) -> Tensor:
    """The same integers in the smallest of uint8, int16, int32 and int64 that holds them.

    Args:
        values: Integers.
        bounds: The smallest and the largest that there may be. None: they are looked up.
    """
    if not values.numel():
        return values
    low, high = bounds or (int(values.min()), int(values.max()))
    for dtype in (torch.uint8, torch.int16, torch.int32):
        if torch.iinfo(dtype).min <= low and high <= torch.iinfo(dtype).max:
            return values.to(dtype)
    return values


@dataclass
class PackedSample:
    """A SegDataSample whose ground truth takes a few kilobytes instead of megabytes.

    Args:
        rest: The sample without its label map.
        labels: The compressed map, or None if there is none.
        small, dtype: Its types, packed and original.
        shape: Its shape.
    """

    rest: Any
    labels: bytes | None = None
    small: np.dtype | None = None
    dtype: torch.dtype | None = None
    shape: tuple[int, ...] = ()

    @classmethod
    def pack(cls, sample: Any, before: Any = None) -> 'PackedSample':
        """Take over a sample; it is not changed.

        Args:
            sample: The sample.
            before: The same sample before it was moved to a GPU, so that its labels need not come back from there.
        """
        if sample is None or LABELS not in sample:
            return cls(sample)
        rest, labels = sample.clone(), sample.gt_sem_seg.data
        if before is not None and LABELS in before and before.gt_sem_seg.data.shape == labels.shape:
            labels = before.gt_sem_seg.data
        del rest.gt_sem_seg
        small = pack_integers(labels.cpu()).numpy()
        return cls(rest, zlib.compress(small.tobytes(), 1), small.dtype, labels.dtype, tuple(labels.shape))

    def unpack(self, device: torch.device | str) -> Any:
        """The sample as it was, its label map on `device`."""
        if self.labels is None:
            return self.rest
        sample = self.rest.clone()
        values = np.frombuffer(bytearray(zlib.decompress(self.labels)), self.small).reshape(self.shape)
        sample.gt_sem_seg = PixelData(data=move(torch.from_numpy(values).to(self.dtype), device))
        return sample
