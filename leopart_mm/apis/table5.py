"""Table 5 of the Leopart paper, row by row: settings, runs that resume, results (docs/methods/leopart.md §15)."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log

PROTOCOLS = ('label-free', 'published')


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Args:
        name: Short name, used on the command line and for files.
        title: As in the paper.
        checkpoint: Which of the given checkpoints it needs.
        paper: mIoU in the paper, in percent.
        reproduction: That of the reproduction (mean of 20 runs); None: not run.
        note: What the number is.
    """

    name: str
    title: str
    checkpoint: str
    paper: float
    reproduction: float | None
    note: str


ROWS = (
    Row('k150', 'K=150', 'leopart', 48.8, None, 'foreground clusters, each given to its best class (upper bound)'),
    Row('dino', 'DINO', 'dino', 4.6, 4.5, 'k-means of DINO features, as many clusters as classes'),
    Row('leopart', '+ Leopart', 'leopart', 18.9, 18.0, 'the same of features fine-tuned by Leopart'),
    Row('cbfe', '+ CBFE', 'leopart', 36.6, 35.6, 'foreground clusters and the background'),
    Row('cd', '+ CD', 'leopart', 41.7, 35.2, 'communities of foreground clusters'),
)


@dataclass
class RowResult:
    """What a row gave; in percent.

    Args:
        miou, miou_std: Over all classes (absent ones 0, as published), mean and standard deviation over seeds.
        miou_occurring: Over the classes that occur.
        per_seed: mIoU of every seed.
        seconds: Of the run.
        stages: What the stages found (thresholds, edges, communities).
    """

    miou: float
    miou_std: float
    miou_occurring: float
    per_seed: list[float]
    seconds: float
    stages: dict[str, Any] = field(default_factory=dict)


def row_config(base: Config, row: Row, checkpoint: str, seeds: int, num_classes: int, protocol: str = 'label-free',
               dino: str | None = None) -> Config:
    """The config of a row from that of "+CD".

    Args:
        base: Config with CBFE, ForegroundClustering and CommunityDetection after the head.
        row: Which row.
        checkpoint: Its weights.
        seeds: Number of seeds: of k-means, or for "+CD" of Infomap.
        num_classes: C; the rows have C clusters (background included), communities are drawn to C - 1.
        protocol: 'published' lets CBFE look at ground truth of the train split for its threshold.
        dino: Weights whose attention gives the noisy masks in the published protocol.

    Raises:
        ValueError: The protocol is unknown, or needs DINO weights that are not there.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f'protocol {protocol!r} is unknown; there are: {", ".join(PROTOCOLS)}.')
    cfg = Config(ConfigDict(base._cfg_dict.to_dict()))
    cfg.load_from = checkpoint
    cfg.launcher = cfg.get('launcher', 'none')
    stages = cfg.model.postprocessors
    if row.name in ('dino', 'leopart'):
        cfg.model.postprocessors = []
        cfg.model.decode_head.update(num_clusters=num_classes, seeds=seeds, spherical=False)
        cfg.test_cfg.fit_dataloader = None  # these rows cluster the val images alone
        return cfg
    if protocol == 'published':
        if dino is None:
            raise ValueError('The published protocol reads noisy masks of DINO: give --checkpoints dino=FILE too.')
        backbone = dict(cfg.model.backbone, checkpoint=str(dino))
        stages[0].update(threshold='published', threshold_split='train', per_split=True)
        stages[0].masks = dict(stages[0].get('masks', dict(type='leopart_mm.AttentionMasks')), backbone=backbone)
    if row.name == 'cd':
        stages[2].update(seeds=seeds, preferred_modules=max(1, num_classes - 1))
        return cfg
    cfg.model.postprocessors = stages[:2]
    if row.name == 'cbfe':
        stages[1].update(num_clusters=max(1, num_classes - 1))
    else:
        cfg.test_evaluator.matching = 'precision'
    stages[1].update(seeds=seeds)
    cfg.model.postprocessors = stages[:2]
    return cfg


def run_row(cfg: Config, row: Row, folder: Path, samples: int = 6,
            cache: str | None = None) -> tuple[RowResult, bool]:
    """Run a row, or read its result where the same run ended before.

    Args:
        cfg: Of `row_config`.
        row: Which row.
        folder: Results go to ``<folder>/rows/<name>.json``, pictures to ``<folder>/pictures/<name>``.
        samples: Number of images with pictures.
        cache: Of features between the stages, see FeatureStream; it changes no result.

    Returns:
        The result, and whether it was read.
    """
    file = folder / 'rows' / f'{row.name}.json'
    key = fingerprint(cfg)
    if file.is_file():
        saved = json.loads(file.read_text())
        if saved['key'] == key:
            return RowResult(**saved['result']), True
        print_log(f'{row.title}: {file} belongs to other settings, checkpoint or data; it is run again.',
                  logger='current')
    result = _run(cfg, row, folder, samples, cache)
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(f'.{os.getpid()}.tmp')
    temporary.write_text(json.dumps(dict(key=key, result=asdict(result)), indent=1) + '\n')
    os.replace(temporary, file)
    return result, False


def fingerprint(cfg: Config) -> str:
    """Of all settings and of the checkpoint's size and time: what decides a result."""
    file = Path(cfg.load_from)
    stat = file.stat() if file.is_file() else None
    parts = [cfg.pretty_text, str(stat and (stat.st_size, stat.st_mtime_ns))]
    return hashlib.blake2b('\0'.join(parts).encode(), digest_size=12).hexdigest()


def _run(cfg: Config, row: Row, folder: Path, samples: int, cache: str | None) -> RowResult:
    import time

    from mmengine.runner import Runner
    cfg = Config(ConfigDict(cfg._cfg_dict.to_dict()))
    cfg.test_cfg.cache = cache
    cfg.work_dir = str(folder / 'logs' / row.name)
    cfg.experiment_name = f'table5_{row.name}_{os.getpid()}_{time.time_ns()}'
    cfg.default_hooks.visualization = dict(type='leopart_mm.StagePicturesHook', draw=samples > 0, max_images=samples,
                                           out_dir=str(folder / 'pictures' / row.name))
    start = time.perf_counter()
    runner = Runner.from_cfg(cfg)
    metrics = runner.test()
    metric = runner.test_loop.evaluator.metrics[0]
    scores = next(iter(metric.scores_.values()))
    stages = {type(stage).__name__: {key: value for key, value in stage.info.items() if key != 'sizes'}
              for stage in runner.model.postprocessors}
    return RowResult(miou=metrics['mIoU'], miou_std=metrics['mIoU_std'], miou_occurring=metrics['mIoU_occurring'],
                     per_seed=[100 * score.miou for score in scores], seconds=time.perf_counter() - start,
                     stages=stages)


def parse_checkpoints(values: Sequence[str]) -> dict[str, str]:
    """``name=FILE`` arguments as a dict; names are those that rows need.

    Raises:
        ValueError: Not of this form, or an unknown name.
        FileNotFoundError: There is no such file.
    """
    known = sorted({row.checkpoint for row in ROWS})
    found: dict[str, str] = {}
    for value in values:
        name, separator, path = value.partition('=')
        if not separator or name not in known:
            raise ValueError(f'--checkpoints {value}: give {" and ".join(f"{name}=FILE" for name in known)}.')
        if not Path(path).expanduser().is_file():
            raise FileNotFoundError(f'The checkpoint {name}={path} does not exist.')
        found[name] = str(Path(path).expanduser())
    return found


def choose_rows(names: Sequence[str] | None, checkpoints: Mapping[str, str]) -> tuple[list[Row], dict[str, str]]:
    """Rows to run, and the reason for every row that is left out.

    Raises:
        ValueError: An unknown row, one that was asked for but lacks its checkpoint, or nothing to run.
    """
    unknown = set(names or ()) - {row.name for row in ROWS}
    if unknown:
        raise ValueError(f'There is no row {", ".join(sorted(unknown))}; there are: '
                         f'{", ".join(row.name for row in ROWS)}.')
    rows, left_out = [], {}
    for row in ROWS:
        if names and row.name not in names:
            left_out[row.name] = 'not asked for'
        elif row.checkpoint in checkpoints:
            rows.append(row)
        elif names:
            raise ValueError(f'The row {row.name} needs --checkpoints {row.checkpoint}=FILE.')
        else:
            left_out[row.name] = f'needs --checkpoints {row.checkpoint}=FILE'
    if not rows:
        raise ValueError('There is nothing to run: give --checkpoints dino=FILE leopart=FILE.')
    return rows, left_out
