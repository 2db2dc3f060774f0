import pytest
import torch

from leopart_mm.retrieval.patch_labels import compact_dtype, patch_class_counts, soft_labels

LABELS = torch.tensor([[0, 0, 1, 255], [0, 2, 255, 255], [2, 2, 1, 1], [2, 0, 1, 1]])


def test_counts_by_hand():
    counts = patch_class_counts(LABELS, (2, 2), 3)
    assert counts.tolist() == [[3, 0, 1], [0, 1, 0], [1, 0, 3], [0, 4, 0]]
    assert soft_labels(counts).tolist() == [[.75, 0, .25], [0, 1, 0], [.25, 0, .75], [0, 1, 0]]
    assert soft_labels(torch.zeros(1, 3)).tolist() == [[0, 0, 0]]


def test_void_rules():
    assert patch_class_counts(LABELS, (2, 2), 3, void='class0')[1].tolist() == [3, 1, 0]
    excluded = patch_class_counts(LABELS, (2, 2), 3, ignore_index=0)
    assert excluded.tolist() == [[0, 0, 1], [0, 1, 0], [0, 0, 3], [0, 4, 0]]
    assert patch_class_counts(LABELS, (2, 2), 3, ignore_index=0, void='class0')[0].tolist() == [3, 0, 1]
    with pytest.raises(ValueError, match='exclude, class0'):
        patch_class_counts(LABELS, (2, 2), 3, void='zero')
    with pytest.raises(ValueError, match=r'class ids \[2\], but only 0\.\.1 exist'):
        patch_class_counts(LABELS, (2, 2), 2)


def test_an_image_that_covers_a_part_of_the_grid():
    # 3 of 4 columns of cells: two pixels, two pixels, and half a cell of nothing
    counts = patch_class_counts(torch.tensor([[0, 1, 1]]), (1, 2), 2, extent=(0, 1, 0, 1.5))
    assert counts.tolist() == [[1, 1], [0, 1]]


def test_smallest_type():
    assert [compact_dtype(n) for n in (255, 256, 32767, 32768)] == [torch.uint8, torch.int16, torch.int16, torch.int32]
