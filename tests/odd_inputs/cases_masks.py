"""Label maps, alone and with their images, and what a score says of them."""

import io

import numpy as np
import torch
from PIL import Image

from leopart_mm.datasets import VOCLayoutDataset
from leopart_mm.datasets.mask_reading import MaskError, read_mask
from leopart_mm.evaluation import ClusterMetric
from tests.odd_inputs.case import case, error_of, log_lines, said

SECTION = 'Masks'
MASK = (np.arange(24, dtype=np.uint8).reshape(4, 6) % 5).repeat(8, 0).repeat(8, 1)


def png(array):
    buffer = io.BytesIO()
    (array if isinstance(array, Image.Image) else Image.fromarray(array)).save(buffer, 'PNG')
    return buffer.getvalue()


def alone(title, content, contains=None):
    """A mask by itself: read as ids, or refused with a text."""

    @case(SECTION, title, 'read_mask(FILE)')
    def run(folder):
        (folder / 'a.png').write_bytes(content)
        if contains is not None:
            return error_of(lambda: read_mask(folder / 'a.png'), MaskError, contains)
        np.testing.assert_array_equal(read_mask(folder / 'a.png'), MASK)
        return 'Read as ids.'


def palette():
    image = Image.fromarray(MASK)
    image.putpalette(list(range(15)))
    return image


alone('With a palette (VOC)', png(palette()))
alone('Grey, saved as RGB', png(np.repeat(MASK[..., None], 3, 2)))
alone('16 bits with small ids', png(MASK.astype(np.uint16)))
alone('Colours instead of ids', png(np.stack([MASK, MASK, MASK * 2], -1)), 'colour_masks.py')
alone('Ids above 255', png(MASK.astype(np.uint16) * 100), 'whole numbers from 0 to 255')
alone('A damaged PNG', b'\x89PNG', 'cannot be read')


def pairs(folder, masks, image=None, exif=None):
    """A data set in VOC layout of the given masks."""
    for part in ('JPEGImages', 'SegmentationClass', 'ImageSets/Segmentation'):
        (folder / part).mkdir(parents=True, exist_ok=True)
    options = {}
    if exif is not None:
        options['exif'] = Image.Exif()
        options['exif'][0x0112] = exif
    for number, mask in enumerate(masks):
        picture = np.zeros((*mask.shape, 3), np.uint8) if image is None else image
        Image.fromarray(picture).save(folder / f'JPEGImages/{number}.jpg', **options)
        Image.fromarray(mask).save(folder / f'SegmentationClass/{number}.png')
    (folder / 'ImageSets/Segmentation/val.txt').write_text('\n'.join(map(str, range(len(masks)))))
    return VOCLayoutDataset(str(folder), pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')])


COMMAND = 'VOCLayoutDataset(FOLDER)'
BINARY = np.where(MASK > 2, 255, 0).astype(np.uint8)


@case(SECTION, 'Foreground stored as 0/255', COMMAND)
def _binary(folder):
    with log_lines() as lines:
        pairs(folder, [BINARY, BINARY])
    return said(lines, '--binary')


@case(SECTION, 'A mask that is not there', COMMAND)
def _missing(folder):
    pairs(folder, [MASK, MASK])
    (folder / 'SegmentationClass/1.png').unlink()
    return error_of(lambda: VOCLayoutDataset(str(folder)), FileNotFoundError, '1 of 2 listed masks are missing')


@case(SECTION, 'A mask of another image (48 x 32 px, the image 32 x 48)', COMMAND)
def _other(folder):
    dataset = pairs(folder, [np.ascontiguousarray(MASK.T)], np.zeros((32, 48, 3), np.uint8))
    return error_of(lambda: dataset[0], MaskError, 'do not belong together')


@case(SECTION, 'A mask of half the resolution', COMMAND)
def _half(folder):
    dataset = pairs(folder, [np.ascontiguousarray(MASK[::2, ::2])], np.zeros((32, 48, 3), np.uint8))
    np.testing.assert_array_equal(dataset[0]['gt_seg_map'], MASK[::2, ::2])
    return 'Kept at its size; scores compare there.'


@case(SECTION, 'Photo that EXIF turns by 90 degrees, mask as the sensor lies', COMMAND)
def _turned(folder):
    dataset = pairs(folder, [MASK], np.zeros((32, 48, 3), np.uint8), exif=6)
    with log_lines() as lines:
        np.testing.assert_array_equal(dataset[0]['gt_seg_map'], np.rot90(MASK, -1))
    return said(lines, 'the mask is turned too')


@case(SECTION, 'The same, mask upright already', COMMAND)
def _upright(folder):
    upright = np.ascontiguousarray(np.rot90(MASK, -1))
    dataset = pairs(folder, [upright], np.zeros((32, 48, 3), np.uint8), exif=6)
    np.testing.assert_array_equal(dataset[0]['gt_seg_map'], upright)
    return 'Kept as it is.'


@case(SECTION, 'Photo that EXIF turns by 180 degrees', COMMAND)
def _half_turn(folder):
    dataset = pairs(folder, [MASK], exif=3)
    with log_lines() as lines:
        np.testing.assert_array_equal(dataset[0]['gt_seg_map'], MASK)
    return said(lines, 'turned and unturned')


def scored(gt):
    """The warnings of a score by ClusterMetric where the prediction is right."""
    metric = ClusterMetric(matching='direct')
    metric.dataset_meta = dict(classes=('sky', 'grass', 'cow'))
    gt = torch.tensor([[gt]])
    with log_lines() as lines:
        metric.process({}, [dict(img_path='a.jpg', gt_sem_seg=dict(data=gt), pred_sem_seg=dict(data=gt % 255))])
        result = metric.evaluate(1)
    return result, lines


@case(SECTION, 'All foreground is ignored (0/255)', 'ClusterMetric')
def _ignored(folder):
    result, lines = scored([0, 0, 255, 255, 255])
    assert result['aAcc'] == 100
    return said(lines, '60.0% of the pixels') + ' ' + said(lines, 'no class but 0')


@case(SECTION, 'Classes that do not occur', 'ClusterMetric')
def _absent(folder):
    return said(scored([0, 1, 1, 0])[1], '1 of 3 classes do not occur')


@case(SECTION, 'Not a single pixel that counts', 'ClusterMetric')
def _nothing(folder):
    return error_of(lambda: scored([255, 255]), ValueError, 'Not a single pixel')


@case(SECTION, 'An id that is no class', 'ClusterMetric')
def _no_class(folder):
    return error_of(lambda: scored([0, 1, 7]), ValueError, 'a.jpg')
