"""ADE20K with label 0: classes, labels as they lie in the files, parts of the data."""

import numpy as np
import pytest
from PIL import Image

from leopart_mm.datasets import ADE20K151
from leopart_mm.datasets.subset import take_subset

LOADING = [dict(type='mmseg.LoadImageFromFile'), dict(type='mmseg.LoadAnnotations'), dict(type='mmseg.PackSegInputs')]


def test_labels_are_those_of_the_files(tmp_path):
    for folder, suffix, value in (('images', 'jpg', np.zeros((6, 8, 3))), ('annotations', 'png', np.full((6, 8), 150))):
        path = tmp_path / folder / 'training'
        path.mkdir(parents=True)
        Image.fromarray(value.astype(np.uint8)).save(path / f'ADE_train_1.{suffix}')
    dataset = ADE20K151(str(tmp_path), 'training', pipeline=LOADING)
    assert (dataset[0]['data_samples'].gt_sem_seg.data == 150).all()
    classes = dataset.metainfo['classes']
    assert (len(classes), len(dataset.metainfo['palette'])) == (151, 151)
    assert (classes[0], classes[1], classes[150]) == ('other', 'wall', 'flag')
    with pytest.raises(FileNotFoundError, match=r'validation, is missing.*data_root'):
        ADE20K151(str(tmp_path))


def test_fractions_of_one_seed_are_nested_and_of_the_published_sizes():
    images = list(range(20210))
    parts = [take_subset(images, size, 42) for size in (2550, 300, 150)]
    assert [len(part) for part in parts] == [2550, 300, 150]
    assert set(parts[2]) < set(parts[1]) < set(parts[0])
    assert take_subset(images, 150, 400) != parts[2]
