"""Golden check of PriMaPs' metrics: contingency, Hungarian matching by pixels, extra clusters, means."""

import numpy as np
import torch

from leopart_mm.clustering.contingency import contingency_table
from leopart_mm.clustering.matching import match, published_cluster_classes, scores
from tests.golden.cases import golden_case

NAMES = ('preds', 'target', 'num_classes', 'extra_clusters', 'hungarian', 'stats', 'histogram', 'miou', 'accuracy',
         'class_ious', 'mapped')


@golden_case('primaps', 'metrics')
def check_metrics(arrays):
    cases = [key.removesuffix('_preds') for key in arrays if key.endswith('_preds')]
    assert cases
    for case in cases:
        check_case({name: arrays[f'{case}_{name}'] for name in NAMES if f'{case}_{name}' in arrays})


def check_case(case):
    classes, extra = int(case['num_classes']), int(case['extra_clusters'])
    matching = 'hungarian_pixels' if case['hungarian'] else 'direct'
    table = sum(contingency_table(torch.from_numpy(pred), torch.from_numpy(target), classes + extra, classes,
                                  ignore_index=None, out_of_range='ignore')
                for pred, target in zip(case['preds'], case['target'], strict=True)).numpy()
    np.testing.assert_array_equal(table, case['stats'])
    histogram = np.zeros((classes, classes), np.int64)
    np.add.at(histogram, match(table, matching), table)
    np.testing.assert_array_equal(histogram, case['histogram'])
    result = scores(table, matching)
    np.testing.assert_allclose(100 * result.miou_defined, case['miou'], atol=1e-4)
    np.testing.assert_allclose(100 * result.pixel_accuracy, case['accuracy'], atol=1e-4)
    defined = result.tp + result.fp + result.fn > 0
    np.testing.assert_allclose(np.where(defined, 100 * result.iou, np.nan), case['class_ious'], atol=1e-4)
    if 'mapped' in case:
        np.testing.assert_array_equal(published_cluster_classes(table), case['mapped'])
        if not extra:
            np.testing.assert_array_equal(result.mapping, case['mapped'])
