"""Settings of a training that follow from the number of its images, where nobody gives them.

A config asks for it by ``by_images = [...]``, the names of its variables that may be chosen; `tools/train.py` counts
the images, chooses, and says what and why. Values given by ``--cfg-options``, or in a config file that inherits the one
with ``by_images``, always win; ``by_images=None`` leaves all as the config says.

| images | iterations | trainable | backbone_lr | crop_sizes |
|---|---|---|---|---|
| below 1000 | 40 passes, at least 200 | lora (rank 8) | 5 times the config's | global crops of at most 224 pixels |
| from 1000 | 40 passes, at most the config's | the config's | the config's | the config's |

A pass shows every image once; with several processes it has fewer steps. A backbone without pretrained weights is
trained whole, whatever the number. A run that is resumed keeps what it began with, though images were added since. An
adapter begins at 0 and takes larger steps for the same change of the weights, so its rate follows from `trainable` also
where that is given. What of this is measured stands in docs/small_folders.md; the thresholds are a choice.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner.checkpoint import find_latest_checkpoint

from leopart_mm.checkpoints.safe_reading import load_checkpoint_file
from leopart_mm.engine.config_variables import assigned_names
from leopart_mm.registry import DATASETS

BY_IMAGES = 'by_images'
FEW, PASSES, FEWEST_STEPS = 1000, 40, 200
ADAPTERS, ADAPTER_RATE, LARGEST_CROP = 'lora', 5., 224
# Where the variables take effect: another value there was given by a dotted key.
PLACES = dict(iterations='train_cfg.max_iters', trainable='model.backbone.trainable',
              backbone_lr='optim_wrapper.optimizer.lr')
PROCESSES = dict(pytorch='WORLD_SIZE', slurm='SLURM_NTASKS', mpi='OMPI_COMM_WORLD_SIZE')  # by launcher


@dataclass
class Choice:
    """What was chosen by the number of images.

    Args:
        images: Their number.
        options: Values by variable, as `--cfg-options` would give them.
        reasons: A phrase per value.
        kept: Variables that were given, and so stay.
        resumed: Variables that stay as the run that is resumed has them.
        batch: Images of a step.
    """

    images: int
    options: dict[str, Any] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    resumed: list[str] = field(default_factory=list)
    batch: int = 1

    def text(self) -> str:
        """The choice in words."""
        text = f'Chosen by the number of images ({self.images}): {"; ".join(self.reasons) or "nothing"}.'
        if self.kept:
            text += f' Given, so kept: {", ".join(self.kept)}.'
        if self.resumed:
            text += f' As in the run that is resumed: {", ".join(self.resumed)}.'
        if self.images < self.batch:
            text += f' A batch of {self.batch} shows images several times, in other crops.'
        return f'{text} --cfg-options NAME=VALUE sets each of them, by_images=None keeps what the config says.'


def choose_by_images(config: Config, given: Mapping[str, Any] | None = None,
                     resume: str | None = None) -> Choice | None:
    """What follows from the number of images of a training config; None if it does not ask.

    Args:
        config: The config as `load_config` gives it.
        given: The options that it was loaded with.
        resume: 'auto' or the checkpoint of the run that is resumed: what is not given stays as that run has it.
    """
    names = config.get(BY_IMAGES)
    if not names:
        return None
    explicit = {*(given or {}), *_assigned_by_heirs(Path(config.filename)), *_given_in_place(config)}
    earlier = _earlier_config(config, resume) if resume else None
    processes = int(os.environ.get(PROCESSES.get(config.get('launcher'), ''), 1))
    choice = Choice(count_images(config), batch=config.train_dataloader.batch_size * processes)
    trainable = config.model.backbone.get('trainable') if 'trainable' in explicit else None
    wanted = _values(config, choice.images, choice.batch, trainable)
    for name in names:
        if name in explicit:
            choice.kept.append(name)
        elif earlier is not None and name in earlier:
            choice.resumed.append(f'{name}={earlier[name]}')
            if earlier[name] != config.get(name):
                choice.options[name] = earlier[name]
        elif name in wanted and wanted[name][0] != config[name]:
            choice.options[name], reason = wanted[name]
            choice.reasons.append(f'{name}={choice.options[name]}, {reason}')
    return choice


def _given_in_place(config: Config) -> set[str]:
    """Variables whose place has another value than they have: it was given by a dotted key."""
    places = {name: _at(config, place) for name, place in PLACES.items()}
    steps = config.train_dataloader.dataset.get('pipeline') or ()
    places['crop_sizes'] = next((list(step['sizes']) for step in steps if 'sizes' in step), None)
    own = {name: config.get(name) for name in places}
    own['crop_sizes'] = own['crop_sizes'] and list(own['crop_sizes'])
    return {name for name, value in places.items() if None not in (value, own[name]) and value != own[name]}


def _earlier_config(config: Config, resume: str) -> Config | None:
    """The config of the run to be resumed, as its checkpoint holds it; None where there is no such file."""
    file = Path(resume)
    if resume == 'auto':
        latest = find_latest_checkpoint(config.work_dir)
        file = Path(config.work_dir) / Path(latest or '').name
    meta = load_checkpoint_file(file).get('meta') if file.is_file() else None
    text = meta.get('cfg') if isinstance(meta, Mapping) else None
    return Config.fromstring(text, '.py') if isinstance(text, str) else None


def _at(config: Config, place: str) -> Any:
    node: Any = config
    for part in place.split('.'):
        node = node.get(part) if isinstance(node, Mapping | Config) else None
    return node


def count_images(config: Config) -> int:
    """Number of images of the training data of a config."""
    with DefaultScope.overwrite_default_scope(config.get('default_scope', 'mmengine')):
        return len(DATASETS.build(dict(config.train_dataloader.dataset, pipeline=[], lazy_init=False)))


def _values(config: Config, images: int, batch: int, trainable: str | None) -> dict[str, tuple[Any, str]]:
    """Name -> (value, why), of all that may be chosen; what stays as the config says is left out."""
    found: dict[str, tuple[Any, str]] = {}
    if 'iterations' in config:
        steps = max(FEWEST_STEPS, -(-PASSES * images // batch))
        found['iterations'] = (min(config.iterations, steps), f'{PASSES} passes over the images in batches of {batch}, '
                               f'at least {FEWEST_STEPS} steps')
    backbone = config.model.backbone
    weights = backbone.get('checkpoint') or backbone.get('init_cfg') or config.get('load_from')
    if trainable is None and images < FEW and 'trainable' in backbone and weights:
        trainable = ADAPTERS
        found['trainable'] = trainable, f'fewer than {FEW} images would spoil a network that learns whole'
    if str(trainable).startswith(ADAPTERS) and 'backbone_lr' in config:
        found['backbone_lr'] = ADAPTER_RATE * config.backbone_lr, 'adapters begin at 0 and take larger steps'
    sizes = config.get('crop_sizes')
    if images < FEW and sizes and sizes[0] > LARGEST_CROP:
        found['crop_sizes'] = [LARGEST_CROP, *sizes[1:]], 'for a fraction of the time'
    return found


def _assigned_by_heirs(path: Path) -> set[str]:
    """Variables that a config file and its bases assign, down to the file that says `by_images`."""
    if path.suffix != '.py':
        return set()
    names = assigned_names(path.read_text(encoding='utf-8'))
    if BY_IMAGES in names:
        return set()
    for base in Config._get_base_files(str(path)):
        names |= _assigned_by_heirs(Path(Config._get_cfg_path(base, str(path))[0]))
    return names
