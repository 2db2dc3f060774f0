"""Where weights come from: a file, timm's registry, a Hugging Face repository, a URL, or an object in memory."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import timm
import torch

from leopart_mm.checkpoints.safe_reading import BackboneCheckpointError, load_checkpoint_file
from leopart_mm.checkpoints.transformers_config import check_config
from leopart_mm.weight_folder import config_beside

TIMM_SCHEME = 'timm://'
HUB_SCHEMES = ('hf-hub:', 'hf_hub:')
URL_SCHEMES = ('http://', 'https://')


def is_remote(source: str) -> bool:
    """Whether the text names weights on a hub or server.

    >>> is_remote('timm://vit_small_patch16_224.dino'), is_remote('weights/dino.pth')
    (True, False)
    """
    return source.startswith((TIMM_SCHEME, *HUB_SCHEMES, *URL_SCHEMES))


def describe_source(source: Any) -> str:
    """What messages call the place of weights."""
    if isinstance(source, (str, os.PathLike)):
        return str(source)
    return 'the given state dict' if isinstance(source, Mapping) else f'the given {type(source).__name__}'


def read_checkpoint(source: Any, arch: str = '') -> Any:
    """Read a checkpoint; anything but a path, a text or an open file is returned as it is.

    Args:
        source: A file, a folder of transformers (see `load_checkpoint_file`), 'timm://NAME[.TAG]' (timm's own weights
            of this name), 'hf-hub:OWNER/NAME', a URL, an open binary file, or a state dict.
        arch: The timm model that 'timm://' without a name stands for; messages suggest it.

    Raises:
        BackboneCheckpointError: If a hub or URL cannot be reached, or timm does not know the name.
        FileNotFoundError: If the file does not exist.
        RuntimeError: If the file cannot be read as a checkpoint.
    """
    if not isinstance(source, (str, os.PathLike)):
        return load_checkpoint_file(source) if hasattr(source, 'read') else source
    text = str(source)
    if text.startswith(TIMM_SCHEME):
        return _from_timm(text, text.removeprefix(TIMM_SCHEME) or arch)
    if text.startswith(HUB_SCHEMES):
        return _from_hub(text, text, text.replace('_', '-', 1) if text.startswith('hf_hub') else text)
    if text.startswith(URL_SCHEMES):
        return _from_url(text)
    try:
        if (config := config_beside(Path(text).expanduser())) is not None:
            check_config(config, text)
        return load_checkpoint_file(source)
    except FileNotFoundError as error:
        if os.path.isdir(source):
            raise
        hub = f" or timm://{arch} to download timm's" if arch else ''
        raise FileNotFoundError(f'{error} Name yours (--cfg-options checkpoint=FILE){hub}; checkpoint=None starts from '
                                'random weights.') from None


def _from_timm(text: str, name: str) -> dict[str, torch.Tensor]:
    base = name.partition('.')[0]
    known = timm.list_pretrained(f'{base}.*') if timm.is_model(base) else []
    try:
        cfg = timm.get_pretrained_cfg(name)
    except RuntimeError:  # an unknown tag
        cfg = None
    if cfg is None or not known:
        raise BackboneCheckpointError(
            f"timm has no weights '{name}'. " + (f'Of {base} it has: {", ".join(known)}.' if known else
                                                 "`timm.list_pretrained('vit*')` lists all."))
    place = cfg.url or f'https://huggingface.co/{cfg.hf_hub_id}'
    return _from_hub(text, name, f'{place} (arch={cfg.architecture})')


def _from_hub(text: str, name: str, place: str) -> dict[str, torch.Tensor]:
    try:
        return timm.create_model(name, pretrained=True, num_classes=0).state_dict()
    except Exception as error:  # hub libraries raise many kinds
        raise _unreachable(text, error, place) from error


def _from_url(url: str) -> Any:
    """Download into torch's cache, under a name that no other URL gets, and read the file as any other."""
    name = Path(urlsplit(url).path).name or 'weights'
    digest = hashlib.sha256(url.encode()).hexdigest()[:8]
    target = Path(torch.hub.get_dir()) / 'checkpoints' / f'{digest}-{name}'
    if target.exists():
        return load_checkpoint_file(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(target))
    except Exception as error:
        raise _unreachable(url, error, url) from error
    try:
        return load_checkpoint_file(target)
    except Exception:
        target.unlink(missing_ok=True)  # such as a log-in page: fetch it again next time
        raise


def _unreachable(text: str, error: Exception, place: str) -> BackboneCheckpointError:
    return BackboneCheckpointError(
        f"The weights '{text}' could not be fetched ({type(error).__name__}: {error}). Without a connection, download "
        f'{place} on another machine and name the file: checkpoint=FILE arch=NAME, NAME being the timm architecture.')
