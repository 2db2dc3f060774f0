"""Trainings and tests as stages of a longer run: what of a config decides their result, and how they resume."""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log
from mmengine.registry import DefaultScope

from leopart_mm.engine.cli import complete_loaders
from leopart_mm.fingerprints import dataset_files, files_fingerprint, settings_fingerprint
from leopart_mm.registry import DATASETS

if TYPE_CHECKING:
    from leopart_mm.engine.console_runner import ConsoleRunner

TRAINED_BY = ('model', 'train_dataloader', 'optim_wrapper', 'param_scheduler', 'train_cfg', 'custom_hooks',
              'randomness')
TESTED_BY = ('model', 'test_dataloader', 'test_evaluator', 'test_cfg', 'randomness')
MASKS_MADE_BY = ('proposals', 'proposal_dataloader')
# What a loader does with its processes; the order of the images does not depend on it.
OF_SPEED = {'num_workers', 'persistent_workers', 'pin_memory', 'prefetch_factor'}

Change = Callable[[Config, Path, Mapping[str, Any]], None]


def settings_of(cfg: Config, keys: Iterable[str], paths: Iterable[str | None] = ()) -> dict[str, str]:
    """Fingerprints of the parts of a config that decide a result, for `Stage.settings`.

    Files that the config names (weights) count by their content, wherever they lie.

    Args:
        cfg: The config.
        keys: Its top-level keys that count; those that it has not are left out.
        paths: Files and folders that do not count: data, and what earlier stages write.
    """
    content, chosen_by = cfg._cfg_dict.to_dict(), save_best(cfg) if 'optim_wrapper' in keys else None
    keys = (*keys, *['val_dataloader', 'val_evaluator'] * bool(chosen_by))
    found = {key: settings_fingerprint(_without_speed(content[key]), paths) for key in keys if content.get(key)}
    return found | (dict(save_best=str(chosen_by)) if chosen_by else {})


def mask_settings_of(cfg: Config, paths: Iterable[str | None] = ()) -> dict[str, str]:
    """Fingerprints of what decides the masks of `generate_masks`: its source, its images, and the network alone.

    Args:
        cfg: Its config.
        paths: As for `settings_of`.
    """
    network = {key: value for key, value in cfg.model.items() if key in ('backbone', 'data_preprocessor')}
    made_by = Config(dict(network, **{key: cfg[key] for key in MASKS_MADE_BY}))
    return settings_of(made_by, made_by, paths)


def save_best(cfg: Config) -> str | None:
    """The score by which the checkpoint hook of a training chooses; None: the last checkpoint counts."""
    return ((cfg.get('default_hooks') or {}).get('checkpoint') or {}).get('save_best')


def _without_speed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_speed(item) for key, item in value.items() if key not in OF_SPEED}
    return [_without_speed(item) for item in value] if isinstance(value, list | tuple) else value


def data_fingerprint(cfg: Config, *loaders: str) -> str:
    """Fingerprint of all images and label maps of the loaders of a config, such as 'train_dataloader'.

    Raises:
        FileNotFoundError: If the data are missing.
    """
    files: list[str] = []
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmseg')):
        for loader in loaders:
            if cfg.get(loader):
                dataset = dict(cfg[loader].dataset, pipeline=[], lazy_init=False)
                files += dataset_files(DATASETS.build(dataset))
    return files_fingerprint(dict.fromkeys(files))


def train(cfg: Config, change: Change | None, folder: Path, before: Mapping[str, Any]) -> dict[str, str]:
    """Train in a folder, or continue the training that was interrupted there: `Stage.run`, all but the last two given.

    Args:
        cfg: Config of the training.
        change: Called with a copy of the config, the folder of the whole run and the results of earlier stages.
        folder: Folder of the stage.
        before: Results of the stages among its inputs.

    Returns:
        ``checkpoint``: name of the last checkpoint below the folder, or, where the config asks for the best one by its
        scores (``save_best`` of the checkpoint hook), of that; ``selected_by`` names the score.
    """
    cfg = _own(cfg, change, folder, before)
    cfg.work_dir = str(folder)
    latest = folder / 'last_checkpoint'  # MMEngine's, with the path of the checkpoint in it
    if latest.is_file():
        cfg.resume, cfg.load_from = True, None
    runner = _runner(cfg)
    runner.train()
    last = dict(checkpoint=Path(latest.read_text().strip()).name)
    score = save_best(cfg)
    best = runner.message_hub.get_info('best_ckpt', None) if score else None
    if best is None:
        return last
    print_log(f'{Path(best).name} has the best {score} on the validation labels: it is used, not the last checkpoint.',
              logger='current')
    return dict(checkpoint=Path(best).name, selected_by=str(score))


def test(cfg: Config, change: Change | None, folder: Path, before: Mapping[str, Any]) -> dict[str, float]:
    """Fit a model, test it and keep it in a file; the arguments are those of `train`.

    Pictures go into ``<folder>/pictures``, the model with its config into ``<folder>/model.pth``, which
    tools/segment_folder.py takes.

    Returns:
        The scores; none where the images have no labels.
    """
    cfg = _own(cfg, change, folder, before)
    cfg.test_cfg = dict(cfg.test_cfg, type='leopart_mm.FitTestLoop', save_fitted=str(folder / 'model.pth'))
    return _tested(cfg, folder)


def score(cfg: Config, change: Change | None, folder: Path, before: Mapping[str, Any]) -> dict[str, float]:
    """Test a trained model; the arguments are those of `train`, the pictures and scores those of `test`."""
    return _tested(_own(cfg, change, folder, before), folder)


def predict(cfg: Config, change: Change | None, folder: Path, before: Mapping[str, Any]) -> dict[str, float]:
    """Write what a trained model predicts into a folder, as tools/test.py --out does; the arguments are those of
    `train`.

    Returns:
        What the metrics count.
    """
    cfg = _own(cfg, change, folder, before)
    for evaluator in cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]:
        evaluator.update(output_dir=str(folder), keep_results=True)
    return _tested(cfg, folder)


def _tested(cfg: Config, folder: Path) -> dict[str, float]:
    cfg.work_dir = str(folder / 'logs')
    pictures = str(folder / 'pictures')
    hook = (cfg.get('default_hooks') or {}).get('visualization')
    if hook and hook['type'].endswith('DetVisualizationHook'):
        hook.update(draw=True, test_out_dir=pictures)
    elif hook:
        hook.update(draw=True, out_dir=pictures)
    found = _runner(cfg).test()
    return {key: float(value) for key, value in found.items() if 'time' not in key}


def own_config(cfg: Config, name: str) -> Config:
    """A copy of a config for one of several runs in this process, with an experiment's name of its own.

    Args:
        cfg: The config; stays as it is.
        name: Beginning of the experiment's name.
    """
    cfg = Config(ConfigDict(cfg._cfg_dict.to_dict()), filename=cfg.filename)
    cfg.experiment_name = f'{name}_{os.getpid()}_{time.time_ns()}'
    # MMEngine keeps a visualizer by name for the whole process, with the folder of the run that made it.
    cfg.visualizer = dict(cfg.get('visualizer') or dict(type='Visualizer'), name=cfg.experiment_name)
    return cfg


def _own(cfg: Config, change: Change | None, folder: Path, before: Mapping[str, Any]) -> Config:
    cfg = own_config(cfg, folder.name)
    cfg.launcher = 'none'
    complete_loaders(cfg)
    if change is not None:
        change(cfg, folder.parent, before)
    return cfg


def _runner(cfg: Config) -> 'ConsoleRunner':
    from leopart_mm.engine.console_runner import ConsoleRunner
    return ConsoleRunner.from_cfg(cfg)
