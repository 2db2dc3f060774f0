"""Golden checks of MaskDistill's label maps (selection, overlap, boxes) and of its segmentation scores."""

import numpy as np
import torch

from leopart_mm.clustering.contingency import contingency_table
from leopart_mm.clustering.matching import iou_matrix, match, scores
from leopart_mm.evaluation.coco_ap import average_precision
from leopart_mm.geometry.patch_grid import upsample_labels
from leopart_mm.masks.instance_shapes import instance_mask
from leopart_mm.masks.merging import merge_instances, select_instances
from tests.golden.cases import golden_case

MAPS = dict(polygon=('published', 'mask'), bbx=('published', 'box'), skip=('skip', 'mask'),
            first_wins=('first_wins', 'mask'))


def annotations_of(arrays, prefix):
    """Dicts as in a COCO JSON, with compressed run lengths."""
    ends = np.cumsum(arrays[f'{prefix}_counts_length'])
    counts = [part.tobytes().decode() for part in np.split(arrays[f'{prefix}_counts'], ends[:-1])]
    sizes = arrays['image_hw'].tolist()
    return [dict(image_id=int(image), category_id=int(category), bbox=box.tolist(),
                 segmentation=dict(size=sizes[image], counts=count))
            for image, category, box, count in zip(arrays[f'{prefix}_image'], arrays[f'{prefix}_category'],
                                                   arrays[f'{prefix}_bbox'], counts, strict=True)]


@golden_case('maskdistill', 'label_maps')
def check_label_maps(arrays):
    predictions, selected = annotations_of(arrays, 'pred'), []
    for entry, score in zip(predictions, arrays['pred_score'].tolist(), strict=True):
        entry['score'] = score
    for image in dict.fromkeys(arrays['pred_image'].tolist()):
        entries = [number for number, entry in enumerate(predictions) if entry['image_id'] == image]
        chosen = select_instances(arrays['pred_score'][entries], float(arrays['threshold']), order='file')
        chosen = [entries[position] for position in chosen]
        selected += chosen
        size = tuple(arrays['image_hw'][image].tolist())
        for name, (overlap, shape) in MAPS.items():
            masks = (instance_mask(predictions[index], size, shape) for index in chosen)
            labels = merge_instances(masks, (predictions[index]['category_id'] for index in chosen), size, overlap)
            np.testing.assert_array_equal(labels, arrays[f'map_{name}_2008_{image:06d}'])
    order = arrays['selected_index'].tolist()
    assert sorted(selected) == order
    for name in ('image', 'score', 'category'):
        assert [predictions[index][{'score': 'score'}.get(name, f'{name}_id')] for index in order] == \
            arrays[f'selected_{name}'].tolist()
    truth = [dict(entry, area=int(area)) for entry, area in
             zip(annotations_of(arrays, 'gt'), arrays['gt_area'], strict=True)]
    images = [dict(id=number, height=height, width=width)
              for number, (height, width) in enumerate(arrays['image_hw'].tolist())]
    found = average_precision(images, truth, [predictions[index] for index in order], range(21))
    np.testing.assert_allclose(found['AP50'], arrays['box_ap50'], atol=1e-6)


@golden_case('maskdistill', 'segmentation_score')
def check_segmentation_score(arrays):
    number = int(arrays['num_classes'])
    table = sum(contingency_table(torch.from_numpy(pred), torch.from_numpy(gt), number, number)
                for pred, gt in zip(arrays['prediction'], arrays['gt'], strict=True)).numpy()
    found = scores(table, 'direct')
    for name in ('tp', 'fp', 'fn', 'iou', 'miou'):
        np.testing.assert_array_equal(getattr(found, name), arrays[name])
    for name in [key.removesuffix('_in') for key in arrays if key.endswith('_in')]:
        expected = arrays[f'{name}_out']
        resized = upsample_labels(torch.from_numpy(arrays[f'{name}_in']), expected.shape, rule='corner')
        np.testing.assert_array_equal(resized.numpy(), expected)


@golden_case('maskdistill', 'hungarian_score')
def check_hungarian_score(arrays):
    targets, classes = torch.from_numpy(arrays['targets']), arrays['iou_matrix'].shape[1]
    for prefix, clusters, matching in (('', arrays['clusters'], 'hungarian'),
                                       ('many_', arrays['many_clusters'], 'iou')):
        pairs = arrays[f'{prefix}match']
        table = contingency_table(torch.from_numpy(clusters), targets, len(pairs), classes).numpy()
        assert match(table, matching)[pairs[:, 0]].tolist() == pairs[:, 1].tolist()
        found = scores(table, matching)
        np.testing.assert_allclose(found.miou, arrays[f'{prefix}miou'], atol=1e-6)
        if not prefix:
            np.testing.assert_allclose(iou_matrix(table), arrays['iou_matrix'], atol=1e-6)
            np.testing.assert_allclose(found.iou, arrays['matched_iou'], atol=1e-6)
            np.testing.assert_allclose(found.pixel_accuracy, arrays['acc'], atol=1e-6)
            check_information(found.mapping[clusters], arrays)


def check_information(named, arrays):
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
    np.testing.assert_allclose(normalized_mutual_info_score(arrays['targets'], named), arrays['nmi'], atol=1e-6)
    np.testing.assert_allclose(adjusted_rand_score(arrays['targets'], named), arrays['ari'], atol=1e-6)
