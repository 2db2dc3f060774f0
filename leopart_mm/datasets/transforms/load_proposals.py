"""Mask proposals of an image in training pipelines: reading what tools/generate_masks.py wrote, and packing it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.structures import PixelData
from mmseg.datasets.transforms import PackSegInputs

from leopart_mm.files import printable
from leopart_mm.masks import LabelMapFiles, ProposalSource
from leopart_mm.masks.proposal_cache import ProposalCache
from leopart_mm.registry import TASK_UTILS, TRANSFORMS

KEY = 'proposals'
CHECKS = ('pixels', 'file', 'size')


@TRANSFORMS.register_module()
class LoadProposals(BaseTransform):
    """Add the map of mask numbers of an image, checked to be that of this very picture.

    It stands behind the same fixed geometry that the proposals were made after, and before all that draws at random:
    the map is among the ``seg_fields``, so that flips, crops and resizing that follow move it with image and labels.

    Adds ``proposals`` ((H, W) uint8: mask numbers from 1 on, 255 where there is no mask).

    Args:
        folder: Folder that tools/generate_masks.py filled (its ``--out``).
        source: Config of the source that they must come from, such as the `proposals` of the config that made them;
            None: any.
        expect: Further settings that they must have been made with, nested as in ``report.json``.
        check: What is compared with the record of each image: 'pixels' (default), the image in the results, which
            shows another file, size, crop and resize rule alike; 'file', only the content of its file; 'size', neither.
        published: `folder` is the ``pseudos`` folder of the published code's cache (docs/methods/primaps.md §6), whose
            files say nothing of how they were made: only sizes are compared.

    Raises:
        FileNotFoundError: If there are no proposals, or none of an image.
        ValueError: If they were made otherwise, of another image, or a file is not whole; the message says which.
    """

    def __init__(self, folder: str, source: Mapping[str, Any] | ProposalSource | None = None,
                 expect: Mapping[str, Any] | None = None, check: str = 'pixels', published: bool = False) -> None:
        if check not in CHECKS:
            raise ValueError(f'LoadProposals: check={check!r} must be one of {", ".join(CHECKS)}.')
        self.folder, self.check, self.published = Path(folder).expanduser(), check, published
        self.cache: ProposalCache | None = None
        if published:
            if source is not None or expect is not None:
                raise ValueError('LoadProposals: the published layout does not say how its files were made, so source '
                                 'and expect cannot be compared: leave them out.')
            if not self.folder.is_dir():
                raise FileNotFoundError(f'LoadProposals: the folder {printable(self.folder)} does not exist.')
            return
        self.cache = ProposalCache(self.folder)
        if source is not None:
            built = source if isinstance(source, ProposalSource) else TASK_UTILS.build(dict(source))
            self.cache.require(dict(source=dict(type=type(built).__name__, **built.settings())))
        if expect is not None:
            self.cache.require(expect)

    def require(self, settings: Mapping[str, Any]) -> None:
        """Check the record of the proposals, see `ProposalCache.require`; the published layout has none and passes."""
        if self.cache is not None:
            self.cache.require(settings)

    def transform(self, results: dict) -> dict:
        """Add the map to the results."""
        image = results['img']
        if self.published:
            labels = self._read_published(results['img_path'], image.shape[:2])
        else:
            pixels = image if self.check == 'pixels' else None
            labels = self.cache.read(results['img_path'], pixels, self.check == 'file', image.shape[:2]).labels
        results[KEY] = np.ascontiguousarray(labels)
        fields = results.setdefault('seg_fields', [])
        if KEY not in fields:
            fields.append(KEY)
        return results

    def _read_published(self, path: str, size: tuple[int, int]) -> np.ndarray:
        file = self.folder / f'{Path(path).stem}.png'
        if not file.is_file():
            raise FileNotFoundError(f'{printable(path)} has no proposals: there is no {printable(file)}.')
        labels = LabelMapFiles().read(file).labels
        if labels.shape != tuple(size):
            raise ValueError(f'The proposals {printable(file)} are {labels.shape[0]} x {labels.shape[1]} pixels, but '
                             f'the image is {size[0]} x {size[1]}: train on the images beside them (imgs/).')
        return labels

    def __repr__(self) -> str:
        return f'{type(self).__name__}(folder={str(self.folder)!r}, check={self.check!r}, published={self.published})'


@TRANSFORMS.register_module()
class PackProposals(PackSegInputs):
    """mmseg's PackSegInputs that packs the map of `LoadProposals` too: PixelData ``proposals``, (1, H, W) uint8.

    Raises:
        KeyError: If no proposals were loaded before.
    """

    def transform(self, results: dict) -> dict:
        """The packed sample."""
        if KEY not in results:
            raise KeyError("PackProposals finds no 'proposals' in the sample: put LoadProposals before it.")
        packed = super().transform(results)
        data = torch.from_numpy(np.ascontiguousarray(results[KEY])[None])
        packed['data_samples'].set_data({KEY: PixelData(data=data)})
        return packed
