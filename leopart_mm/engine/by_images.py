"""Settings of a training that follow from the number of its images, where nobody gives them.

A config asks for it by ``by_images = [...]``, the names of its variables that may be chosen; `tools/train.py` counts
the images, chooses, and says what and why. Values given by ``--cfg-options``, or in a config file that inherits the one
with ``by_images``, always win; ``by_images=None`` leaves all as the config says.

| images | iterations | trainable | backbone_lr | crop_sizes |
|---|---|---|---|---|
| below 1000 | 40 passes, at least 200 | lora (rank 8) | 5 times the config's | global crops of at most 224 pixels |
| from 1000 | 40 passes, at most the config's | the config's | the config's | the config's |

A pass shows every image once. A backbone without pretrained weights is trained whole, whatever the number. An adapter
begins at 0 and takes larger steps for the same change of the weights, so its rate follows from `trainable` also where
that is given. What of this is measured is in benchmarks/small_folders.py; passes and crops are a choice.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import DefaultScope

from leopart_mm.engine.config_variables import assigned_names
from leopart_mm.registry import DATASETS

BY_IMAGES = 'by_images'
FEW, PASSES, FEWEST_STEPS = 1000, 40, 200
ADAPTERS, ADAPTER_RATE, LARGEST_CROP = 'lora', 5., 224


@dataclass
class Choice:
    """What was chosen by the number of images.

    Args:
        images: Their number.
        options: Values by variable, as `--cfg-options` would give them.
        reasons: A phrase per value.
        kept: Variables that were given, and so stay.
    """

    images: int
    options: dict[str, Any] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    def text(self) -> str:
        """The choice in words."""
        text = f'Chosen by the number of images ({self.images}): {"; ".join(self.reasons) or "nothing"}.'
        if self.kept:
            text += f' Given, so kept: {", ".join(self.kept)}.'
        return f'{text} --cfg-options NAME=VALUE sets each of them, by_images=None keeps what the config says.'


def choose_by_images(config: Config, given: Mapping[str, Any] | None = None) -> Choice | None:
    """What follows from the number of images of a training config; None if it does not ask.

    Args:
        config: The config as `load_config` gives it.
        given: The options that it was loaded with.
    """
    names = config.get(BY_IMAGES)
    if not names:
        return None
    explicit = {*(given or {}), *_assigned_by_heirs(Path(config.filename))}
    backbone = config.model.backbone
    if backbone.get('trainable') != config.get('trainable'):
        explicit.add('trainable')  # by a dotted key
    choice = Choice(count_images(config))
    wanted = _values(config, choice.images, backbone.get('trainable') if 'trainable' in explicit else None)
    for name in names:
        if name in explicit:
            choice.kept.append(name)
        elif name in wanted and wanted[name][0] != config[name]:
            choice.options[name], reason = wanted[name]
            choice.reasons.append(f'{name}={choice.options[name]}, {reason}')
    return choice


def count_images(config: Config) -> int:
    """Number of images of the training data of a config."""
    with DefaultScope.overwrite_default_scope(config.get('default_scope', 'mmengine')):
        return len(DATASETS.build(dict(config.train_dataloader.dataset, pipeline=[], lazy_init=False)))


def _values(config: Config, images: int, trainable: str | None) -> dict[str, tuple[Any, str]]:
    """Name -> (value, why), of all that may be chosen; what stays as the config says is left out."""
    found: dict[str, tuple[Any, str]] = {}
    if 'iterations' in config:
        steps = max(FEWEST_STEPS, -(-PASSES * images // config.train_dataloader.batch_size))
        found['iterations'] = (min(config.iterations, steps), f'{PASSES} passes over the images in batches of '
                               f'{config.train_dataloader.batch_size}, at least {FEWEST_STEPS} steps')
    if trainable is None and images < FEW and 'trainable' in config.model.backbone and (
            config.model.backbone.get('checkpoint') is not None):
        trainable = ADAPTERS
        found['trainable'] = trainable, f'fewer than {FEW} images would spoil a network that learns whole'
    if (trainable or '').startswith(ADAPTERS) and 'backbone_lr' in config:
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
