"""The score of a folder of label maps that a run wrote (docs/methods/maskdistill.md §7, §11)."""

import os
from dataclasses import dataclass
from pathlib import Path

from leopart_mm.clustering.matching import MatchingScores
from leopart_mm.datasets.labelled_images import LABELS, LIST
from leopart_mm.evaluation.label_map_scores import score_label_maps
from leopart_mm.evaluation.report import MATCHING_NAMES
from leopart_mm.files import printable, shorten


@dataclass(frozen=True)
class FolderScores:
    """Scores of the maps of a folder.

    Args:
        scores: See MatchingScores.
        matching: How labels were given to classes.
        maps: Number of maps that were scored.
        without: Names of maps without a ground truth.
    """

    scores: MatchingScores
    matching: str
    maps: int
    without: list[str]

    def summary(self) -> str:
        """The scores in words."""
        found = self.scores
        text = (f'Label maps: mIoU {100 * found.miou:.2f} % over {len(found.iou)} classes, '
                f'{100 * found.pixel_accuracy:.2f} % of the pixels right ({MATCHING_NAMES[self.matching]}; {self.maps} '
                'maps at their own size, label 255 ignored)')
        if self.without:
            text += f'; {len(self.without)} maps have no ground truth ({shorten(map(printable, self.without))})'
        return f'{text}.'


def map_names(folder: str | os.PathLike) -> list[str]:
    """Names of the images that have a map in ``<folder>/labels``, in order.

    Raises:
        FileNotFoundError: If the folder holds no list of them.
    """
    file = Path(folder) / LIST
    if not file.is_file():
        raise FileNotFoundError(f'{printable(folder)} holds no label maps: there is no {LIST} in it.')
    return file.read_text(encoding='utf-8', errors='surrogateescape').splitlines()


def score_folder(folder: str | os.PathLike, gt_labels: str | os.PathLike, num_labels: int, num_classes: int,
                 matching: str = 'hungarian') -> FolderScores:
    """Score ``<folder>/labels/<name>.png`` against ``<gt_labels>/<name>.png``, for the names in ``images.txt``.

    Args:
        folder: The folder.
        gt_labels: Folder of the ground truth.
        num_labels: K, labels 0..K-1 of the maps.
        num_classes: C of the ground truth, 255 is ignored.
        matching: See `score_label_maps`.

    Raises:
        FileNotFoundError: If the folder holds no list of its maps.
        MaskError: If a map is damaged.
        ValueError: If sizes differ, a label is out of range, or no map has a ground truth.
    """
    names = map_names(folder)
    pairs = [(Path(folder) / LABELS / f'{name}.png', Path(gt_labels) / f'{name}.png') for name in names]
    there = [truth.is_file() for _, truth in pairs]
    without = [name for name, found in zip(names, there, strict=True) if not found]
    pairs = [pair for pair, found in zip(pairs, there, strict=True) if found]
    return FolderScores(score_label_maps(pairs, num_labels, num_classes, matching), matching, len(pairs), without)
