import pytest
import torch
from torchmetrics.functional.classification import multiclass_confusion_matrix

from leopart_mm.clustering.contingency import cell_histogram, contingency_table, table_from_cells
from leopart_mm.geometry.patch_grid import cell_indices, upsample_labels


def test_hand_made_table():
    pred = torch.tensor([[0, 0, 2], [1, 2, 2]])
    gt = torch.tensor([[1, 1, 0], [255, 1, 0]])
    assert contingency_table(pred, gt, 3, 2).tolist() == [[0, 2], [0, 0], [2, 1]]


def test_equals_torchmetrics_with_ignored_pixels():
    generator = torch.Generator().manual_seed(0)
    pred, gt = (torch.randint(0, 5, (3, 20, 20), generator=generator) for _ in range(2))
    gt[torch.rand(gt.shape, generator=generator) < .2] = 255
    reference = multiclass_confusion_matrix(pred, gt, 5, ignore_index=255)
    assert torch.equal(contingency_table(pred, gt.to(torch.uint8), 5, 5), reference.T)


def test_ignored_pixels_may_hold_any_prediction():
    assert contingency_table(torch.tensor([-7, 1]), torch.tensor([255, 0]), 2, 1).tolist() == [[0], [1]]


def test_out_of_range_is_an_error_or_left_out():
    pred, gt = torch.tensor([0, 9, 1]), torch.tensor([0, 0, 4])
    with pytest.raises(ValueError, match=r'cluster ids \[9\], but only 0..1 exist and class ids \[4\]'):
        contingency_table(pred, gt, 2, 2)
    assert contingency_table(pred, gt, 2, 2, out_of_range='ignore').tolist() == [[1, 0], [0, 0]]
    with pytest.raises(ValueError, match='differ in shape'):
        contingency_table(pred, gt[:2], 2, 2)


@pytest.mark.parametrize('rule', ['centre', 'corner'])
@pytest.mark.parametrize('extent', [None, (0, 3.4, 0.5, 4.2)])
def test_tables_from_cells_equal_those_of_upsampled_maps(rule, extent):
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 6, (3, 4, 5), generator=generator)
    gt = torch.randint(0, 4, (37, 29), generator=generator)
    gt[gt == 3] = 255
    cells = cell_indices((4, 5), (37, 29), extent, rule)
    tables = table_from_cells(labels.flatten(1), cell_histogram(gt, cells, 20, 3), 6)
    for table, single in zip(tables, labels, strict=True):
        assert torch.equal(table, contingency_table(upsample_labels(single, (37, 29), extent, rule), gt, 6, 3))
    with pytest.raises(ValueError, match=r'only 0..4 exist'):
        table_from_cells(labels.flatten(1), cell_histogram(gt, cells, 20, 3), 5)
