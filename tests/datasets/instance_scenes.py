"""Tiny pictures with instances, as a folder of images and a COCO JSON."""

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from leopart_mm.datasets.coco_json import write_coco

CATEGORIES = [dict(id=0, name='square'), dict(id=1, name='disc'), dict(id=2, name='background')]


def draw(rng, size=64):
    """A picture of noise, (S, S, 3) uint8, and the masks of its objects: red squares (0) and green discs (1)."""
    image = rng.integers(60, 120, (size, size, 3), dtype=np.uint8)
    masks = []
    for _ in range(rng.integers(1, 3)):
        kind, half = int(rng.integers(0, 2)), int(rng.integers(9, 15))
        x, y = (int(value) for value in rng.integers(half, size - half, 2))
        mask = np.zeros((size, size), np.uint8)
        if kind == 0:
            mask[y - half:y + half, x - half:x + half] = 1
        else:
            cv2.circle(mask, (x, y), half, 1, -1)
        for _, other in masks:
            other[mask > 0] = 0
        image[mask > 0] = (30, 30, 220) if kind == 0 else (30, 220, 30)
        masks.append((kind, mask))
    return image, [(kind, mask) for kind, mask in masks if mask.sum() > 60]


def encode(mask):
    lengths = coco_mask.encode(np.asfortranarray(mask))
    return dict(size=lengths['size'], counts=lengths['counts'].decode())


def write_instances(folder, count=8, seed=0, size=64, categories=CATEGORIES, first_id=1):
    """`images/*.png` and `instances.json` in a folder, every second mask as polygons; returns the JSON's path."""
    rng = np.random.default_rng(seed)
    (folder / 'images').mkdir(parents=True)
    images, annotations = [], []
    for number in range(count):
        image, masks = draw(rng, size)
        cv2.imwrite(str(folder / 'images' / f'{number:03d}.png'), image)
        images.append(dict(id=number + first_id, file_name=f'{number:03d}.png', height=size, width=size))
        for kind, mask in masks:
            segmentation = encode(mask)
            if len(annotations) % 2:
                outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
                segmentation = [outline.flatten().tolist() for outline in outlines if len(outline) > 2]
            x, y, w, h = cv2.boundingRect(mask)
            annotations.append(dict(id=len(annotations) + 1, image_id=number + first_id,
                                    category_id=categories[kind]['id'], segmentation=segmentation,
                                    bbox=[x, y, w, h], area=int(mask.sum()), iscrowd=0, score=1.))
    file = folder / 'instances.json'
    write_coco(file, images, annotations, categories)
    return file
