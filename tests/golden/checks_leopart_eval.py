"""Golden checks of Leopart's evaluation: metrics, PCA, foreground extraction, co-occurrence, boundary F1."""

import numpy as np
import torch

from leopart_mm.clustering.contingency import contingency_table
from leopart_mm.clustering.cooccurrence import CoOccurrence, cooccurrence_edges
from leopart_mm.clustering.foreground import (
    ForegroundCounts,
    cluster_sizes,
    cut_agreement,
    precision_ranks,
    published_cuts,
    published_threshold,
)
from leopart_mm.clustering.matching import scores
from leopart_mm.clustering.moments import Moments
from leopart_mm.clustering.pca import principal_directions
from leopart_mm.geometry.boundary import boundary_f1_per_class
from tests.golden.cases import golden_case


def split_cases(arrays):
    """Arrays named c<i>_<name> as one dict per case."""
    cases = {}
    for key, value in arrays.items():
        case, name = key.split('_', 1)
        cases.setdefault(case, {})[name] = value
    assert cases
    return cases.values()


def check_matching_case(case, names, share, rtol=0.):
    """Scores of one case by every matching that it records; `names`: its prefix -> our matching."""
    table = contingency_table(torch.from_numpy(case['pred']), torch.from_numpy(case['gt']), int(case['num_pred']),
                              int(case['num_gt'])).numpy()
    for prefix, matching in names.items():
        if f'{prefix}_miou' not in case:
            continue
        result = scores(table, matching)
        for field in ('tp', 'fp', 'fn'):
            np.testing.assert_array_equal(getattr(result, field), case[f'{prefix}_{field}'])
        np.testing.assert_allclose(result.miou, case[f'{prefix}_miou'], rtol=rtol)
        if f'{prefix}_{share}' in case:
            np.testing.assert_allclose(result.background_share, case[f'{prefix}_{share}'], rtol=rtol)
        if f'{prefix}_reordered' in case:
            np.testing.assert_array_equal(result.mapping[case['pred']], case[f'{prefix}_reordered'])


@golden_case('leopart', 'matching_metrics')
def check_matching_metrics(arrays):
    names = dict(hungarian='hungarian', many_iou='iou', many_precision='precision', direct='direct')
    for case in split_cases(arrays):
        check_matching_case(case, names, 'background_share')


def project(features, dim):
    """Standardised features, in several parts, and their first `dim` principal directions."""
    moments = Moments()
    for part in features.split(max(1, len(features) // 3)):
        moments.update(part)
    std = moments.std()
    directions, _ = principal_directions(moments.covariance() / torch.outer(std, std), dim)
    return (features - moments.mean.to(features)) / std.to(features), directions


@golden_case('leopart', 'standardise_pca')
def check_standardise_pca(arrays):
    features = torch.from_numpy(arrays['features'])
    standardised, directions = project(features, None)
    np.testing.assert_allclose(standardised, arrays['standardised'], rtol=1e-4, atol=1e-6)
    # The golden eigenvalues are those of the sample covariance (divided by n - 1). The smallest can be rounding error.
    projected = standardised.double() @ directions.T
    eigenvalues = projected.var(0, correction=1)
    np.testing.assert_allclose(eigenvalues, arrays['eigenvalues'], rtol=1e-4, atol=1e-9)
    kept = directions[:int(arrays['pca_dim'])]
    np.testing.assert_allclose(kept.T @ kept, arrays['subspace_projector'], rtol=1e-4, atol=1e-6)


@golden_case('leopart', 'cbfe_precision')
def check_cbfe_precision(arrays):
    for case in split_cases(arrays):
        clusters, noisy, gt = (torch.from_numpy(case[key]) for key in ('clusters', 'noisy_foreground', 'gt'))
        precisions = check_precisions(clusters, noisy, int(case['num_clusters']), case['precisions'])
        cuts = published_cuts(len(precisions))
        agreement = mean_agreement(precision_ranks(precisions)[clusters.long()], gt, len(precisions))[list(cuts)]
        order = agreement.argsort(stable=True)  # recorded in rising order of the Jaccard index
        assert [cuts[index] for index in order] == case['split_start'].tolist()
        np.testing.assert_allclose(agreement[order], case['split_jaccard'], rtol=1e-6)
        precision_of_cut = precisions.sort().values[list(cuts)]
        np.testing.assert_allclose(precision_of_cut[order], case['split_precision'], rtol=1e-6)
        threshold = published_threshold(precisions, agreement, cuts)
        assert abs(threshold - float(precision_of_cut[agreement.argmax()])) <= 0.025 + 1e-9
        # The masks themselves are two clusters, cut between them; 255, the boundary, is foreground or not.
        for boundary, key in ((gt, 'jaccard_with_boundary'), (gt * (gt != 255), 'jaccard_without_boundary')):
            np.testing.assert_allclose(mean_agreement((noisy != 0).long(), boundary, 2)[1], case[key], rtol=1e-6)


def check_precisions(clusters, masks, num_clusters, expected, atol=0.):
    """Precisions of the clusters, counted image by image, against the recorded ones."""
    counts = sum((ForegroundCounts.of_images(*cluster_sizes(clusters[i:i + 1], masks[i:i + 1], num_clusters))
                  for i in range(len(clusters))), ForegroundCounts(*torch.zeros(4, num_clusters, dtype=torch.float64)))
    np.testing.assert_allclose(counts.precisions, expected, rtol=1e-6, atol=atol)
    return counts.precisions


def mean_agreement(positions, gt, num_clusters):
    """Mean Jaccard index over images at every cut."""
    images = zip(positions.flatten(1), gt.flatten(1), strict=True)
    return torch.stack([cut_agreement(*image, num_clusters) for image in images]).mean(0)


@golden_case('leopart', 'cooccurrence')
def check_cooccurrence(arrays):
    for case in split_cases(arrays):
        cooccurrence = CoOccurrence(int(case['num_clusters']), case['distances'].tolist(), size=None)
        cooccurrence.update(case['clusters'])
        np.testing.assert_allclose(cooccurrence.matrix, case['matrix'], rtol=1e-6)
        edges = cooccurrence_edges(cooccurrence.matrix, float(case['weight_threshold']))
        np.testing.assert_allclose(edges, case['edges'], rtol=1e-6)


@golden_case('leopart', 'boundary_f1')
def check_boundary_f1(arrays):
    for case in split_cases(arrays):
        for key in case:
            if '_th' not in key:
                continue
            gt, pred = case['gt'], case['pred']
            if key.startswith('background'):
                gt, pred = gt == 0, pred == 0
            # The recorded arrays leave the background out: their entry i is class i + 1.
            result = boundary_f1_per_class(gt, pred, float(key.rsplit('_th', 1)[1]), len(case[key]) + 1)
            np.testing.assert_allclose(result[1:], case[key], rtol=1e-6)
