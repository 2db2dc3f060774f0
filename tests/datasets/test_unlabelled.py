"""Finding images, skipping bad ones without silence, and saying what is missing."""

import io
import json
import os

import numpy as np
import pytest
from mmengine.logging import MMLogger
from PIL import Image
from torch.utils.data import DataLoader

from leopart_mm.datasets import ImageReadError, UnlabelledImages
from leopart_mm.datasets.image_reading import IMAGE_SUFFIXES
from leopart_mm.datasets.samplers.draw import Draw

PIPELINE = [dict(type='leopart_mm.LoadImage')]


@pytest.fixture
def folder(tmp_path):
    """a.jpg b.PNG sub/c.jpg sub/deep/d.tiff; image i is filled with the value i."""
    root = tmp_path / 'images'
    (root / 'sub' / 'deep').mkdir(parents=True)
    for value, name in enumerate(('a.jpg', 'b.PNG', 'sub/c.jpg', 'sub/deep/d.tiff')):
        Image.fromarray(np.full((8, 8, 3), value * 10, np.uint8)).save(root / name)
    (root / 'notes.txt').write_text('no image')
    (root / '.hidden.jpg').write_bytes(b'x')
    return root


def names(dataset):
    return [dataset.get_data_info(index)['img_path'].split('/')[-1] for index in range(len(dataset))]


def values(dataset):
    return [int(dataset[index]['img'][0, 0, 0]) for index in range(len(dataset))]


def test_folder_is_searched(folder):
    dataset = UnlabelledImages(str(folder), pipeline=PIPELINE)
    assert names(dataset) == ['a.jpg', 'b.PNG', 'c.jpg', 'd.tiff']
    assert values(dataset) == [0, 10, 20, 30]
    assert dataset[2]['sample_idx'] == 2
    assert names(UnlabelledImages(str(folder), recursive=False)) == ['a.jpg', 'b.PNG']
    assert names(UnlabelledImages(str(folder), suffixes=['.PNG'])) == ['b.PNG']


def test_links_are_followed_once(folder):
    (folder / 'sub' / 'back').symlink_to(folder)
    assert len(UnlabelledImages(str(folder))) == 4


def test_subset(folder):
    assert names(UnlabelledImages(str(folder), num_samples=2)) == ['a.jpg', 'b.PNG']
    assert len(UnlabelledImages(str(folder), num_samples=9)) == 4
    random = [names(UnlabelledImages(str(folder), num_samples=2, subset_seed=seed)) for seed in range(8)]
    assert random == [names(UnlabelledImages(str(folder), num_samples=2, subset_seed=seed)) for seed in range(8)]
    assert len(set(map(tuple, random))) > 1
    with pytest.raises(ValueError, match='num_samples'):
        UnlabelledImages(str(folder), num_samples=0)


def test_list_file(folder):
    (folder / 'list.txt').write_text('sub/c.jpg 17\n\na.jpg\n')
    assert names(UnlabelledImages(str(folder), ann_file='list.txt')) == ['c.jpg', 'a.jpg']
    (folder / 'list.txt').write_text('sub/c.jpg\nsub/gone.jpg\n')
    assert names(UnlabelledImages(str(folder), ann_file='list.txt')) == ['c.jpg']
    with pytest.raises(FileNotFoundError, match=r'1 of the 2 images.*sub/gone.jpg'):
        UnlabelledImages(str(folder), ann_file='list.txt', on_corrupt='raise')
    (folder / 'list.txt').write_text('sub/gone.jpg\n')
    with pytest.raises(FileNotFoundError, match=r'1 of the 1 images.*sub/gone.jpg'):
        UnlabelledImages(str(folder), ann_file='list.txt')
    with pytest.raises(FileNotFoundError, match=r'other\.txt'):
        UnlabelledImages(str(folder), ann_file='other.txt')


def test_imagenet_folders(folder):
    assert names(UnlabelledImages(str(folder), folders=['sub'])) == ['c.jpg', 'd.tiff']
    (folder / 'classes.txt').write_text('sub\n')
    assert names(UnlabelledImages(str(folder), folders='classes.txt')) == ['c.jpg', 'd.tiff']
    with pytest.raises(FileNotFoundError, match=r'1 of the 2 chosen folders.*n0123'):
        UnlabelledImages(str(folder), folders=['sub', 'n0123'])


def test_coco_json(folder):
    content = dict(images=[dict(id=1, file_name='c.jpg'), dict(id=2, file_name='deep/d.tiff')], annotations=[])
    (folder / 'coco.json').write_text(json.dumps(content))
    dataset = UnlabelledImages(str(folder / 'sub'), ann_file=str(folder / 'coco.json'), pipeline=PIPELINE)
    assert values(dataset) == [20, 30]
    (folder / 'coco.json').write_text('[]')
    with pytest.raises(ValueError, match='no COCO json'):
        UnlabelledImages(str(folder), ann_file='coco.json')


def test_missing_and_empty_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere does not exist'):
        UnlabelledImages(str(tmp_path / 'nowhere'))
    with pytest.raises(FileNotFoundError, match=r'no image in .*\.jpg \.jpeg'):
        UnlabelledImages(str(tmp_path))
    with pytest.raises(ValueError, match='data_root'):
        UnlabelledImages('')
    with pytest.raises(ValueError, match='on_corrupt'):
        UnlabelledImages(str(tmp_path), on_corrupt='ignore')


def test_corrupt_images_are_replaced_by_the_next_and_counted(folder):
    (folder / 'b.PNG').write_bytes(b'')
    (folder / 'sub' / 'c.jpg').write_bytes(b'\xff\xd8\xffcut')
    dataset = UnlabelledImages(str(folder), pipeline=PIPELINE)
    assert dataset.num_corrupt == 0  # lazily found
    assert values(dataset) == [0, 30, 30, 30]
    assert dataset.num_corrupt == 2
    assert dataset.corrupt.tolist() == [0, 1, 1, 0]
    with pytest.raises(ImageReadError, match=r'b\.PNG'):
        UnlabelledImages(str(folder), pipeline=PIPELINE, on_corrupt='raise')[1]
    assert UnlabelledImages(str(folder), verify=True).num_corrupt == 2


def test_a_numbered_draw_keeps_its_number(folder):
    (folder / 'b.PNG').write_bytes(b'')
    draw = UnlabelledImages(str(folder), pipeline=PIPELINE)[Draw(1, number=77, seed=3)]['sample_idx']
    assert (int(draw), draw.number, draw.seed) == (2, 77, 3)


def test_no_readable_image_is_an_error(folder):
    for path in folder.rglob('*.*'):
        path.write_bytes(b'')
    with pytest.raises(ValueError, match='None of the 4 images'):
        UnlabelledImages(str(folder))


def test_workers_share_the_count(folder):
    (folder / 'b.PNG').write_bytes(b'')
    dataset = UnlabelledImages(str(folder), pipeline=PIPELINE)
    loader = DataLoader(dataset, batch_size=2, num_workers=2, collate_fn=list)
    read = [int(sample['img'][0, 0, 0]) for batch in loader for sample in batch]
    assert read == [0, 20, 20, 30]
    assert dataset.num_corrupt == 1


def test_list_of_ids_without_suffix(tmp_path):
    """VOC's lists name images by id only."""
    for name in ('2007_1.jpg', '2007_2.png', 'other.jpg'):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / name)
    (tmp_path / 'train.txt').write_text('2007_1\n2007_2\n')
    dataset = UnlabelledImages(str(tmp_path), ann_file='train.txt')
    assert [dataset.get_data_info(i)['img_path'] for i in range(len(dataset))] == [
        str(tmp_path / '2007_1.jpg'), str(tmp_path / '2007_2.png')]


def test_what_is_used_and_what_is_not_is_said(tmp_path, capsys):
    for name in ('a.jpg', 'b.jp2', 'c.JPG'):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / name)
    for name in ('d.heic', 'e.heic', 'notes.txt', 'README'):
        (tmp_path / name).write_bytes(b'x')
    logger = MMLogger.get_instance('what-counts', log_level='INFO')
    dataset = UnlabelledImages(str(tmp_path), suffixes=[s for s in IMAGE_SUFFIXES if s != '.heic'])
    assert names(dataset) == ['a.jpg', 'b.jp2', 'c.JPG']
    said = capsys.readouterr()
    said = said.out + said.err
    assert f'3 images in {tmp_path} are used. 4 other files are not: 2 x .heic, ' in said
    assert '1 x .txt' in said
    assert 'To read .heic: pip install pillow-heif.' in said
    assert logger is MMLogger.get_current_instance()


def test_blanks_and_commas_and_bytes_in_names(tmp_path):
    folder = os.path.join(os.fsencode(tmp_path), b'caf\xe9, or tea')
    os.mkdir(folder)
    picture = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), 9, np.uint8)).save(picture, 'PNG')
    with open(os.path.join(folder, b'my \xe9 17.png'), 'wb') as file:
        file.write(picture.getvalue())
    with open(os.path.join(folder, b'list.txt'), 'wb') as file:
        file.write(b'\xef\xbb\xbfmy \xe9 17.png\r\n')
    for options in ({}, dict(ann_file='list.txt')):
        dataset = UnlabelledImages(os.fsdecode(folder), pipeline=PIPELINE, **options)
        assert values(dataset) == [9]
