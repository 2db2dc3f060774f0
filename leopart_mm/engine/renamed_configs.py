"""Config files that were renamed: commands with an old name find the file under its new one."""

import logging
import re
from pathlib import Path

from mmengine.logging import print_log

from leopart_mm.cli.shipped import shipped_folder

# Patterns of old paths below configs/, and what they are called now. Evaluations that differed in their checkpoint
# became one file; where the checkpoint is a default of the config (probes), `CHECKPOINTS` keeps it for the old name.
_NETWORK = r'(?:dino|sup|random|leopart|leopart-sup|leopart-mae|mae)-'
RENAMED = (
    (r'leopart/overcluster/(?:leopart-)?mocov3-vits16_(.+)', r'leopart/overcluster/vits16-12heads_\1'),
    (r'leopart/overcluster/[a-z0-9]+-r50_(.+)', r'leopart/overcluster/r50_\1'),
    (rf'leopart/overcluster/{_NETWORK}(vit[sb]\d+)(?:-coco|-in100)?_(.+)', r'leopart/overcluster/\1_\2'),
    (r'leopart/linear_(?:mocov2|densecl|maskcontrast)-r50_voc', r'leopart/linear/r50_voc_lr-0.1'),
    (r'leopart/linear_(?:sup|swav)-r50_voc', r'leopart/linear/r50_voc'),
    (r'leopart/(linear|fcn)_(?:leopart|dino)-(vit\w+)_(.+)', r'leopart/\1/\2_\3'),
    (r'leopart/(upernet|setr-pup|segmenter|dpt|mask2former)_leopart-(.+)', r'leopart/decoders/\1_\2'),
    (r'leopart/fully_unsup_(cbfe|k150)_(.+)', r'leopart/fully_unsup/\2_\1'),
    (r'leopart/fully_unsup_(.+)', r'leopart/fully_unsup/\1'),
    (r'neco/overcluster/overcluster_neco-(vits16_.+)', r'leopart/overcluster/\1'),
    (r'neco/(?P<task>overcluster|linear|retrieval)/(?P=task)_neco-(.+)', r'neco/\1/\2'),
    (r'neco/fully_unsup_neco-(.+)', r'neco/fully_unsup/\1'),
    (r'_base_/models/(dpt|fcn|linear|mask2former|segmenter|setr-pup|upernet)_densevit-s16', r'_base_/models/\1'),
    (r'_base_/models/(leopart|overcluster)_vits16', r'_base_/models/\1'),
    (r'_base_/models/(neco|retrieval)_vits14', r'_base_/models/\1'),
)
CHECKPOINTS = {
    'linear_dino-vits16_voc': 'checkpoints/dino_deitsmall16_pretrain.pth',
    'linear_densecl-r50_voc': 'checkpoints/densecl_r50_imagenet_200ep.pth',
    'linear_maskcontrast-r50_voc': 'checkpoints/VOCSegmentation_unsupervised_saliency_model.pth.tar',
    'linear_swav-r50_voc': 'checkpoints/swav_800ep_pretrain.pth.tar',
}


def find_config(path: str | Path) -> tuple[Path, dict[str, str]]:
    """The config file at `path`, or the one that an old name of ours means now, and options that the old name implies.

    A name `configs/...` or `leopart_mm::...` that is no file here is looked up in the checkout or the installed wheel.

    Raises:
        FileNotFoundError: If there is neither; the message names close files of the folder.
    """
    path = Path(path).expanduser()
    if path.is_file():
        return path, {}
    shipped = shipped_config(path.as_posix())
    if shipped is not None and shipped.is_file():
        return shipped, {}
    new = new_name((shipped or path).as_posix())
    if new is not None and Path(new).is_file():
        print_log(f'{path} is called {new} now.', logger='current', level=logging.WARNING)
        return Path(new), {'checkpoint': CHECKPOINTS[path.stem]} if path.stem in CHECKPOINTS else {}
    raise FileNotFoundError(f'There is no config file {path}. Configs lie under configs/; give the path to one.')


def shipped_config(path: str) -> Path | None:
    """Where a config of ours lies that is named from another folder: `configs/...` or `leopart_mm::...`.

    Returns:
        The path below the configs of the checkout or the wheel, whether there is a file or not; None for other names.
    """
    for prefix in ('leopart_mm::', 'configs/'):
        if path.startswith(prefix):
            return shipped_folder('configs') / path.removeprefix(prefix)
    return None


def new_name(path: str) -> str | None:
    """What a renamed config is called now; None if it was not renamed.

    >>> new_name('configs/neco/linear/linear_neco-vits14_voc.py')
    'configs/neco/linear/vits14_voc.py'
    """
    for old, new in RENAMED:
        if (found := re.search(rf'(?:^|/)({old})\.py$', path)) is not None:
            return f'{path[:found.start(1)]}{re.sub(old, new, found[1])}.py'
    return None
