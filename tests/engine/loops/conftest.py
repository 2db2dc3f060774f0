"""A tiny data set in VOC layout and the config of an evaluation on it."""

import json

import cv2
import numpy as np
import pytest

COLOURS = np.array([[200, 30, 30], [30, 200, 30], [30, 30, 200]], np.uint8)


@pytest.fixture(scope='session')
def voc_root(tmp_path_factory):
    """Five images of coloured quarters with their masks."""
    root = tmp_path_factory.mktemp('voc')
    for folder in ('JPEGImages', 'SegmentationClass', 'ImageSets/Segmentation'):
        (root / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    names = [f'image_{index}' for index in range(5)]
    for name in names:
        mask = rng.integers(0, 3, (2, 3)).repeat(16, 0).repeat(16, 1).astype(np.uint8)
        image = COLOURS[mask] + rng.integers(0, 20, (*mask.shape, 3), dtype=np.uint8)
        cv2.imwrite(str(root / 'JPEGImages' / f'{name}.png'), image)
        cv2.imwrite(str(root / 'SegmentationClass' / f'{name}.png'), mask)
    (root / 'ImageSets/Segmentation/val.txt').write_text('\n'.join(names))
    (root / 'meta.json').write_text(json.dumps(dict(
        classes=['red', 'green', 'blue'], palette=COLOURS.tolist(), ignore_index=255)))
    return root


@pytest.fixture
def eval_config(voc_root, tmp_path):
    """A whole evaluation config, as a dict."""
    pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]
    dataset = dict(type='leopart_mm.VOCLayoutDataset', data_root=str(voc_root), split='val', pipeline=pipeline)
    return dict(
        default_scope='mmseg',
        work_dir=str(tmp_path / 'work'),
        log_level='WARNING',
        model=dict(
            type='leopart_mm.UnsupervisedSegmentor',
            data_preprocessor=dict(type='SegDataPreProcessor', mean=[127.5] * 3, std=[127.5] * 3, bgr_to_rgb=True,
                                   size_divisor=1),
            backbone=dict(type='leopart_mm.DenseViT', arch='vit_tiny_patch16_224',
                          model_kwargs=dict(depth=1, img_size=32)),
            decode_head=dict(type='leopart_mm.OverclusterHead', num_clusters=6, seeds=2, pca_dim=8, niter=10, nredo=3),
            test_cfg=dict(mode='whole')),
        test_dataloader=dict(batch_size=2, num_workers=0, dataset=dataset,
                             sampler=dict(type='DefaultSampler', shuffle=False, round_up=False)),
        test_evaluator=dict(type='leopart_mm.ClusterMetric', matching='precision'),
        test_cfg=dict(type='leopart_mm.FitTestLoop'),
        visualizer=dict(type='SegLocalVisualizer', vis_backends=[]),
        randomness=dict(seed=0))
