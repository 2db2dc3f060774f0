"""Golden checks of NeCo's evaluations: label tables, matching, linear probe, masks, CBFE and dense retrieval."""

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS as MMSEG_MODELS

import leopart_mm.models  # noqa: F401
from leopart_mm.clustering.contingency import contingency_table
from leopart_mm.clustering.cooccurrence import CoOccurrence, cooccurrence_edges
from leopart_mm.clustering.matching import scores
from leopart_mm.datasets.coco_categories import STUFF_SUPERCATEGORIES, THING_SUPERCATEGORIES, class_of_category
from leopart_mm.datasets.transforms.resizing import resize_mask
from leopart_mm.geometry.patch_grid import upsample_scores
from leopart_mm.masks import attention_foreground
from leopart_mm.models.necks import FeatureToSize
from leopart_mm.retrieval.mixing import mix_labels
from leopart_mm.retrieval.patch_labels import patch_class_counts, soft_labels
from leopart_mm.retrieval.patch_sampling import patch_scores, patches_per_image, sample_patches
from leopart_mm.retrieval.search import search
from tests.golden.cases import golden_case
from tests.golden.checks_leopart_eval import check_matching_case, check_precisions, project, split_cases


@golden_case('neco', 'label_maps')
def check_label_maps(arrays):
    # The recorded table of Cityscapes has 19 classes, which no evaluation here uses.
    for name, groups in dict(coco_thing=THING_SUPERCATEGORIES, coco_stuff=STUFF_SUPERCATEGORIES).items():
        np.testing.assert_array_equal(class_of_category(groups)[arrays[f'{name}_id']], arrays[f'{name}_class'])


@golden_case('neco', 'matching_metrics')
def check_matching_metrics(arrays):
    names = dict(hungarian='hungarian', many_iou='iou', many_precision='precision')
    for case in split_cases(arrays):
        check_matching_case(case, names, 'bg_share', 1e-12)
        _check_identity(case)


def _check_identity(case):
    """Without matching. Predictions beyond the classes are wrong everywhere: classes that never occur."""
    num_pred, num_gt = int(case['num_pred']), int(case['num_gt'])
    number = max(num_pred, num_gt)
    table = contingency_table(torch.from_numpy(case['pred']), torch.from_numpy(case['gt']), number, number)
    result = scores(table.numpy(), 'direct')
    for field in ('tp', 'fp', 'fn'):
        np.testing.assert_array_equal(getattr(result, field)[:num_gt], case[f'identity_{field}'])
    np.testing.assert_allclose(result.iou[:num_gt].mean(), case['identity_miou'], rtol=1e-12)


@golden_case('neco', 'standardise_pca')
def check_standardise_pca(arrays):
    standardised, directions = project(torch.from_numpy(arrays['features']), int(arrays['dim']))
    np.testing.assert_allclose(standardised, arrays['standardised'], rtol=1e-4, atol=1e-4)
    projected = (standardised.double() @ directions.T).numpy()
    signs = np.sign((projected * arrays['projected']).sum(0))
    np.testing.assert_allclose(projected * signs, arrays['projected'], rtol=1e-4, atol=1e-4)


@golden_case('neco', 'attention_foreground')
def check_attention_foreground(arrays):
    for case in split_cases(arrays):
        mask = attention_foreground(torch.from_numpy(case['attention']), float(case['threshold']))
        np.testing.assert_array_equal(mask, case['mask'])


@golden_case('neco', 'cbfe_cooccurrence')
def check_cbfe_cooccurrence(arrays):
    for case in split_cases(arrays):
        clusters = torch.from_numpy(case['clusters'])[:, 0]
        masks = torch.from_numpy(case['attention'])[:, 0]
        check_precisions(clusters, masks, int(case['k']), case['precision'], atol=1e-6)
        cooccurrence = CoOccurrence(int(case['k']), [1, 2], size=None)
        cooccurrence.update(clusters.numpy())
        np.testing.assert_allclose(cooccurrence.matrix, case['cooccurrence'], rtol=1e-6, atol=1e-6)
        edges = cooccurrence_edges(cooccurrence.matrix, float(case['edge_threshold']))
        np.testing.assert_allclose(edges, case['edges'], rtol=1e-6, atol=1e-6)


@golden_case('neco', 'linear_probe')
def check_linear_probe(arrays):
    """The neck, head and loss of our linear configs, with their optimiser."""
    tensors = {name: torch.from_numpy(np.asarray(value)) for name, value in arrays.items()}
    size, (num_classes, channels) = (int(arrays['mask_size']), ) * 2, arrays['weight0'].shape[:2]
    neck = FeatureToSize(size=size, eval_size=size)
    with DefaultScope.overwrite_default_scope('mmseg'):
        head = MMSEG_MODELS.build(dict(
            type='FCNHead', num_convs=0, concat_input=False, in_channels=channels, channels=channels, in_index=0,
            num_classes=num_classes, dropout_ratio=0., norm_cfg=None, align_corners=False,
            loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True, loss_weight=1.0)))
    head.conv_seg.weight.data.copy_(tensors['weight0'])
    head.conv_seg.bias.data.copy_(tensors['bias0'])
    optimizer = torch.optim.SGD(head.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    masks = torch.stack([torch.from_numpy(resize_mask(mask[0], size, 'corner')) for mask in arrays['masks']])
    maps = neck((tensors['tokens'], ))
    for expected in arrays['losses']:
        loss = head.loss_decode(head(maps), masks, ignore_index=head.ignore_index)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        np.testing.assert_allclose(loss.detach(), expected, rtol=1e-5)
    last = len(arrays['losses'])
    np.testing.assert_allclose(head.conv_seg.weight.detach(), arrays[f'weight{last}'], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(head.conv_seg.bias.detach(), arrays[f'bias{last}'], rtol=1e-5, atol=1e-6)
    pred = head(neck((tensors['tokens'], ))).argmax(1)
    result = scores(contingency_table(pred, masks, num_classes, num_classes).numpy(), 'direct')
    for field in ('tp', 'fp', 'fn'):
        np.testing.assert_array_equal(getattr(result, field), arrays[field])
    np.testing.assert_allclose(result.miou, arrays['miou_after'], rtol=1e-12)


@golden_case('neco', 'retrieval_sampling')
def check_retrieval_sampling(arrays):
    for case in split_cases(arrays):
        batch, *grid, num_classes = case['soft_label'].shape
        patch, count = int(case['patch']), int(case['num_samples'])
        uniform = torch.from_numpy(case['uniform']).view(batch, -1)
        for index, labels in enumerate(case['labels']):
            counts = _counts(labels, patch, tuple(grid), num_classes)
            np.testing.assert_allclose(
                soft_labels(counts).view(*grid, num_classes), case['soft_label'][index], rtol=0, atol=1e-6)
            score = patch_scores(counts)
            np.testing.assert_array_equal(score.view(*grid), case['patch_score'][index])
            chosen = sample_patches(score, uniform[index], count)
            np.testing.assert_array_equal(chosen, case['sampled_index'][index])


def _counts(labels, patch, grid, num_classes):
    """Counts under the published rules: 255 is class 0, pixels beyond the last whole patch do not count."""
    whole = torch.from_numpy(labels)[:grid[0] * patch, :grid[1] * patch]
    return patch_class_counts(whole, grid, num_classes, void='class0')


@golden_case('neco', 'retrieval_cross_attention')
def check_retrieval_cross_attention(arrays):
    for case in split_cases(arrays):
        query, keys, labels = (torch.from_numpy(case[name]) for name in 'qkv')
        cosines = (F.normalize(keys, dim=-1) @ F.normalize(query, dim=-1)[..., None]).squeeze(-1)
        np.testing.assert_allclose(mix_labels(cosines, labels), case['out'], rtol=0, atol=2e-6)


@golden_case('neco', 'retrieval_unbounded', 'retrieval_bounded', 'retrieval_ignore0')
def check_retrieval(arrays):
    keys, labels = _memory(arrays)
    np.testing.assert_allclose(keys, arrays['memory_features'], rtol=0, atol=1e-6)
    np.testing.assert_allclose(labels, arrays['memory_labels'], rtol=0, atol=1e-5)

    grid, num_classes, k = (int(arrays['grid']), ) * 2, int(arrays['num_classes']), int(arrays['k'])
    side = arrays['val_labels'].shape[-2:]
    table = np.zeros((num_classes, num_classes), np.int64)
    for index, features in enumerate(arrays['val_features']):
        queries = F.normalize(torch.from_numpy(features), dim=1)
        for backend in ('torch', 'faiss'):
            cosines, rows = search(queries, keys, k, backend)
            # Indices up to ties: the recorded neighbours are as near as ours.
            recorded = (queries[:, None] * keys[torch.from_numpy(arrays['neighbours'][index])]).sum(-1)
            np.testing.assert_allclose(cosines, recorded, rtol=0, atol=1e-6)
            soft = mix_labels(cosines, labels[rows], float(arrays['temperature']))
            np.testing.assert_allclose(soft, arrays['soft_labels'][index], rtol=0, atol=1e-5)
        pred = upsample_scores(soft.T.unflatten(1, grid), side).argmax(0)
        np.testing.assert_array_equal(pred, arrays['prediction'][index])
        table += contingency_table(pred, torch.from_numpy(arrays['val_labels'][index]), num_classes, num_classes,
                                   int(arrays['ignore_index']), out_of_range='ignore').numpy()
    np.testing.assert_array_equal(table.T, arrays['confusion'])
    for matching, name in (('hungarian', 'miou_hungarian'), ('direct', 'miou_identity')):
        np.testing.assert_allclose(scores(table, matching).miou, arrays[name], rtol=1e-12)


def _memory(arrays):
    """Keys and soft labels under the published rules, in the order of (pass, image, patch)."""
    grid, patch, num_classes = (int(arrays['grid']), ) * 2, int(arrays['patch']), int(arrays['num_classes'])
    size, passes = int(arrays['memory_size']), int(arrays['augmentation_epochs'])
    images, patches = arrays['train_features'].shape[:2]
    keys, labels = [], []
    for number in range(passes * images):
        index = number % images
        counts = _counts(arrays['train_labels'][index], patch, grid, num_classes)
        chosen = torch.arange(patches)
        if size >= 0:
            count = patches_per_image(size, images, passes)
            assert count == arrays['samples_per_image']
            uniform = torch.from_numpy(arrays['uniform'][number * patches:(number + 1) * patches])
            chosen = sample_patches(patch_scores(counts), uniform, count)
        features = torch.from_numpy(arrays['train_features'][index])
        keys.append(F.normalize(features, dim=1)[chosen])
        labels.append(soft_labels(counts)[chosen])
    return torch.cat(keys), torch.cat(labels)
