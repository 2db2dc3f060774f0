"""mIoU per seed of a ViT-Ti/16 on MSRC-21 or another small data set in VOC's layout, and rows of such in a file."""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from leopart_mm.files import write_text_whole

CONFIGS = Path(__file__).resolve().parent.parent / 'configs' / 'msrc21'
GROUPS = {**{f'K = {k}': f'overcluster_k{k}_vit-tiny_msrc21.py' for k in (21, 100, 300)},
          'retrieval': 'retrieval_vit-tiny_msrc21.py'}
MEMORY = 20_000  # patches: a choice among those of all images, so that a seed matters


def score(root: Path, group: str, weights: Path, out: Path, seeds: int, head: Mapping[str, Any] | None = None,
          features: Any = None) -> tuple[list[float], Any]:
    """mIoU of the classes that occur on the val split, in percent, of each seed; and the last fitted model.

    Args:
        root: The data set.
        group: A key of GROUPS: overclustering with seeds of k-means, or retrieval with draws of the memory.
        weights: The network.
        out: Folder for logs.
        seeds: Their number.
        head: Further options of the head.
        features: NetworkCaches that outlive the call; None: the network runs in each.
    """
    if group != 'retrieval':
        return _score(root, GROUPS[group], weights, out, dict(head or {}, seeds=seeds), features)
    found = [_score(root, GROUPS[group], weights, out, dict(head or {}, memory_size=MEMORY, seed=seed), features)
             for seed in range(seeds)]
    return [value for values, _ in found for value in values], found[-1][1]


def _score(root: Path, file: str, weights: Path, out: Path, head: Mapping[str, Any], features: Any
           ) -> tuple[list[float], Any]:
    from leopart_mm.apis.runner_stages import own_config
    from leopart_mm.engine.cli import complete_loaders
    from leopart_mm.engine.config import load_config
    from leopart_mm.engine.console_runner import ConsoleRunner
    from leopart_mm.engine.wrapping import unwrap
    cfg = own_config(load_config(CONFIGS / file, dict(data_root=str(root))), 'score')
    cfg.model.decode_head.update(head)
    cfg.work_dir, cfg.launcher, cfg.load_from = str(out / 'logs'), 'none', str(weights)
    complete_loaders(cfg)
    runner = ConsoleRunner.from_cfg(cfg)
    runner.test_loop.features = features
    runner.test()
    scores = next(iter(runner.test_evaluator.metrics[0].scores_.values()))
    return [100 * float(one.miou_occurring) for one in scores], unwrap(runner.model)


def read_rows(file: Path) -> list[dict[str, Any]]:
    """The rows of a JSON file; none if it is not there."""
    return json.loads(file.read_text()) if file.is_file() else []


def add_row(file: Path, row: Mapping[str, Any]) -> None:
    """Add a row to a JSON file, which is whole at any time."""
    write_text_whole(file, json.dumps([*read_rows(file), row], indent=1) + '\n')


def cell(values: Sequence[float]) -> str:
    """Mean and population standard deviation.

    >>> cell([1., 3.])
    '2.0±1.0'
    """
    return f'{statistics.fmean(values):.1f}±{statistics.pstdev(values):.1f}'


def compared_cell(values: Sequence[float], others: Sequence[float]) -> str:
    """The same with the mean of the differences seed by seed; bold if 0 is outside of its 95 % interval (Student's t).

    >>> compared_cell([2.9, 3.1, 3.], [1., 1., 1.]), compared_cell([2., 4., 3.], [1., 1., 1.])
    ('**3.0±0.1 (+2.0)**', '3.0±0.8 (+2.0)')
    """
    from scipy.stats import t
    found = [ours - theirs for ours, theirs in zip(values, others, strict=True)]
    mean, error = statistics.fmean(found), statistics.stdev(found) / math.sqrt(len(found))
    text = f'{cell(values)} ({mean:+.1f})'
    return f'**{text}**' if abs(mean) > t.ppf(0.975, len(found) - 1) * error else text
