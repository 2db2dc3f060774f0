"""COCO's super-category data sets: tables, pairing of masks and images, messages."""

import numpy as np
import pytest
from PIL import Image

from leopart_mm.datasets import COCOStuff15, COCOThings12
from leopart_mm.datasets.coco_categories import STUFF_SUPERCATEGORIES, THING_SUPERCATEGORIES, class_of_category
from leopart_mm.registry import DATASETS
from tests.paths import OWN_GOLDEN_ROOT

TABLES = OWN_GOLDEN_ROOT / 'neco' / 'label_maps.npz'
LOADING = [dict(type='mmseg.LoadImageFromFile'), dict(type='mmseg.LoadAnnotations'), dict(type='mmseg.PackSegInputs')]


@pytest.fixture
def coco(tmp_path):
    """Three images, two of them with a mask of each kind; the mask's value is the number of the image."""
    for index in range(3):
        path = tmp_path / f'images/val2017/{index:012d}.jpg'
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(path)
    for kind in ('stuff15', 'things12'):
        folder = tmp_path / 'annotations' / kind / 'val2017'
        folder.mkdir(parents=True)
        for index in (0, 2):
            Image.fromarray(np.full((6, 8), index, np.uint8)).save(folder / f'{index:012d}.png')
    return tmp_path


def test_super_categories_are_sorted_and_complete():
    assert len(STUFF_SUPERCATEGORIES) == 15
    assert len(THING_SUPERCATEGORIES) == 12
    for groups, count in ((STUFF_SUPERCATEGORIES, 91), (THING_SUPERCATEGORIES, 80)):
        assert list(groups) == sorted(groups)
        ids = [one for some in groups.values() for one in some]
        assert len(ids) == len(set(ids)) == count
    assert sorted(one for some in STUFF_SUPERCATEGORIES.values() for one in some) == list(range(92, 183))
    table = class_of_category(THING_SUPERCATEGORIES)
    assert (table[1], table[18], table[0], table[92], table[255]) == (9, 1, 255, 255, 255)  # person, dog


@pytest.mark.parametrize(('name', 'groups'), [('thing', THING_SUPERCATEGORIES), ('stuff', STUFF_SUPERCATEGORIES)])
def test_tables_equal_the_published_ones(name, groups):
    golden = np.load(TABLES)
    np.testing.assert_array_equal(class_of_category(groups)[golden[f'coco_{name}_id']], golden[f'coco_{name}_class'])


@pytest.mark.parametrize(('cls', 'count'), [(COCOStuff15, 15), (COCOThings12, 12)])
def test_masks_find_their_images(coco, cls, count):
    dataset = DATASETS.build(dict(type=f'leopart_mm.{cls.__name__}', data_root=str(coco), pipeline=LOADING,
                                  test_mode=True))
    assert len(dataset) == 2
    assert len(dataset.metainfo['classes']) == len(dataset.metainfo['palette']) == count
    sample = dataset[1]
    assert sample['data_samples'].img_path.endswith('images/val2017/000000000002.jpg')
    assert (sample['data_samples'].gt_sem_seg.data == 2).all()
    assert len(cls(str(coco), num_samples=1, subset_seed=0)) == 1


def test_lists_and_missing_parts(coco):
    (coco / 'some.txt').write_text('000000000002\n')
    assert len(COCOStuff15(str(coco), ann_file='some.txt')) == 1
    with pytest.raises(FileNotFoundError, match=r'none\.txt is missing'):
        COCOStuff15(str(coco), ann_file='none.txt')
    with pytest.raises(FileNotFoundError, match=r'train2017, is missing.*data_root'):
        COCOThings12(str(coco), split='train2017')
    with pytest.raises(FileNotFoundError, match=r'masks.*train2017, is missing.*coco_things12\.py'):
        COCOThings12(str(coco), split='train2017', data_prefix=dict(img_path='images/val2017'))
    (coco / 'images/val2017/000000000002.jpg').unlink()
    with pytest.raises(FileNotFoundError, match=r'1 of 2 listed images are missing in .*000000000002\.jpg'):
        COCOStuff15(str(coco))
    for mask in (coco / 'annotations/stuff15/val2017').glob('*.png'):
        mask.unlink()
    with pytest.raises(ValueError, match=r'no mask.*coco_stuff15\.py'):
        COCOStuff15(str(coco))
