"""How the flags that tools share (`leopart_mm.cli`) enter a config."""

import argparse
import os
from copy import deepcopy
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path, PurePath

import torch
import torch.distributed as dist
from mmengine.config import Config

from leopart_mm.engine.config import load_config

# Processes wait for the one that solves a fit alone (k-means, communities): torch gives up after 10 or 30 minutes.
LONGEST_WAIT = 24 * 3600  # seconds
DATALOADER_DEFAULTS = dict(pin_memory=True, persistent_workers=True, collate_fn=dict(type='default_collate'))


def config_from_args(args: argparse.Namespace) -> Config:
    """Load the config of a tool and merge its common flags; command line wins over file, file over default."""
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = load_config(args.config, args.cfg_options)
    check_packages(cfg)
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / config_name(cfg.filename))
    complete_loaders(cfg, not args.no_pin_memory, not args.no_persistent_workers)
    if args.launcher != 'none':
        environment = cfg.get('env_cfg') or {}
        distributed = dict(timeout=LONGEST_WAIT) | dict(environment.get('dist_cfg') or {})
        cfg.env_cfg = dict(environment, dist_cfg=distributed)
        if not torch.cuda.is_available():
            _distribute_on_cpu(cfg, args.launcher)
    return cfg


def check_packages(cfg: Config) -> None:
    """Say at once that a config is of an optional package that is not installed.

    Raises:
        RuntimeError: If MMDetection is needed and missing.
    """
    if (cfg.get('default_scope') == 'mmdet' or "'mmdet." in repr(cfg.get('model'))) and find_spec('mmdet') is None:
        raise RuntimeError(f'{cfg.filename} needs MMDetection, which is not installed: '
                           "pip install 'leopart_mm[mmdet]'.")


def config_name(path: str | Path) -> str:
    """A short name of a config file that no other of ours has: folders below `configs/METHOD/` are part of it.

    >>> config_name('configs/neco/linear/vits14_voc.py'), config_name('mine/linear.py')
    ('neco_linear_vits14_voc', 'linear')
    """
    path = path if isinstance(path, PurePath) else Path(path)
    parts = path.parts[:-1]
    below = parts[len(parts) - parts[::-1].index('configs'):] if 'configs' in parts else ()
    return '_'.join([*below, path.stem]) if len(below) > 1 else path.stem


def _distribute_on_cpu(cfg: Config, launcher: str) -> None:
    """Join the processes by gloo: MMEngine's own start-up and model wrapper take a GPU for granted."""
    if launcher != 'pytorch':
        raise ValueError(f'--launcher {launcher} needs GPUs, and none is visible; on CPUs use --launcher pytorch.')
    if not dist.is_initialized():
        dist.init_process_group('gloo', timeout=timedelta(seconds=cfg.env_cfg.dist_cfg.timeout))
    wrapper = dict(cfg.get('model_wrapper_cfg') or dict(
        type='MMDistributedDataParallel', broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False)))
    cfg.model_wrapper_cfg = dict(wrapper, device_ids=None)


def complete_loaders(cfg: Config, pin_memory: bool = True, persistent_workers: bool = True) -> None:
    """Give the data loaders of a config what it leaves open, in place.

    Args:
        cfg: The config.
        pin_memory: False where no loader is to pin memory.
        persistent_workers: False where all loaders are to restart their workers every epoch.
    """
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        if cfg.get(name) is None:
            continue
        merged = {**deepcopy(DATALOADER_DEFAULTS), **cfg[name]}
        if not pin_memory or not torch.cuda.is_available():  # torch warns where there is no device to pin for
            merged['pin_memory'] = False
        if not persistent_workers or not merged.get('num_workers', 0):
            merged['persistent_workers'] = False  # torch refuses persistent workers where there are none
        cfg[name] = merged


def add_training_page(cfg: Config) -> None:
    """Let a training write the page of its curves (`TrainingPageHook`), in place; one that the config has stays."""
    hooks = list(cfg.get('custom_hooks') or [])
    if not any(str(hook.get('type', '')).endswith('TrainingPageHook') for hook in hooks if isinstance(hook, dict)):
        cfg.custom_hooks = [*hooks, dict(type='leopart_mm.TrainingPageHook')]


def add_tensorboard(cfg: Config) -> None:
    """Let a run write its scalars for TensorBoard too, in place.

    Raises:
        RuntimeError: If TensorBoard is not installed.
    """
    if find_spec('tensorboard') is None:
        raise RuntimeError("--tensorboard needs TensorBoard, which is not installed: pip install 'leopart_mm"
                           "[tensorboard]'. Without it, training.html in the work folder shows the same curves.")
    visualizer = dict(cfg.get('visualizer') or dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')]))
    backends = list(visualizer.get('vis_backends') or [])
    if not any('TensorboardVisBackend' in str(backend.get('type')) for backend in backends):
        visualizer['vis_backends'] = [*backends, dict(type='TensorboardVisBackend')]
    cfg.visualizer = visualizer
