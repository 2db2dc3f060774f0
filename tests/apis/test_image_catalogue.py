"""Images of VOC's lists as a COCO JSON that the detector's data set reads."""

import numpy as np
import pytest

from leopart_mm.apis.image_catalogue import image_entries, write_image_catalogue
from leopart_mm.apis.listed_images import read_image_list
from leopart_mm.datasets import CocoInstances, UnlabelledImages
from leopart_mm.files import write_image_whole, write_text_whole


@pytest.fixture
def voc(tmp_path):
    """VOC's detection layout."""
    for number in range(3):
        write_image_whole(tmp_path / f'JPEGImages/2007_00000{number}.jpg', np.zeros((4 + number, 6, 3), np.uint8))
    write_text_whole(tmp_path / 'ImageSets/Main/trainval.txt', '2007_000002\n2007_000000\n')
    write_text_whole(tmp_path / 'ImageSets/Main/cat_train.txt', '2007_000001 -1\n2007_000002  1\n2007_000000  0\n')
    return tmp_path


def test_lists_of_the_detection_layout(voc):
    assert write_image_catalogue(voc, voc / 'list.json', 'trainval') == 2
    found = CocoInstances(str(voc / 'JPEGImages'), str(voc / 'list.json'), test_mode=True)
    samples = [found.get_data_info(index) for index in range(len(found))]
    assert [(sample['img_id'], sample['height'], sample['width']) for sample in samples] == [
        ('2007_000002', 6, 6), ('2007_000000', 4, 6)]
    assert samples[0]['img_path'] == str(voc / 'JPEGImages/2007_000002.jpg')
    assert write_image_catalogue(voc, voc / 'list.json') == 3
    names = [entry['id'] for entry in image_entries(voc / 'JPEGImages', ['2007_000001 -1', '2007_000001 1'])]
    assert names == ['2007_000001']


def test_a_class_s_list_counts_all_its_images_whatever_their_number(voc):
    listing = voc / 'ImageSets/Main/cat_train.txt'
    assert write_image_catalogue(voc, voc / 'list.json', 'cat_train') == 3
    assert read_image_list(voc / 'JPEGImages', listing).names == ['2007_000001', '2007_000002', '2007_000000']
    images = UnlabelledImages(str(voc), 'ImageSets/Main/cat_train.txt', dict(img_path='JPEGImages'))
    assert [images.get_data_info(index)['img_path'][-5] for index in range(3)] == ['1', '2', '0']


def test_plain_folders_damaged_and_missing_images(voc):
    folder = voc / 'JPEGImages'
    write_image_whole(folder / 'sub/a b 7.png', np.zeros((5, 3, 3), np.uint8))
    (folder / 'broken.jpg').write_bytes(b'nothing')
    entries = image_entries(folder)
    assert [entry['file_name'] for entry in entries] == [*(f'2007_00000{number}.jpg' for number in range(3)),
                                                         'sub/a b 7.png']
    assert entries[-1] == dict(id='sub/a b 7', file_name='sub/a b 7.png', height=5, width=3)
    assert image_entries(folder, ['sub/a b 7'])[0]['id'] == 'sub/a b 7'
    with pytest.raises(FileNotFoundError, match=r'1 of the 2 images of the list are not in .*absent'):
        image_entries(folder, ['2007_000001', 'absent 1'])
    with pytest.raises(FileNotFoundError, match=r'no list train_all: .*There are: cat_train, trainval'):
        write_image_catalogue(voc, voc / 'list.json', 'train_all')
    write_text_whole(voc / 'broken.txt', 'broken.jpg\n')
    with pytest.raises(ValueError, match=r'broken\.txt leaves no image'):
        write_image_catalogue(voc, voc / 'list.json', voc / 'broken.txt')
