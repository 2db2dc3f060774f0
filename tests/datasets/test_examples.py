"""Examples as people have them: layouts, names of classes, legends, and what is said where they are wrong."""

import json

import numpy as np
import pytest
from mmengine.registry import DefaultScope
from PIL import Image

from leopart_mm.datasets.examples import ExampleImages, read_examples
from leopart_mm.datasets.image_reading import ImageReadError
from leopart_mm.datasets.mask_reading import MaskError

ROAD, SKY, VOID = (128, 64, 128), (0, 0, 255), (255, 255, 255)


def write(path, array, **kwargs):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, np.uint8)).save(path, **kwargs)


def photo(path, size=(8, 12)):
    write(path, np.random.default_rng(0).integers(0, 256, (*size, 3)))


def ids(*values, size=(8, 12)):
    """A map whose columns take the values in turn."""
    return np.tile(np.resize(np.uint8(values), size[1]), (size[0], 1))


def colours(*values, size=(8, 12)):
    return np.tile(np.resize(np.uint8(values), (size[1], 3)), (size[0], 1, 1))


def names(examples, root):
    return [tuple(str(part).removeprefix(f'{root}/') for part in pair) for pair in examples.pairs]


def test_png_beside_the_image(tmp_path):
    for name, mask in (('b.jpg', 'b.png'), ('sub/a.png', 'sub/a_mask.png')):
        photo(tmp_path / name)
        write(tmp_path / mask, ids(0, 2, 255))
    found = read_examples(tmp_path)
    assert names(found, tmp_path) == [('b.jpg', 'b.png'), ('sub/a.png', 'sub/a_mask.png')]
    assert found.classes == ['class 0', 'class 1', 'class 2']
    assert len(found.palette) == 3
    assert found.colours is None


@pytest.mark.parametrize('folders', [('JPEGImages', 'SegmentationClass'), ('images', 'masks')])
def test_two_folders(tmp_path, folders):
    photo(tmp_path / folders[0] / 'a.jpg')
    photo(tmp_path / folders[0] / 'without.jpg')  # VOC has many of these
    write(tmp_path / folders[1] / 'a.png', ids(0, 15, 255))
    found = read_examples(tmp_path)
    assert names(found, tmp_path) == [(f'{folders[0]}/a.jpg', f'{folders[1]}/a.png')]
    assert found.classes[15] == ('person' if folders[0] == 'JPEGImages' else 'class 15')
    assert len(found.classes) == len(found.palette) == (21 if folders[0] == 'JPEGImages' else 16)


def test_names_and_palette_of_the_folder(tmp_path):
    photo(tmp_path / 'a.jpg')
    mask = Image.fromarray(ids(0, 1))
    mask.putpalette([9, 9, 9, 1, 2, 3])
    mask.save(tmp_path / 'a.png')
    assert read_examples(tmp_path).palette == [[9, 9, 9], [1, 2, 3]]
    assert read_examples(tmp_path).classes == ['class 0', 'class 1']
    mask.putpalette([0, 0, 0, 1, 2, 3])  # black: as in VOC
    mask.save(tmp_path / 'a.png')
    assert read_examples(tmp_path).classes == ['background', 'class 1']
    (tmp_path / 'meta.json').write_text(json.dumps(dict(classes=['grass', 'cow', 'sky'])))
    assert read_examples(tmp_path).classes == ['grass', 'cow', 'sky']


@pytest.mark.parametrize('indexed', [False, True])
def test_colours_with_a_legend(tmp_path, indexed):
    photo(tmp_path / 'a.jpg')
    picture = Image.fromarray(colours(ROAD, SKY, VOID))
    (picture.quantize(3) if indexed else picture).save(tmp_path / 'a.png')
    (tmp_path / 'legend.txt').write_text('sky #0000ff\nroad 128 64 128\nignore 255 255 255\n')
    assert read_examples(tmp_path).classes == ['sky', 'road']
    with DefaultScope.overwrite_default_scope('mmseg'):
        dataset = ExampleImages(str(tmp_path), pipeline=[
            dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')])
        sample = dataset[0]
    assert dataset.metainfo['classes'] == ['sky', 'road']
    assert dataset.metainfo['palette'] == [[0, 0, 255], [128, 64, 128]]
    assert np.array_equal(sample['data_samples'].gt_sem_seg.data[0], ids(1, 0, 255))


def test_what_is_wrong_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'There is no folder of examples .*a.jpg and beside it a.png'):
        read_examples(tmp_path / 'nowhere')
    with pytest.raises(FileNotFoundError, match=r'There is no image with a mask in .*a.jpg and beside it a.png'):
        read_examples(tmp_path)
    photo(tmp_path / 'a.jpg')
    write(tmp_path / 'a.png', ids(0, 1))
    write(tmp_path / 'b.png', ids(0, 1))
    with pytest.raises(FileNotFoundError, match=r'1 PNG files in .* stand alone: b.png. If they are masks'):
        read_examples(tmp_path)
    (tmp_path / 'b.png').rename(tmp_path / 'b_mask.png')
    with pytest.raises(FileNotFoundError, match=r'The mask .*b_mask.png has no image: beside it is none called b'):
        read_examples(tmp_path)
    (tmp_path / 'b_mask.png').unlink()
    photo(tmp_path / 'c.jpg')
    with pytest.raises(FileNotFoundError, match=r'1 images in .* have no mask beside them: c.jpg. Add NAME.png'):
        read_examples(tmp_path)


def test_masks_without_an_image_in_the_other_folder(tmp_path):
    photo(tmp_path / 'images' / 'a.jpg')
    write(tmp_path / 'masks' / 'a.png', ids(0, 1))
    write(tmp_path / 'masks' / 'b.png', ids(0, 1))
    with pytest.raises(FileNotFoundError, match=r'1 masks in .*masks have no image in .*images: b. Add the images'):
        read_examples(tmp_path)


@pytest.mark.parametrize(('mask', 'words'), [
    (ids(0, 1, size=(8, 8)), 'a.png has 8 x 8 pixels, its image .*a.jpg 8 x 12 .height x width.: they do not belong'),
    (ids(255), 'The 1 masks in .* hold no class: all pixels are 255'),
    (ids(0, 255), 'hold a single class, class 0, which all segments .* write a file legend.txt there'),
    (colours(ROAD, SKY), 'a.png holds colours .#0000ff, #804080.: say what they mean in .*legend.txt, one line per'),
])
def test_masks_that_cannot_be_examples(tmp_path, mask, words):
    photo(tmp_path / 'a.jpg')
    write(tmp_path / 'a.png', mask)
    with pytest.raises(MaskError, match=words):
        read_examples(tmp_path)


def test_colours_that_the_legend_does_not_name(tmp_path):
    photo(tmp_path / 'a.jpg')
    write(tmp_path / 'a.png', colours(ROAD, SKY, VOID))
    (tmp_path / 'legend.txt').write_text('sky #0000ff\nroad 128 64 128\n')
    with pytest.raises(MaskError, match=r'a.png holds colours that .*legend.txt does not name: #ffffff. Add'):
        read_examples(tmp_path)


def test_more_ids_than_names_and_damaged_files(tmp_path):
    photo(tmp_path / 'a.jpg')
    write(tmp_path / 'a.png', ids(0, 2))
    (tmp_path / 'meta.json').write_text(json.dumps(dict(classes=['grass', 'cow'])))
    with pytest.raises(MaskError, match=r'hold the class 2, but its meta.json names 2 classes .0 to 1.'):
        read_examples(tmp_path)
    (tmp_path / 'a.jpg').write_bytes(b'\xff\xd8\xff')
    with pytest.raises(ImageReadError, match=r'Cannot read the image .*a.jpg: it is damaged, or no image'):
        read_examples(tmp_path)
    photo(tmp_path / 'a.jpg')
    (tmp_path / 'a.png').write_bytes(b'\x89PNG')
    with pytest.raises(MaskError, match=r'The mask .*a.png cannot be read'):
        read_examples(tmp_path)
