"""What is known of a backbone before it is built: sizes, colour statistics and position convention of its weights."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import timm
import torch
from torch import nn

from leopart_mm.checkpoints.sources import HUB_SCHEMES, TIMM_SCHEME, URL_SCHEMES
from leopart_mm.checkpoints.transformers_config import arch_of_folder
from leopart_mm.models.backbones.timm_vit import build_timm_vit
from leopart_mm.weight_folder import colours_in

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class BackboneFacts:
    """Facts about a ViT and, where they are named, about its weights.

    Args:
        arch: timm's model name, with the tag of the weights where it is known ('vit_small_patch16_224.dino').
        embed_dims: Channels of its feature maps.
        depth: Number of blocks.
        patch_size: Side of a patch in pixels.
        registers: Number of register tokens.
        mean: RGB mean with which the weights were trained, in 0..255; None if it is unknown.
        std: RGB standard deviation, in 0..255; None if it is unknown.
        pos_interp: 'dino' or 'timm', how the authors of the weights resize position embeddings (see
            `resize_positions`); None if no weights are named.
    """

    arch: str
    embed_dims: int
    depth: int
    patch_size: int
    registers: int
    mean: Colour | None = None
    std: Colour | None = None
    pos_interp: str | None = None


@lru_cache(maxsize=64)
def backbone_facts(name: str, arch: str = '') -> BackboneFacts:
    """Facts about the network that an arch or the place of its weights names; no weights are read or allocated.

    >>> facts = backbone_facts('timm://vit_small_patch16_224.dino')
    >>> facts.embed_dims, facts.patch_size, facts.mean, facts.pos_interp
    (384, 16, (123.675, 116.28, 103.53), 'dino')

    Args:
        name: A timm model name with or without tag, 'timm://NAME[.TAG]', 'hf-hub:OWNER/NAME', a URL, a file or a
            folder of transformers.
        arch: The timm model name, for files and for URLs that timm does not know. With a tag it also tells whose
            weights they are.

    Raises:
        ValueError: If no arch follows from `name` and none is given, or if it is no plain timm ViT.
    """
    arch = arch or weights_arch(name)
    if arch is None:
        raise ValueError(f"The network of '{name}' is unknown: name its timm architecture too, such as "
                         'arch=vit_small_patch16_224.')
    arch = _with_default_tag(arch) if name.startswith(TIMM_SCHEME) else arch
    with torch.device('meta'):
        vit = build_timm_vit(arch)
    mean, std = weights_colours(name, arch)
    return BackboneFacts(arch, vit.embed_dim, len(vit.blocks), vit.patch_embed.patch_size[0], _registers(vit), mean,
                         std, position_mode(arch))


def weights_arch(source: str) -> str | None:
    """The timm name, with tag, of the network whose weights `source` names; None if it does not tell.

    Only a Hugging Face repository of another owner than timm is looked up; nothing else needs a connection.

    >>> weights_arch('https://dl.fbaipublicfiles.com/dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth')
    'vit_small_patch14_dinov2.lvd142m'
    >>> weights_arch('weights/dino.pth') is None
    True

    Raises:
        ValueError: If a repository cannot be looked up.
    """
    if source.startswith(HUB_SCHEMES):
        return _timm_repository(source) or _hub_arch(source)
    if source.startswith(TIMM_SCHEME):
        return source.removeprefix(TIMM_SCHEME) or None
    if source.startswith(URL_SCHEMES):
        return next((name for name in timm.list_pretrained(['vit_*', 'deit*', 'eva*'])
                     if timm.get_pretrained_cfg(name).url == source), None)
    if (arch := folder_arch(source)) is not None:
        return arch
    is_known = _pretrained_cfg(source) is not None or ('.' not in source and timm.is_model(source))
    return source if is_known else None


def folder_arch(source: str) -> str | None:
    """The timm name, with tag, of the network in a folder of transformers; None for any other source.

    The tag says how position embeddings are resized; whose weights they are, the folder does not tell.
    """
    arch = arch_of_folder(source)
    return None if arch is None else _with_default_tag(arch)


def weights_colours(source: str | None, weights: str) -> tuple[Colour | None, Colour | None]:
    """RGB mean and standard deviation (0..255): those in a folder of transformers, or else of timm's `weights`."""
    return (colours_in(Path(source).expanduser()) if source else None) or colour_statistics(weights)


def named_weights(checkpoint: str | None, arch: str) -> str:
    """The timm name of the weights that a checkpoint names, with tag where it tells; else `arch`.

    Nothing is looked up: building a network needs no connection.
    """
    if checkpoint is None:
        return arch
    if checkpoint.startswith(HUB_SCHEMES):
        return _timm_repository(checkpoint) or arch
    if checkpoint.startswith(TIMM_SCHEME):
        return _with_default_tag(weights_arch(checkpoint) or arch)
    return (weights_arch(checkpoint) if checkpoint.startswith(URL_SCHEMES) else folder_arch(checkpoint)) or arch


def colour_statistics(arch: str) -> tuple[Colour | None, Colour | None]:
    """RGB mean and standard deviation (0..255) of the weights that an arch names.

    Without a tag they are known only if all of timm's weights for the arch agree: DINO and ImageNet-21k weights of one
    arch were trained with different ones.

    >>> colour_statistics('vit_small_patch16_224.augreg_in21k')[0]
    (127.5, 127.5, 127.5)
    >>> colour_statistics('vit_small_patch16_224')
    (None, None)
    """
    base, _, tag = arch.partition('.')
    names = [arch] if tag else timm.list_pretrained(f'{base}.*')
    found = {(tuple(cfg.mean), tuple(cfg.std)) for name in names if (cfg := _pretrained_cfg(name)) is not None}
    if len(found) != 1:
        return None, None
    mean, std = found.pop()
    return _to_bytes(mean), _to_bytes(std)


def _registers(vit: nn.Module) -> int:
    return 0 if (token := getattr(vit, 'reg_token', None)) is None else token.shape[1]


def _to_bytes(colour: Colour) -> Colour:
    return tuple(round(255 * value, 4) for value in colour)


def position_mode(arch: str) -> str | None:
    """How the authors of the weights that an arch names resize position embeddings; None if no weights are named.

    Those of timm's Eva (EVA-02, Perception Encoder, RoPE-ViT) are resized as timm does; DINOv3 has none.
    """
    base, _, tag = arch.partition('.')
    if timm.models.is_model_in_modules(base, {'eva'}):
        return 'timm'
    if _pretrained_cfg(arch) is None or not tag:
        return None
    is_dino = tag == 'dino' or ('dinov2' in base and '_reg' not in base)
    return 'dino' if is_dino else 'timm'


def _with_default_tag(arch: str) -> str:
    """timm's name without tag stands for its first weights."""
    base, _, tag = arch.partition('.')
    cfg = _pretrained_cfg(arch)
    if cfg is None and tag and timm.is_model(base):
        known = ', '.join(timm.list_pretrained(f'{base}.*')) or 'none'
        raise ValueError(f"timm knows no weights '{arch}'. Of this network it has: {known}.")
    return f'{cfg.architecture}.{cfg.tag}' if cfg is not None and cfg.tag else arch


def _pretrained_cfg(arch: str):
    try:
        return timm.get_pretrained_cfg(arch)
    except RuntimeError:  # an unknown tag
        return None


def _timm_repository(source: str) -> str | None:
    """The name of a model in timm's own repositories, which are called like its models."""
    owner, _, model = source.partition(':')[2].partition('/')
    return model.partition('@')[0] if owner == 'timm' else None


def _hub_arch(source: str) -> str:
    try:
        cfg, name, _ = timm.models.load_model_config_from_hf(source.partition(':')[2])
    except Exception as error:  # hub libraries raise many kinds
        raise ValueError(f"The network of '{source}' could not be looked up ({type(error).__name__}: {error}). Name "
                         'its timm architecture too, such as arch=vit_small_patch16_224.') from error
    return f'{name}.{cfg["tag"]}' if cfg.get('tag') else name
