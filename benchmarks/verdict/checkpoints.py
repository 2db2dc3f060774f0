"""The checkpoints of the verdict's study: short fine-tunings with good and bad settings, and their mIoU.

`study` uses them; see there.
"""

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import Any

from leopart_mm.files import save_torch_whole, write_text_whole

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
METHODS = dict(leopart='leopart', neco='neco')
SEEDS = 5  # of the overclustering


@dataclass(frozen=True)
class Setting:
    """A short fine-tuning.

    Args:
        method: 'leopart' or 'neco'.
        lr: Learning rate of the backbone.
        head_lr: Learning rate of the head.
        seed: Seed of the run.
        options: Further options of the config, by dotted key.
        tag: What distinguishes it in the name.
    """

    method: str
    lr: float
    head_lr: float
    seed: int = 0
    options: tuple[tuple[str, Any], ...] = ()
    tag: str = ''

    @property
    def name(self) -> str:
        """A name for folders and tables."""
        return f'{self.method} {self.lr:g}/{self.head_lr:g}{f" {self.tag}" if self.tag else ""} seed {self.seed}'


PHOTOS = (
    Setting('leopart', 5e-5, 5e-4),
    Setting('leopart', 2e-4, 2e-3),
    Setting('leopart', 1e-3, 1e-3),
    Setting('leopart', 4e-3, 1e-3),
    Setting('leopart', 2e-4, 5e-4, 1, (('model.head.num_prototypes', 20), ), '20 prototypes'),
    Setting('neco', 1e-4, 1e-3),
    Setting('neco', 1e-3, 1e-3, 1),
)
FEW_PHOTOS = (
    Setting('leopart', 3e-4, 2e-3),
    Setting('leopart', 1e-3, 1e-3),
    Setting('leopart', 5e-5, 5e-4),
    Setting('leopart', 4e-3, 1e-3),
    Setting('leopart', 1e-4, 1e-3, 1, (('model.head.num_prototypes', 20), ), '20 prototypes'),
    Setting('neco', 3e-4, 1e-3),
)
SCENES = (
    Setting('leopart', 1e-3, 1e-3),
    Setting('leopart', 3e-4, 1e-3, 1),
    Setting('leopart', 1e-2, 1e-3, 2),
    Setting('leopart', 1e-3, 1e-3, 3, (('model.head.temperature', 0.5), ), 'temperature 0.5'),
)


@dataclass(frozen=True)
class StudyData:
    """A labelled data set of the study.

    Args:
        name: Its name in tables.
        train, test: Configs of training and of the overclustering evaluation.
        settings: The fine-tunings.
        steps: Training steps of each.
        kept: Steps after which a checkpoint is kept.
        options: Options of the training config for all of them.
        size: Size at which the numbers without labels see the images.
        seeds: Seeds of the overclustering.
    """

    name: str
    train: Mapping[str, Path]
    test: Path
    settings: tuple[Setting, ...]
    steps: int
    kept: tuple[int, ...]
    options: tuple[tuple[str, Any], ...] = ()
    size: int = 224
    seeds: int = SEEDS


LIGHT = (('train_dataloader.batch_size', 6), ('model.neck.hidden_channels', 512),
         ('train_dataloader.dataset.pipeline.1.sizes', (160, 80)))
LIGHTER = (('train_dataloader.batch_size', 4), *LIGHT[1:])
DATA = {
    'msrc21': StudyData('MSRC-21', {name: CONFIGS / f'msrc21/{name}_vit-tiny_msrc21.py' for name in METHODS},
                        CONFIGS / 'msrc21/overcluster_k100_vit-tiny_msrc21.py', PHOTOS, 40, (12, 40), LIGHT),
    'voc': StudyData('VOC subset', {name: CONFIGS / f'msrc21/{name}_vit-tiny_msrc21.py' for name in METHODS},
                     CONFIGS / 'msrc21/overcluster_k100_vit-tiny_msrc21.py', FEW_PHOTOS, 24, (8, 24), LIGHTER),
    'scenes': StudyData('generated scenes', dict(leopart=CONFIGS / 'sample/leopart_vit-micro_sample.py'),
                        CONFIGS / 'sample/overcluster_k50_vit-micro_sample.py', SCENES, 100, (20, 100), size=128),
}


def make_next(data: StudyData, data_root: Path, weights: Path, folder: Path, extra: Mapping[str, Path]) -> bool:
    """Train one more fine-tuning, or score checkpoints that have no score yet.

    Args:
        data: The data set and its fine-tunings.
        data_root: The data set, in VOC's layout.
        weights: File of the weights that all fine-tunings start from.
        folder: Its folder. ``<folder>/scores.json`` gets ``dict(name, step, checkpoint, miou, miou_std)`` per
            checkpoint, the start first.
        extra: Further checkpoints by name.

    Returns:
        Whether there was anything left to do.
    """
    file = folder / 'scores.json'
    rows = json.loads(file.read_text()) if file.is_file() else []
    done = {(row['name'], row['step']) for row in rows}
    wanted = [('start', 0, weights), *((name, 0, path) for name, path in extra.items())]
    for setting in data.settings:
        place = folder / setting.name.replace('/', '-').replace(' ', '_')
        files = [(setting.name, step, place / f'backbone_{step}.pth') for step in data.kept]
        wanted += files
        if all(path.is_file() for _, _, path in files):
            continue
        if all((name, step) in done for name, step, path in wanted if path.is_file()):
            _train(data, setting, data_root, weights, place)
        break
    left = [one for one in wanted if one[:2] not in done and one[2].is_file()]
    for name, step, path in left:
        rows.append(dict(name=name, step=step, checkpoint=str(path), **_score(data, data_root, path, folder / 'logs')))
        write_text_whole(file, json.dumps(rows, indent=1) + '\n')
        print(f'{data.name}: {name}, step {step}: mIoU {rows[-1]["miou"]:.2f}', flush=True)
    return bool(left)


def _train(data: StudyData, setting: Setting, data_root: Path, weights: Path, place: Path) -> None:
    """Fine-tune and keep the backbones; the start weights are read as the config's checkpoint."""
    import torch

    from leopart_mm.apis.runner_stages import own_config
    from leopart_mm.engine.cli import complete_loaders
    from leopart_mm.engine.config import load_config
    from leopart_mm.engine.console_runner import ConsoleRunner
    options = dict(data.options) | dict(setting.options) | {
        'data_root': str(data_root), 'model.backbone.checkpoint': str(weights), 'iterations': data.steps,
        'randomness.seed': setting.seed, 'optim_wrapper.optimizer.lr': setting.lr,
        'optim_wrapper.paramwise_cfg.head_lr': setting.head_lr}
    cfg = own_config(load_config(data.train[setting.method], options), place.name)
    cfg.work_dir, cfg.launcher = str(place), 'none'
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=1, by_epoch=False, save_optimizer=False)
    cfg.default_hooks.checkpoint.interval = gcd(*data.kept)
    cfg.default_hooks.pop('verdict', None)  # the study measures the checkpoints itself
    complete_loaders(cfg)
    ConsoleRunner.from_cfg(cfg).train()
    for file in place.glob('iter_*.pth'):
        step = int(file.stem.removeprefix('iter_'))
        if step in data.kept:
            state = torch.load(file, map_location='cpu', weights_only=False)['state_dict']
            backbone = {name: value for name, value in state.items() if name.startswith('backbone.')}
            save_torch_whole(dict(state_dict=deepcopy(backbone)), place / f'backbone_{step}.pth')
        file.unlink()


def _score(data: StudyData, data_root: Path, checkpoint: Path, logs: Path) -> dict[str, float]:
    """mIoU of the classes that occur, in percent, by overclustering of the val images, mean over seeds."""
    from leopart_mm.apis.runner_stages import own_config
    from leopart_mm.engine.cli import complete_loaders
    from leopart_mm.engine.config import load_config
    from leopart_mm.engine.console_runner import ConsoleRunner
    options = {'data_root': str(data_root), 'model.decode_head.seeds': data.seeds}
    cfg = own_config(load_config(data.test, options), 'score')
    cfg.work_dir, cfg.launcher, cfg.load_from = str(logs), 'none', str(checkpoint)
    complete_loaders(cfg)
    found = ConsoleRunner.from_cfg(cfg).test()
    return dict(miou=found['mIoU_occurring'], miou_std=found['mIoU_std'])
