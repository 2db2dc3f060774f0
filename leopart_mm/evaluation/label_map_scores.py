"""Scores of label maps in files against those of a ground truth (docs/methods/maskdistill.md §11)."""

import os
from collections.abc import Iterable

import numpy as np
import torch

from leopart_mm.clustering.contingency import contingency_table
from leopart_mm.clustering.matching import MatchingScores, scores
from leopart_mm.datasets.mask_reading import read_mask
from leopart_mm.files import printable


def label_map_table(pairs: Iterable[tuple[str | os.PathLike, str | os.PathLike]], num_labels: int, num_classes: int,
                    ignore_index: int = 255) -> np.ndarray:
    """Count the valid pixels of each class that every label covers.

    Args:
        pairs: File of a label map and file of its ground truth, of equal size.
        num_labels: K, labels 0..K-1.
        num_classes: C.
        ignore_index: Class of pixels that do not count.

    Returns:
        (K, C) int64.

    Raises:
        MaskError: If a file is missing, damaged or no label map.
        ValueError: If there is no pair, a map and its ground truth differ in size, or a label is out of range; the
            message names the map.
    """
    table = torch.zeros(num_labels, num_classes, dtype=torch.long)
    images = 0
    for file, truth_file in pairs:
        labels, truth = read_mask(file), read_mask(truth_file)
        if labels.shape != truth.shape:
            raise ValueError(f'The label map {printable(file)} has {labels.shape[0]} x {labels.shape[1]} pixels, its '
                             f'ground truth {printable(truth_file)} {truth.shape[0]} x {truth.shape[1]} (height x '
                             'width): scores need equal sizes. Make the maps at the size of the images.')
        try:
            table += contingency_table(torch.from_numpy(labels), torch.from_numpy(truth), num_labels, num_classes,
                                       ignore_index)
        except ValueError as error:
            raise ValueError(f'{printable(file)}: {error}') from error
        images += 1
    if not images:
        raise ValueError('There is no label map to score: none of the images has a map and a ground truth.')
    return table.numpy()


def score_label_maps(pairs: Iterable[tuple[str | os.PathLike, str | os.PathLike]], num_labels: int, num_classes: int,
                     matching: str = 'direct', ignore_index: int = 255) -> MatchingScores:
    """Match the labels of maps to classes and score them: see `label_map_table` and `scores`.

    Args:
        pairs, num_labels, num_classes, ignore_index: See `label_map_table`.
        matching: 'direct' where labels are named by classes already; 'hungarian' for raw ids of clusters (the two agree
            where the names are the best ones); or another of `MATCHINGS`.
    """
    return scores(label_map_table(pairs, num_labels, num_classes, ignore_index), matching)
