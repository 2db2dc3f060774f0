"""Images with a coloured object each, their masks, and a small network to cluster them by."""

import json

import cv2
import numpy as np
from mmengine.config import Config

from tests.models.backbones.builders import TINY

MEAN, STD = 120., 60.
COLOURS = [(230, 30, 30), (30, 230, 30), (30, 30, 230)]  # BGR


def config_of(weights, **settings):
    return Config(dict(
        default_scope='mmseg',
        model=dict(
            backbone=dict(type='leopart_mm.DenseViT', arch='vit_tiny_patch16_224', model_kwargs=TINY,
                          checkpoint=weights),
            data_preprocessor=dict(type='SegDataPreProcessor', mean=[MEAN] * 3, std=[STD] * 3, bgr_to_rgb=True)),
        mask_clusters=dict(dict(num_clusters=3, crops_per_batch=4), **settings)))


def write_scene(root, count=12, seed=0, name='{:02d}.png', start=0):
    """Grey images with a coloured object each; the file of masks and the true category of each image."""
    rng = np.random.default_rng(seed)
    root.mkdir(parents=True, exist_ok=True)
    images, annotations, kinds = [], [], []
    for index in range(count):
        height, width = (40, 56) if index % 2 else (33, 41)
        kind = index % 3
        x, y, w, h = 4 + index % 5, 3 + index % 4, 17 + 3 * (index % 2), 14
        image = np.full((height, width, 3), 128, np.uint8) + rng.integers(0, 20, (height, width, 3), np.uint8)
        image[y:y + h, x:x + w] = np.clip(np.add(COLOURS[kind], rng.integers(-20, 20, (h, w, 3))), 0, 255)
        file = name.format(index + start)
        cv2.imwrite(str(root / file), image)
        images.append(dict(id=100 + index, file_name=file, height=height, width=width))
        annotations.append(dict(id=index + 1, image_id=100 + index, category_id=0, iscrowd=0, bbox=[x, y, w, h],
                                area=w * h, segmentation=dict(size=[height, width], counts=[height * width])))
        kinds.append(kind)
    return images, annotations, kinds


def write_file(path, images, annotations, categories=({'id': 0, 'name': 'object'}, )):
    path.write_text(json.dumps(dict(images=images, annotations=annotations, categories=list(categories))))
    return path


def write_truth(path, images, annotations, kinds, ids=(3, 7, 20)):
    """The same boxes, a little moved, with their true categories, in another order and with ids of another kind."""
    truth = [dict(entry, id=10 + number, image_id=images[number]['file_name'].rpartition('.')[0],
                  category_id=ids[kind], bbox=[entry['bbox'][0] + 1, *entry['bbox'][1:]])
             for number, (entry, kind) in enumerate(zip(annotations, kinds, strict=True))]
    renamed = [dict(image, id=image['file_name'].rpartition('.')[0]) for image in images]
    names = {ids[2]: 'c', 99: 'background', ids[0]: 'a', ids[1]: 'b'}
    return write_file(path, renamed[::-1], truth[::-1], [dict(id=number, name=name) for number, name in names.items()])
