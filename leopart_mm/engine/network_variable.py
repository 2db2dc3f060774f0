"""`backbone=SOURCE [arch=NAME]`: one variable of a config that names the network, and the check that widths fit it."""

import logging
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mmengine.config import Config
from mmengine.logging import print_log

if TYPE_CHECKING:
    from leopart_mm.models.backbones.facts import BackboneFacts

DENSE_VIT = ('leopart_mm.DenseViT', 'DenseViT')
# What the variables of configs take from a network, beside `arch` and `checkpoint`.
FACTS = ('embed_dims', 'depth', 'patch_size', 'pos_interp', 'mean', 'std')


def network_variables(config: Config, options: Mapping[str, Any]) -> dict[str, Any]:
    """Values of the config's variables for the network that `backbone` or `arch` in `options` names.

    Args:
        config: The config as its files say; it names the architecture if `options` does not.
        options: Interpreted command-line options. `backbone` is a file, a folder of transformers, 'timm://NAME.TAG',
            'hf-hub:...' or a URL.

    Returns:
        `arch`, `checkpoint` and `FACTS`, without what is unknown (mean and std of a file) or is given in `options`.

    Raises:
        ValueError: If the config's backbone is no DenseViT, or if the network is unknown.
    """
    if 'backbone' not in options and 'arch' not in options:
        return {}
    source, arch = options.get('backbone'), options.get('arch')
    kind = config.get('model', {}).get('backbone', {}).get('type')
    if kind not in DENSE_VIT:
        name = 'backbone' if 'backbone' in options else 'arch'
        raise ValueError(f'--cfg-options {name}=...: the backbone of this config is {kind}, whose network the config '
                         'itself says; checkpoint=FILE names its weights.')
    if 'backbone' in options:
        facts = _facts_of(source, arch, config)
    else:
        from leopart_mm.models.backbones.facts import backbone_facts
        facts = backbone_facts(arch)
    values = {name: getattr(facts, name) for name in FACTS}
    values['arch'] = facts.arch
    if source is not None:
        values['checkpoint'] = source
    values = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
    return {name: value for name, value in values.items()
            if value is not None and (name not in options or name == 'arch')}


def _facts_of(source: str, arch: str | None, config: Config) -> 'BackboneFacts':
    from leopart_mm.checkpoints.sources import is_remote
    from leopart_mm.models.backbones.facts import backbone_facts, folder_arch  # loads timm
    if not isinstance(source, str) or not source:
        raise ValueError(f'--cfg-options backbone={source!r}: name weights, such as '
                         'timm://vit_small_patch16_224.dino or a file with arch=NAME.')
    of_config = '' if is_remote(source) or folder_arch(source) else config.model.backbone.get('arch', '')
    return backbone_facts(source, arch or of_config)


def use_network(config: Config, network: Mapping[str, Any]) -> None:
    """Put a network into the places for which the config has no variable, and take away arguments of the old one.

    Args:
        config: The config, loaded with the variables of `network`; changed in place.
        network: What `network_variables` returned.
    """
    model = config.model
    if model.backbone.pop('model_kwargs', None):
        print_log('model.backbone.model_kwargs belong to the network of the config and are left out.',
                  logger='current', level=logging.WARNING)
    model.backbone.arch = network['arch']
    for name in ('pos_interp', 'checkpoint'):
        if name in network and name not in config:
            model.backbone[name] = network[name]
    for name in ('mean', 'std'):
        if name in network and name not in config and model.get('data_preprocessor'):
            model.data_preprocessor[name] = network[name]
    if 'checkpoint' in network and config.get('train_dataloader') is None:
        config.load_from = network['checkpoint']  # nothing is trained, so MMEngine would not initialise the backbone
        model.backbone.checkpoint = None


def say_colours(config: Config, options: Mapping[str, Any]) -> None:
    """Say which mean and std are used where those of the weights are unknown, and warn where they are others.

    Args:
        config: The merged config.
        options: Interpreted command-line options; only weights that `backbone` or `checkpoint` names are looked at.
    """
    source = options.get('backbone', options.get('checkpoint'))
    preprocessor = config.get('model', {}).get('data_preprocessor')
    if not isinstance(source, str) or not preprocessor or config.model.backbone.get('type') not in DENSE_VIT:
        return
    from leopart_mm.checkpoints.sources import is_remote
    from leopart_mm.models.backbones.facts import backbone_facts
    used = f'mean={list(preprocessor.get("mean") or ())}, std={list(preprocessor.get("std") or ())}'
    if not is_remote(source) and '.' not in config.model.backbone.get('arch', ''):
        if 'backbone' in options:
            print_log(f'The colour statistics of {source} are not known: {used} of the config are used '
                      '(--cfg-options mean=... std=... sets others).', logger='current')
        return
    facts = backbone_facts(source, '' if is_remote(source) else config.model.backbone.arch)
    for name in ('mean', 'std'):
        known, value = getattr(facts, name), preprocessor.get(name)
        if known and value and any(abs(a - b) > 0.5 for a, b in zip(known, value, strict=True)):
            print_log(f'{source} was trained with {name}={list(known)}, the config uses {used}; '
                      f'--cfg-options backbone={source} sets what belongs to the weights.', logger='current',
                      level=logging.WARNING)


def check_widths(config: Config) -> None:
    """Compare the input widths that necks and heads state with the width of the config's DenseViT.

    Raises:
        ValueError: If one differs; the message names the key and both widths.
    """
    model = config.get('model')
    backbone = model.get('backbone') if isinstance(model, Mapping) else None
    if not isinstance(backbone, Mapping) or backbone.get('type') not in DENSE_VIT:
        return
    stated = list(_stated_widths(model))
    if not stated:
        return
    width = (backbone.get('model_kwargs') or {}).get('embed_dim')
    if width is None:
        from leopart_mm.models.backbones.facts import backbone_facts
        width = backbone_facts(backbone.get('arch', 'vit_small_patch16_224')).embed_dims
    for key, value in stated:
        if value != width:
            raise ValueError(
                f'{key}={value}, but the backbone {backbone.get("arch")} gives {width} channels. Choose the network by '
                '--cfg-options backbone=SOURCE or arch=NAME, which set the widths too, or set this key and '
                f'embed_dims={width} where the config has it.')


def _stated_widths(model: Mapping) -> Iterator[tuple[str, int]]:
    """Keys and values of all input widths that come straight from the backbone."""
    if 'neck' in model and 'in_channels' in (model['neck'] or {}):
        parts = {'model.neck': model['neck']}  # heads then see the neck's output
    else:
        heads = model.get('auxiliary_head') or []
        parts = {'model.decode_head': model.get('decode_head')}
        if isinstance(heads, Mapping):
            parts['model.auxiliary_head'] = heads
        else:
            parts.update({f'model.auxiliary_head.{index}': head for index, head in enumerate(heads)})
    for key, part in parts.items():
        channels = part.get('in_channels') if isinstance(part, Mapping) else None
        for value in channels if isinstance(channels, list | tuple) else [channels]:
            if isinstance(value, int):
                yield f'{key}.in_channels', value
