"""Dense features of a folder of images, a file per image; an interrupted run resumes."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open

from leopart_mm.apis.backbone_source import BackboneSource
from leopart_mm.apis.image_inputs import ImageInput, ImageList, list_images
from leopart_mm.apis.image_run import ImageRun, Report
from leopart_mm.datasets.image_reading import read_image
from leopart_mm.datasets.output_marks import mark_outputs, refuse_images_among
from leopart_mm.datasets.transforms.resizing import resize_image
from leopart_mm.devices import best_device
from leopart_mm.files import printable, safetensors_bytes, write_bytes_whole, write_text_whole, write_whole
from leopart_mm.folder_lock import lock_folder
from leopart_mm.models.fitting.networks import network_settings
from leopart_mm.progress import progress

FORMATS = ('safetensors', 'npz')
DTYPES = ('float32', 'float16')
FOLDER, INDEX = 'features', 'features.json'


@dataclass
class ImageFeatures:
    """What the network says of an image.

    Args:
        features: (h, w, C) float32 or float16: cell (i, j) sees the pixels from i / h to (i + 1) / h of the height and
            from j / w to (j + 1) / w of the width.
        class_token: (C,), empty for a network without one.
        size: (height, width) of the image file.
    """

    features: np.ndarray
    class_token: np.ndarray
    size: tuple[int, int]


class FeatureRun:
    """Writes the features of images into files named after them.

    Below `out`: ``features/<name>.safetensors`` (or ``.npz``) with the tensors ``features`` (h, w, C) and
    ``class_token`` (C,), and ``features.json``, which says of every image its file, size and grid, and of all the
    network. `<name>` is the path below the folder of the images. Files that this network made of these very images are
    not made again.

    Args:
        source: The backbone.
        out: Output folder; made if it does not exist.
        side: Longest side of what the network sees, in pixels; both sides are rounded to whole patches.
        block: The block whose output is taken, counted from the last one, 1.
        file_format: 'safetensors' or 'npz'.
        dtype: 'float32' or 'float16'.
        device: Where the network runs; None: a GPU if there is one.
        overwrite: Make all files again, also where `out` holds those of another network or other settings.

    Raises:
        ValueError: If a setting is out of range, or `out` holds features of another network or other files, and
            `overwrite` is off.
    """

    def __init__(self, source: BackboneSource, out: str | os.PathLike, side: int = 448, block: int = 1,
                 file_format: str = 'safetensors', dtype: str = 'float32', device: str | None = None,
                 overwrite: bool = False) -> None:
        for name, value, known in (('format', file_format, FORMATS), ('dtype', dtype, DTYPES)):
            if value not in known:
                raise ValueError(f'{name}={value!r} is unknown; known are: {", ".join(known)}.')
        self.source, self.dtype, self.block = source, np.dtype(dtype), block
        self.patch = getattr(source.network, 'patch_size', 32)
        if side < self.patch:
            raise ValueError(f'side={side}: the network sees at least one patch of {self.patch} px.')
        if not 1 <= block <= getattr(source.network, 'num_layers', 1):
            raise ValueError(f'block={block}: the network has {getattr(source.network, "num_layers", 1)} blocks.')
        self.side = side
        self.device = torch.device(device or best_device())
        source.network.to(self.device)
        self.out = Path(out).expanduser()
        self.suffix = f'.{file_format}'
        settings = dict(network=network_settings(source.network), side=side, block=block, dtype=dtype,
                        suffix=self.suffix, mean=list(source.mean), std=list(source.std))
        lock = lock_folder(self.out)
        self.images = ImageRun(self.out / FOLDER, settings, self.suffix, overwrite, refusal=lambda claim: (
            f'{printable(self.out)} holds features of another network, size, block or format.'))
        mark_outputs(self.out, (FOLDER, INDEX))
        del lock

    def run(self, inputs: ImageInput | list[ImageInput] | ImageList) -> Report:
        """Extract everything; returns what happened.

        Raises:
            FileNotFoundError: If there is no image.
            OSError: If an output cannot be written.
            ValueError: If an image lies among the outputs.
        """
        images = inputs if isinstance(inputs, ImageList) else list_images(inputs)
        refuse_images_among(self.out, (FOLDER, INDEX), [image for image in images.images if isinstance(image, str)])
        lock = lock_folder(self.out)
        entries = {}
        results = _sizes(self.images.run(images, self.extract, self._write, self._read_back))
        names = iter(images.names)
        for found in progress(results, 'Extracting features', len(images.images), time_left=True):
            name = next(names)
            if found is not None:
                size, grid = found
                entries[name] = dict(file=f'{FOLDER}/{name}{self.suffix}', size=list(size), grid=list(grid))
        network = self.source.network
        content = dict(network=type(network).__name__, arch=getattr(network, 'arch', None), block=self.block,
                       side=self.side, patch_size=self.patch, dtype=str(self.dtype), mean=list(self.source.mean),
                       std=list(self.source.std), images=entries)
        write_text_whole(self.out / INDEX, json.dumps(content, indent=1) + '\n')
        del lock
        return self.images.report

    @torch.no_grad()
    def extract(self, image: str | np.ndarray, name: str | None = None) -> Any:
        """The `ImageFeatures` of a file, or of an array (H, W, 3) uint8 in BGR order.

        Raises:
            ImageReadError: If the file cannot be read.
        """
        pixels = np.ascontiguousarray(image[..., ::-1]) if isinstance(image, np.ndarray) else read_image(image, 'rgb')
        size = pixels.shape[:2]
        scale = self.side / max(size)
        target = tuple(max(round(side * scale / self.patch), 1) * self.patch for side in size)
        planes = torch.from_numpy(resize_image(pixels, target)).permute(2, 0, 1)[None].to(self.device)
        inputs, network = self.source.normalise(planes), self.source.network
        token = None
        if hasattr(network, 'num_layers'):
            found = network.forward_dense(inputs, [-self.block])
            maps, token = found.maps[-1], found.cls_token
        else:
            maps = network(inputs)[-1]
        token = np.zeros(0, self.dtype) if token is None else self._array(token[0])
        return ImageFeatures(self._array(maps[0].permute(1, 2, 0)), token, size)

    def _array(self, tensor: torch.Tensor) -> np.ndarray:
        return np.ascontiguousarray(tensor.float().cpu().numpy().astype(self.dtype))

    def _write(self, file: Path, found: ImageFeatures) -> None:
        tensors = dict(features=found.features, class_token=found.class_token)
        if self.suffix == '.npz':
            with write_whole(file) as temporary, open(temporary, 'wb') as stream:
                np.savez(stream, **tensors, size=np.array(found.size))
        else:
            name = printable(file.relative_to(self.out / FOLDER))
            write_bytes_whole(file, safetensors_bytes(tensors, dict(size=' '.join(map(str, found.size)), name=name)))

    def _read_back(self, image: str | np.ndarray, name: str, file: Path) -> tuple[tuple, tuple]:
        return read_sizes(file)


def read_sizes(file: Path) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(height, width) of the image and (h, w) of the grid in a file of features."""
    if file.suffix == '.npz':
        with np.load(file, allow_pickle=False) as content:
            return tuple(content['size'].tolist()), content['features'].shape[:2]
    with safe_open(file, 'np') as content:
        return (tuple(map(int, content.metadata()['size'].split())),
                tuple(content.get_slice('features').get_shape()[:2]))


def _sizes(results: Iterator[Any]) -> Iterator[Any]:
    for found in results:
        yield (found.size, found.features.shape[:2]) if isinstance(found, ImageFeatures) else found
