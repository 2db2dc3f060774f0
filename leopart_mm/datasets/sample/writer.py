"""Writing the sample data set in VOC layout."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from leopart_mm.datasets.sample.objects import CLASSES, PALETTE
from leopart_mm.datasets.sample.scenes import draw_scene, part_names
from leopart_mm.files import write_text_whole
from leopart_mm.palette import distinct_colours


def write_sample(folder: str | Path, num_images: int = 400, size: int = 160, seed: int = 0,
                 val_share: float = 0.25) -> dict[str, int]:
    """Draw scenes and write them as a VOC-layout data set.

    ``JPEGImages/<id>.jpg``, ``SegmentationClass/<id>.png`` (object classes), ``SegmentationPart/<id>.png`` (parts),
    ``ImageSets/Segmentation/{train,val}.txt``, ``meta.json``. Scene i depends on (seed, i, size) only.

    Args:
        folder: Folder to write to; created if it does not exist.
        num_images: Number of images, at least 2; the last `val_share` of them are the val split.
        size: Side of an image in pixels.
        seed: Seed of all random choices.
        val_share: Share of the val split, between 0 and 1.

    Returns:
        Number of images in each split.

    Raises:
        ValueError: If there are too few images for two splits, or the share is out of range.
    """
    if num_images < 2:
        raise ValueError(f'The sample needs at least 2 images (train and val), not {num_images}.')
    if not 0 < val_share < 1:
        raise ValueError(f'val_share must lie between 0 and 1, not {val_share}.')
    folder = Path(folder)
    for part in ('JPEGImages', 'SegmentationClass', 'SegmentationPart', 'ImageSets/Segmentation'):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for split in ('train', 'val'):  # written last, so that a killed run leaves no data set of two kinds of images
        (folder / 'ImageSets' / 'Segmentation' / f'{split}.txt').unlink(missing_ok=True)
    names = [f'scene_{index:05d}' for index in range(num_images)]
    for index, name in enumerate(names):
        scene = draw_scene(size, np.random.default_rng((seed, index)))
        Image.fromarray(scene.image).save(folder / 'JPEGImages' / f'{name}.jpg', quality=92)
        _save_labels(scene.classes, PALETTE, folder / 'SegmentationClass' / f'{name}.png')
        _save_labels(scene.parts, _part_palette(), folder / 'SegmentationPart' / f'{name}.png')
    meta = dict(classes=CLASSES, palette=PALETTE, ignore_index=255, parts=part_names(), seed=seed)
    write_text_whole(folder / 'meta.json', json.dumps(meta, indent=1) + '\n')
    num_val = min(max(round(num_images * val_share), 1), num_images - 1)
    splits = dict(train=names[:-num_val], val=names[-num_val:])
    for split, members in splits.items():
        write_text_whole(folder / 'ImageSets' / 'Segmentation' / f'{split}.txt', '\n'.join(members) + '\n')
    return {split: len(members) for split, members in splits.items()}


def _save_labels(labels: np.ndarray, palette: tuple, path: Path) -> None:
    image = Image.fromarray(labels, mode='P')
    image.putpalette([value for colour in palette for value in colour])
    image.save(path)


def _part_palette() -> list[tuple[int, int, int]]:
    return [(0, 0, 0), *(tuple(int(value) for value in colour) for colour in distinct_colours(len(part_names()) - 1))]
