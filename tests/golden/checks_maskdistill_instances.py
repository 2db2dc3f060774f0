"""Golden checks of MaskDistill's instance evaluation and its ground-truth files."""

import json
import tempfile
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask

from leopart_mm.datasets.coco_json import CocoFile
from leopart_mm.datasets.converters import coco20k
from leopart_mm.datasets.converters.voc_instances import convert
from leopart_mm.evaluation.coco_ap import SUMMARY
from leopart_mm.evaluation.instance_ap import instance_scores
from leopart_mm.files import write_image_whole
from leopart_mm.masks.instance_shapes import segmentation_mask
from tests.golden.cases import golden_case


def with_masks(masks, **columns):
    """Entries of a COCO JSON."""
    entries = []
    for number, mask in enumerate(masks):
        lengths = coco_mask.encode(np.asfortranarray(mask))
        entries.append(dict({key: values[number].item() for key, values in columns.items()}, segmentation=lengths,
                            area=int(mask.sum()), bbox=coco_mask.toBbox(lengths).tolist()))
    return entries


@golden_case('maskdistill', 'instance_ap')
def check_instance_ap(arrays):
    height, width = arrays['gt_masks'].shape[1:]
    truth = CocoFile(
        [dict(id=number, file_name=f'{number}.jpg', height=height, width=width)
         for number in range(int(arrays['num_images']))],
        with_masks(arrays['gt_masks'], image_id=arrays['gt_image'], category_id=arrays['gt_category'],
                   iscrowd=arrays['gt_crowd']),
        [dict(id=number, name=str(number)) for number in range(int(arrays['num_categories']))])
    results = with_masks(arrays['pred_masks'], image_id=arrays['pred_image'], category_id=arrays['pred_category'],
                         score=arrays['pred_score'])
    without = [f'{number}.jpg' for number in range(len(truth.images)) if number not in arrays['pred_image']]
    for kind in ('aware', 'agnostic'):
        for mode in ('multi', 'single'):
            for first_id in (0, 1):
                found = instance_scores(truth, results, mode, kind == 'aware', first_id, crowds=True)
                np.testing.assert_allclose([found.stats[name] for name in SUMMARY],
                                           arrays[f'{kind}_{mode}_id{first_id}_stats'], atol=1e-6,
                                           err_msg=f'{kind} {mode} {first_id}')
                assert found.without_prediction == without
    assert (found.predictions, found.objects) == (len(arrays['single_pred_index']), len(arrays['single_gt_index']))


def text(array):
    return json.loads(array.tobytes().decode())


@golden_case('maskdistill', 'voc_to_coco')
def check_voc_to_coco(arrays):
    names = [f'2007_{number:06d}' for number in range(sum(key.endswith('_instance') for key in arrays))]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for number, name in enumerate(names):
            for part, kind in (('SegmentationClass', 'semantic'), ('SegmentationObject', 'instance')):
                write_image_whole(root / part / f'{name}.png', arrays[f'im{number}_{kind}'])
        for prefix in ('', 'agnostic_'):
            convert(root, root / 'out.json', names, shape='polygons', agnostic=bool(prefix), published=True)
            found = json.loads((root / 'out.json').read_text())
            for key, array in (('id', 'ann_id'), ('category_id', 'ann_category')):
                assert [entry[key] for entry in found['annotations']] == arrays[f'{prefix}{array}'].tolist()
            assert [names.index(entry['image_id']) for entry in found['annotations']] == \
                arrays[f'{prefix}ann_image'].tolist()
            assert [entry['id'] for entry in found['categories']] == arrays[f'{prefix}category_ids'].tolist()
            if not prefix:
                check_shapes(found, names, arrays)


def check_shapes(found, names, arrays):
    entries = found['annotations']
    assert found['images'][0] == text(arrays['json_image0'])
    assert found['categories'] == text(arrays['json_categories'])
    assert set(entries[0]) == set(arrays['json_first_annotation_keys'].tobytes().decode().split(','))
    assert [entry['area'] for entry in entries] == arrays['ann_area'].tolist()
    np.testing.assert_array_equal([entry['bbox'] for entry in entries], arrays['ann_bbox'])
    assert [len(entry['segmentation']) for entry in entries] == arrays['ann_num_polygons'].tolist()
    polygons = [polygon for entry in entries for polygon in entry['segmentation']]
    assert [len(polygon) for polygon in polygons] == arrays['ann_polygon_lengths'].tolist()
    np.testing.assert_allclose(np.concatenate(polygons), arrays['ann_polygons'], atol=1e-6)
    for number, name in enumerate(names):
        masks = [segmentation_mask(entry['segmentation'], arrays[f'im{number}_semantic'].shape) for entry in entries
                 if entry['image_id'] == name]
        np.testing.assert_array_equal(masks, arrays[f'im{number}_polygon_masks'])


@golden_case('maskdistill', 'coco20k')
def check_coco20k(arrays):
    with tempfile.TemporaryDirectory() as folder:
        full, listing, out = Path(folder) / 'full.json', Path(folder) / 'list.txt', Path(folder) / 'out'
        full.write_bytes(arrays['all_json'].tobytes())
        listing.write_bytes(arrays['list'].tobytes())
        found = coco20k.convert(full, listing, out)
        for name, array in ((coco20k.SELECTED, 'selected_json'), (coco20k.AGNOSTIC, 'agnostic_json')):
            assert json.loads((out / name).read_text()) == text(arrays[array])
        assert [image['id'] for image in found.images] == arrays['selected_image_ids'].tolist()
        assert [entry['id'] for entry in found.annotations] == arrays['selected_annotation_ids'].tolist()
