"""Running the rows of Table 5: each is a Stage that resumes, and each image goes through each checkpoint once."""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache as cache_once
from functools import partial
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import init_default_scope

from leopart_mm.apis.runner_stages import own_config
from leopart_mm.apis.stages import Stage, run_stage
from leopart_mm.apis.table5 import Row
from leopart_mm.datasets.file_lists import find_files
from leopart_mm.fingerprints import (
    dataset_files,
    file_fingerprint,
    files_fingerprint,
    text_fingerprint,
    text_without_paths,
)
from leopart_mm.folder_lock import lock_folder
from leopart_mm.models.fitting.chain import StageChain, named_stages
from leopart_mm.models.fitting.networks import NetworkCaches
from leopart_mm.registry import DATASETS


@dataclass
class RowResult:
    """What a row gave; in percent.

    Args:
        miou, miou_std: Mean over all classes (absent ones count as 0, as published); mean and standard deviation over
            seeds.
        miou_occurring: Mean over the classes that occur.
        per_seed: mIoU of each seed.
        seconds: Duration of the run; the first row of a checkpoint includes the pass of the network.
        stages: What the stages found (thresholds, edges, communities).
    """

    miou: float
    miou_std: float
    miou_occurring: float
    per_seed: list[float]
    seconds: float
    stages: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TableData:
    """The data of a table.

    Args:
        classes: Names of the classes.
        fingerprint: Fingerprint of the classes, and of all images and masks that are fitted or tested on, see
            `files_fingerprint`.
        tested: Number of images that are scored.
        fitted: Number of images that the stages are fitted on.
    """

    classes: tuple[str, ...]
    fingerprint: str
    tested: int = 0
    fitted: int = 0


def check_chain(base: Config) -> None:
    """Check that a config has all that rows are made of.

    Raises:
        ValueError: If it is not one of the whole chain; the message names what it lacks.
    """
    stages = named_stages((base.get('model') or {}).get('postprocessors') or {})
    missing = [name for name in ('foreground', 'clusters', 'communities') if name not in stages]
    if missing or not (base.get('test_cfg') or {}).get('fit_dataloader'):
        lacks = f'stage {" and ".join(missing)} in model.postprocessors' if missing else 'test_cfg.fit_dataloader'
        raise ValueError(f'The config {base.filename} has no {lacks}: Table 5 starts from a config of the whole chain, '
                         'such as configs/leopart/fully_unsup/vits16_voc.py.')


def inspect_data(base: Config) -> TableData:
    """Build both data sets, so that a missing part is named before hours of work.

    Raises:
        FileNotFoundError: If a part is missing.
    """
    init_default_scope(base.default_scope)
    tested = DATASETS.build(base.test_dataloader.dataset)
    fitted = DATASETS.build(base.test_cfg.fit_dataloader.dataset)
    return TableData(tuple(tested.metainfo['classes']),
                     text_fingerprint(' '.join([*map(str, tested.metainfo['classes']),
                                                files_fingerprint(dataset_files(tested)),
                                                files_fingerprint(dataset_files(fitted))])),
                     len(tested), len(fitted))


def row_stage(cfg: Config, row: Row, data: str, samples: int, features: Callable[[], NetworkCaches]) -> Stage:
    """A row as a Stage, whose result is a RowResult as a dict; it writes logs and pictures into its folder.

    Args:
        cfg: Config of the row, from `row_config`.
        row: The row of the table.
        data: Fingerprint of the data.
        samples: Number of images with pictures.
        features: Gives the caches that the rows share; called if the row is run.
    """
    checkpoints = dict(checkpoint=cfg.load_from, **_mask_checkpoints(cfg))
    settings = dict(config=text_without_paths(cfg.pretty_text, [*checkpoints.values(), cfg.get('data_root')]),
                    pictures=samples)
    inputs = dict(data=data, **{name: file_fingerprint(path) for name, path in checkpoints.items()})
    folder = _mask_folder(cfg)
    if folder is not None:
        inputs['mask files'] = files_fingerprint(find_files(folder))
    return Stage(row.name, partial(_run, cfg, row, samples, features), settings, inputs)


def run_rows(configs: Mapping[Row, Config], data: str, folder: Path, samples: int = 6, cache: Any = 'auto',
             tell: Callable[[Row, RowResult | ValueError, bool], None] = lambda *_: None
             ) -> tuple[dict[str, RowResult], dict[str, str]]:
    """Run rows, or read the results of those that are finished; each image goes through each checkpoint once.

    Rows of one checkpoint follow each other, and share its features. A checkpoint whose attention gives the noisy masks
    of other rows comes first, so that its rows leave the attention of their images behind; other images go through it
    when those rows ask for them.

    Args:
        configs: Row -> its config, from `row_config`.
        data: Fingerprint of the data.
        folder: Each row has ``<folder>/rows/<name>``.
        samples: Number of images with pictures per row.
        cache: 'auto', 'memory', 'disk' or None: where features wait, see FitTestLoop; it changes no result.
        tell: Called after each row with its result, or the error of one that failed, and whether the result was read.

    Returns:
        Results by name, and the reasons of the rows that failed.

    Raises:
        FolderInUseError: If another run writes there.
    """
    lock = lock_folder(folder)
    results, failed = {}, {}
    caches = NetworkCaches(cache)
    expected = cache_once(partial(_expect, caches, configs.values()))  # networks are read only if a row is run
    try:
        for rows in _by_checkpoint(configs):
            for row in rows:
                try:
                    outcome = run_stage(row_stage(configs[row], row, data, samples, expected), folder / 'rows')
                except ValueError as error:  # of a stage: the other rows are still worth having
                    failed[row.name] = f'failed: {error}'
                    tell(row, error, False)
                else:
                    results[row.name] = RowResult(**outcome.result)
                    tell(row, results[row.name], outcome.resumed)
            caches.discard_maps()
    finally:
        caches.close()
    del lock
    return {row.name: results[row.name] for row in configs if row.name in results}, failed


def _by_checkpoint(configs: Mapping[Row, Config]) -> list[list[Row]]:
    """Rows by the content of their checkpoint, those of mask networks first; of each, rows with more stages first: what
    they ask of the network serves the others too.
    """
    groups: dict[str, list[Row]] = {}
    for row, cfg in configs.items():
        groups.setdefault(file_fingerprint(cfg.load_from), []).append(row)
    masks = {file_fingerprint(path) for cfg in configs.values() for path in _mask_checkpoints(cfg).values()}
    return [sorted(groups[key], key=lambda row: -len(configs[row].model.postprocessors))
            for key in sorted(groups, key=lambda key: key not in masks)]


def _expect(caches: NetworkCaches, configs: Iterable[Config]) -> NetworkCaches:
    """The caches, told of what stages request of networks beside their own."""
    for cfg in configs:
        try:
            requests = StageChain(cfg.model.postprocessors).requests(fitting=True, pictures=True)
            for network, asked in requests.networks:
                caches.of(network.key).expected.append(asked)
                network.release()
        except ValueError:  # which its row tells when it is run
            continue
    return caches


def _mask_checkpoints(cfg: Config) -> dict[str, str]:
    """The network whose attention gives the noisy masks, if it is another one."""
    stages = cfg.model.postprocessors
    for stage in stages.values() if isinstance(stages, Mapping) else stages:
        path = (stage.get('masks') or {}).get('backbone', {}).get('checkpoint')
        if path is not None:
            return dict(masks=path)
    return {}


def _mask_folder(cfg: Config) -> str | None:
    """The folder that the noisy masks are read from, if they are files."""
    for stage in named_stages(cfg.model.postprocessors).values():
        folder = (stage.get('masks') or {}).get('folder')
        if folder is not None:
            return os.path.expanduser(folder)
    return None


def _run(cfg: Config, row: Row, samples: int, features: Callable[[], NetworkCaches], place: Path,
         before: Mapping[str, Any]) -> dict[str, Any]:
    from leopart_mm.engine.console_runner import ConsoleRunner
    cfg = own_config(cfg, f'table5_{row.name}')
    cfg.work_dir = str(place / 'logs')
    cfg.default_hooks.visualization = dict(type='leopart_mm.StagePicturesHook', draw=samples > 0, max_images=samples,
                                           out_dir=str(place))
    start = time.perf_counter()
    runner = ConsoleRunner.from_cfg(cfg)
    runner.test_loop.features = features()
    metrics = runner.test()
    metric = runner.test_loop.evaluator.metrics[0]
    scores = next(iter(metric.scores_.values()))
    stages = runner.model.postprocessors
    found = {type(stage).__name__: {key: value for key, value in stage.info.items() if key != 'sizes'}
             for stage in (stages.values() if hasattr(stages, 'values') else stages)}
    return asdict(RowResult(miou=metrics['mIoU'], miou_std=metrics['mIoU_std'],
                            miou_occurring=metrics['mIoU_occurring'],
                            per_seed=[100 * score.miou for score in scores], seconds=time.perf_counter() - start,
                            stages=found))
