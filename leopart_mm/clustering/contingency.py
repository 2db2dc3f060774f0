"""The contingency table of clusters and classes, from which every score follows."""

import torch
from torch import Tensor

from leopart_mm.clustering.counting import count_ids
from leopart_mm.late_checks import Check, check_at_once


def contingency_table(pred: Tensor,
                      gt: Tensor,
                      num_pred: int,
                      num_gt: int,
                      ignore_index: int | None = 255,
                      out_of_range: str = 'error',
                      check: Check = check_at_once) -> Tensor:
    """Count how many valid pixels of each class every cluster covers.

    Args:
        pred: Cluster ids, any shape, integer.
        gt: Class ids of the same shape, integer. Pixels equal to `ignore_index` do not count, whatever `pred` is there.
        num_pred: Number of clusters.
        num_gt: Number of classes.
        ignore_index: Class id that does not count; None counts every pixel.
        out_of_range: What to do with other ids outside 0..num-1 at valid pixels: 'error', or 'ignore' to leave these
            pixels out.
        check: Who is told on a GPU how many ids are out of range. The default reads it, for which the host waits;
            `LateChecks` reads many at once.

    Returns:
        (num_pred, num_gt) int64 on the device of `pred`; add the tables of batches and processes.

    Raises:
        ValueError: If the shapes differ, or an id is out of range and `out_of_range` is 'error'.

    >>> contingency_table(torch.tensor([0, 0, 2, 1]), torch.tensor([1, 1, 0, 255]), 3, 2).tolist()
    [[0, 2], [0, 0], [1, 0]]
    """
    if pred.shape != gt.shape:
        raise ValueError(f'Predictions {tuple(pred.shape)} and ground truth {tuple(gt.shape)} differ in shape.')
    if out_of_range not in ('error', 'ignore'):
        raise ValueError(f"out_of_range={out_of_range!r} is unknown: use 'error' or 'ignore'.")
    pred, gt = pred.reshape(-1), gt.reshape(-1).to(pred.device)
    if pred.device.type == 'cuda':
        return _on_device(pred.long(), num_pred, gt.long(), num_gt, ignore_index,
                          check if out_of_range == 'error' else None)
    if ignore_index is not None:
        valid = gt != ignore_index
        pred, gt = pred[valid], gt[valid]
    pred, gt = pred.long(), gt.long()
    outside = (pred < 0) | (pred >= num_pred) | (gt < 0) | (gt >= num_gt)
    if outside.any():
        if out_of_range == 'error':
            raise ValueError(_describe(pred, num_pred, gt, num_gt, ignore_index))
        pred, gt = pred[~outside], gt[~outside]
    return torch.bincount(pred * num_gt + gt, minlength=num_pred * num_gt).view(num_pred, num_gt)


def _on_device(pred: Tensor, num_pred: int, gt: Tensor, num_gt: int, ignore_index: int | None,
               check: Check | None) -> Tensor:
    """The table without a step whose size depends on the labels: what does not count goes into a last cell."""
    outside = (pred < 0) | (pred >= num_pred) | (gt < 0) | (gt >= num_gt)
    ignored = torch.zeros_like(outside) if ignore_index is None else gt == ignore_index
    if check is not None:
        check((outside & ~ignored).sum(), lambda number: (
            f'Label maps hold {number} pixels whose cluster is not in 0..{num_pred - 1} or whose class is not in '
            f'0..{num_gt - 1} (ignore_index is {ignore_index}). Check num_clusters, the classes of the data set and '
            "reduce_zero_label, or set out_of_range='ignore'."))
    cells = torch.where(outside | ignored, num_pred * num_gt, pred * num_gt + gt)
    return count_ids(cells, num_pred * num_gt + 1)[:-1].view(num_pred, num_gt)


def _describe(pred: Tensor, num_pred: int, gt: Tensor, num_gt: int, ignore_index: int | None) -> str:
    faults = []
    for name, labels, number in (('cluster', pred, num_pred), ('class', gt, num_gt)):
        wrong = labels[(labels < 0) | (labels >= number)].unique()[:5].tolist()
        if wrong:
            faults.append(f'{name} ids {wrong}, but only 0..{number - 1} exist')
    return (f'Label maps hold {" and ".join(faults)} (ignore_index is {ignore_index}). Check num_clusters, the classes '
            "of the data set and reduce_zero_label, or set out_of_range='ignore'.")


def cell_histogram(gt: Tensor, cells: Tensor, num_cells: int, num_gt: int, ignore_index: int | None = 255,
                   check: Check = check_at_once) -> Tensor:
    """Count the pixels of each class in every cell of a label map.

    A label map is constant on its cells, so this single count of pixels serves all label maps of an image: see
    `table_from_cells`.

    Args:
        gt: Class ids, any shape.
        cells: Index of the cell under every pixel, same shape.
        num_cells: Number of cells.
        num_gt: Number of classes.
        ignore_index: Class id that does not count; None counts every pixel.
        check: As for `contingency_table`.

    Returns:
        (num_cells, num_gt) int64.
    """
    return contingency_table(cells, gt, num_cells, num_gt, ignore_index, check=check)


def table_from_cells(labels: Tensor, histogram: Tensor, num_pred: int, check: Check = check_at_once) -> Tensor:
    """Contingency tables of several label maps of an image, (S, num_pred, num_gt) int64.

    Equal to `contingency_table` of the maps upsampled to pixels, at a cost independent of the number of pixels.

    Args:
        labels: (S, cells) cluster ids.
        histogram: (cells, num_gt) of `cell_histogram`.
        num_pred: Number of clusters.
        check: As for `contingency_table`.

    Raises:
        ValueError: If an id is not in 0..num_pred-1.
    """
    if labels.device.type == 'cuda':
        check(((labels < 0) | (labels >= num_pred)).sum(),
              lambda number: f'{number} cells hold cluster ids beyond 0..{num_pred - 1}.')
        labels = labels.clamp(0, num_pred - 1)
    elif labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < num_pred:
        raise ValueError(f'Cluster ids reach from {int(labels.min())} to {int(labels.max())}, but only '
                         f'0..{num_pred - 1} exist.')
    number = len(labels)
    rows = (labels + torch.arange(number, device=labels.device)[:, None] * num_pred).reshape(-1)
    table = torch.zeros(number * num_pred, histogram.shape[1], dtype=torch.long, device=labels.device)
    table.index_add_(0, rows, histogram.repeat(number, 1))
    return table.view(number, num_pred, -1)
