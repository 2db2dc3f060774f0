"""What hooks that draw share: where pictures go, colours and names, the matching of clusters and classes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.evaluator import Evaluator
from mmengine.runner import Runner

from leopart_mm.palette import distinct_colours
from leopart_mm.visualization.cluster_names import ClusterNames
from leopart_mm.visualization.cluster_sheet import legend


def picture_folder(runner: Runner, out_dir: str | None = None) -> Path:
    """`out_dir`, else the visualizer's ``save_dir`` (tools/test.py --show-dir), else ``<work dir>/pictures``."""
    save_dir = (runner.cfg.get('visualizer') or {}).get('save_dir')
    return Path(out_dir or save_dir or Path(runner.work_dir) / 'pictures')


def find_matching(evaluator: Evaluator) -> np.ndarray | None:
    """(K,) class of every cluster from the first metric that has one (`ClusterMetric`); None if there is none."""
    found = [getattr(metric, 'matching_', None) for metric in evaluator.metrics]
    return next((matching for matching in found if matching is not None), None)


def class_palette(metainfo: Mapping[str, Any], labels: Sequence[np.ndarray | None], ignore: int = 255) -> np.ndarray:
    """(C, 3) uint8 RGB: the data set's colours, then distinct ones, for every label that occurs in `labels`.

    mmseg's visualizer leaves labels beyond the class count unpainted; with these colours none is.
    """
    palette = np.asarray(metainfo.get('palette') or np.zeros((0, 3)), np.uint8).reshape(-1, 3)
    highest = [int(one[one != ignore].max()) for one in labels if one is not None and (one != ignore).any()]
    count = max([len(palette), len(metainfo.get('classes') or ()), *(label + 1 for label in highest)])
    return np.concatenate([palette, distinct_colours(count)[len(palette):]])


def read_names(path: str | None, num_clusters: int) -> ClusterNames:
    """The naming file, or numbers and the palette's colours where there is none."""
    return ClusterNames.default(num_clusters) if path is None else ClusterNames.load(path, num_clusters)


def write_legend(path: Path, names: ClusterNames) -> None:
    """Write name and colour of every group of clusters."""
    groups = names.merged()[1]
    write_picture(path, legend(groups, range(len(groups.names))))


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Write (H, W, 3) RGB as PNG.

    Raises:
        OSError: It could not be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), np.ascontiguousarray(picture[..., ::-1])):
        raise OSError(f'The picture {path} could not be written: is the disk full?')
