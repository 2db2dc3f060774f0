"""Fitting on a bare folder of images: the config that flags choose, and a fitted checkpoint that is kept."""

import gc
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.config import Config
from mmengine.logging import print_log

from leopart_mm.apis.checkpoint_config import config_of, has_config
from leopart_mm.apis.image_inputs import ImageInput, ImageList, list_images, named_images
from leopart_mm.apis.runner_stages import own_config
from leopart_mm.checkpoints.roles import FITTED, IN_WORDS, role_of
from leopart_mm.checkpoints.safe_reading import load_checkpoint_file
from leopart_mm.cli.shipped import shipped_folder
from leopart_mm.datasets.examples import Examples, read_examples
from leopart_mm.datasets.output_marks import FOLDER_OUTPUTS, mark_outputs, refuse_strangers
from leopart_mm.engine.cli import complete_loaders
from leopart_mm.engine.config import load_config
from leopart_mm.files import printable, write_text_whole
from leopart_mm.fingerprints import files_fingerprint, settings_fingerprint
from leopart_mm.folder_lock import lock_folder

if TYPE_CHECKING:
    from leopart_mm.models.fitting.stream import FeatureStream

BACKBONE = 'timm://vit_small_patch16_224.dino'  # where none is named: 87 MB, loaded once
CLUSTERS = 'leopart/overcluster/vits16_folder.py'
OBJECTS = 'leopart/fully_unsup/vits16_folder.py'
EXAMPLES = 'neco/retrieval/vits16_folder.py'
MAX_CLUSTERS = 2**16 - 1  # of PNGs of 16 bits, in which one number is for pixels without data
FITTED_FILE, RECORD, LIST, LOGS = 'fitted.pth', 'fit.json', 'images.txt', 'fit'
OF_NETWORK = ('type', 'arch', 'model_kwargs', 'pos_interp', 'in_chans', 'class_position', 'drop_registers', 'depth',
              'in_channels', 'rotary_qkv')


@dataclass
class FolderFit:
    """What is to be fitted.

    Args:
        config: The config, with the images in it.
        images: The images.
        examples: Images with masks, if it learns from such.
        listing: The list of images that the config names, to be written before the fit; None: it names a folder.
    """

    config: Config
    images: ImageList
    examples: Examples | None = None
    listing: Path | None = None

    def settings(self) -> dict[str, str]:
        """Fingerprints of all that decides the fit beside the images, by what people call it."""
        cfg, model = self.config, self.config.model
        parts = dict(network=(model.get('backbone'), model.get('data_preprocessor'), model.get('neck'),
                              cfg.get('load_from')),
                     clusters=(model.get('type'), model.get('decode_head')), stages=model.get('postprocessors'),
                     transforms=cfg.test_dataloader.dataset.pipeline)
        found = {name: settings_fingerprint(_plain(part)) for name, part in parts.items()}
        if self.examples is not None:
            found['examples'] = files_fingerprint(file for pair in self.examples.pairs for file in pair)
        return found


def plan_fit(inputs: ImageInput | Sequence[ImageInput], out: str | os.PathLike, backbone: str | None = None,
             checkpoint: str | os.PathLike | None = None, arch: str | None = None, clusters: int | None = None,
             objects: bool = False, examples: str | os.PathLike | None = None, config: str | Path | None = None,
             options: Mapping[str, Any] | None = None) -> FolderFit:
    """Choose the config, and put images, examples and network into it.

    Args:
        inputs: A folder, or a list of folders and files.
        out: Folder of the run, which stays as it is; a list of files will be kept there.
        backbone: Weights of a network, see ``backbone=`` of `load_config`. None: DINO's ViT-S/16.
        checkpoint: Instead, a checkpoint of a training run of ours, which says what network it holds.
        arch: timm's name of the network in a file.
        clusters: Number of clusters of CLUSTERS; None: that of the config.
        objects: Foreground and communities (OBJECTS) instead of clusters.
        examples: Folder of images with masks (EXAMPLES).
        config: A config instead of these three.
        options: Further options of the config.

    Raises:
        FileNotFoundError: If there is no image, no example, or no config.
        ValueError: If options exclude each other, or the checkpoint is fitted already.
    """
    images = list_images(inputs)
    chosen = [name for name, value in (('--clusters', clusters), ('--objects', objects), ('--examples', examples))
              if value]
    if len(chosen) > 1:
        raise ValueError(f'{" and ".join(chosen)}: choose one of them.')
    if clusters is not None and clusters < 2:
        raise ValueError(f'--clusters {clusters}: at least 2 are needed.')
    if clusters is not None and clusters > MAX_CLUSTERS:
        raise ValueError(f'--clusters {clusters}: label maps hold at most {MAX_CLUSTERS}.')
    if backbone is not None and checkpoint is not None:
        raise ValueError('--backbone and --checkpoint both name a network: give one of them.')
    given, listing = _image_options(inputs, images, Path(out).expanduser())
    found = None if examples is None else read_examples(examples)
    if found is not None:
        images = _without(images, (mask for _, mask in found.pairs), given['data_root'])
        given.update(examples=os.fspath(Path(examples).expanduser()), num_classes=len(found.classes))
    if clusters is not None:
        given.update(num_clusters=clusters)
    trained = None if checkpoint is None else _trained_network(checkpoint)
    if trained is None:
        given.update(backbone=os.fspath(checkpoint or backbone or BACKBONE))
        given.update({} if arch is None else dict(arch=arch))
    path = config or shipped_folder('configs') / (EXAMPLES if examples else OBJECTS if objects else CLUSTERS)
    cfg = load_config(path, given | dict(options or {}))
    if cfg.get('test_cfg') is None or cfg.get('model', {}).get('decode_head') is None:
        raise ValueError(f'{printable(path)} is no evaluation that is fitted: take one such as configs/{CLUSTERS}.')
    if trained is not None:
        cfg.model.backbone = {**cfg.model.backbone, 'model_kwargs': None, **trained['backbone']}
        cfg.model.data_preprocessor.update(trained['colours'])
        cfg.load_from = os.fspath(checkpoint)
    return FolderFit(cfg, images, found, listing)


def _image_options(inputs: Any, images: ImageList, out: Path) -> tuple[dict[str, Any], Path | None]:
    """Options that name the images, and the list of them that these need."""
    entries = [inputs] if isinstance(inputs, str | os.PathLike) else list(inputs)
    if len(entries) == 1 and os.path.isdir(os.path.expanduser(entries[0])):
        return dict(data_root=os.path.expanduser(os.fspath(entries[0]))), None
    root = os.path.commonpath([os.path.dirname(os.path.abspath(image)) for image in images.images])
    listing = (out / LOGS / LIST).absolute()
    return {'data_root': root, 'test_dataloader.dataset.ann_file': str(listing),
            'test_cfg.fit_dataloader.dataset.ann_file': str(listing)}, listing


def _without(images: ImageList, files: Iterable[str], root: str) -> ImageList:
    """A list of images below a folder without the masks of examples, which may lie among the images."""
    masks = set(map(os.path.realpath, files))
    kept = [image for image in images.images if os.path.realpath(image) not in masks]
    if len(kept) == len(images.images):
        return images
    found = named_images(kept, root)
    found.num_skipped = images.num_skipped + len(images.images) - len(kept)
    return found


def _trained_network(path: str | os.PathLike) -> dict[str, Any] | None:
    """Network and colour statistics of a checkpoint of ours; None for a file of weights, which does not say them."""
    loaded = load_checkpoint_file(os.path.expanduser(path))
    role = role_of(loaded)
    if role == FITTED:
        raise ValueError(f'{printable(path)} holds {IN_WORDS[FITTED]}: leave --fit out to segment with it, or name the '
                         'network that it was fitted on by --backbone.')
    if not has_config(loaded):
        return None
    model = config_of(loaded, f'The checkpoint {path}').model
    colours = {name: list(model.data_preprocessor[name]) for name in ('mean', 'std')
               if model.get('data_preprocessor', {}).get(name)}
    return dict(backbone={key: value for key, value in model.backbone.items() if key in OF_NETWORK}, colours=colours)


def fit_folder(fit: FolderFit, out: str | os.PathLike, overwrite: bool = False) -> 'tuple[Path, FeatureStream | None]':
    """Fit and keep the model in ``out/fitted.pth``, or take the one that was fitted there with the same settings.

    Images that came later do not count: they are segmented by the model that was fitted before, so that names of
    clusters stay.

    Args:
        fit: What is to be fitted.
        out: Folder of the run.
        overwrite: Fit in any case.

    Returns:
        The file, and the stream that it was fitted on, None where it was fitted before. The stream holds what is known
        of the images until it is closed.

    Raises:
        FolderInUseError: If another run writes there.
        ValueError: If `out` holds a model of other settings and `overwrite` is off, or files that no run wrote where
            this one writes; or if the images cannot be fitted on.
    """
    folder, settings = Path(out).expanduser(), fit.settings()
    file, record = folder / FITTED_FILE, folder / LOGS / RECORD
    before = _read_record(record) if file.is_file() else None
    if before is not None and not overwrite:
        changed = sorted(name for name in {*before, *settings} if before.get(name) != settings.get(name))
        if changed:
            raise ValueError(f'{printable(file)} was fitted with other settings ({", ".join(changed)}): choose another '
                             'folder, or fit again with --overwrite.')
        print_log(f'Using {printable(file)}, which was fitted with these settings before (--overwrite fits again).',
                  logger='current')
        return file, None
    refuse_strangers(folder, [FITTED_FILE, LOGS, *(name for name in FOLDER_OUTPUTS if name != 'names.yaml')])
    (folder / LOGS).mkdir(parents=True, exist_ok=True)
    lock = lock_folder(folder)
    mark_outputs(folder, [FITTED_FILE, LOGS])
    for old in (record, file):
        old.unlink(missing_ok=True)
    if fit.listing is not None:
        write_text_whole(fit.listing, ''.join(f'{os.path.abspath(image)}\n' for image in fit.images.images))
    stream = _fit(fit.config, folder, file)
    write_text_whole(record, json.dumps(settings, indent=1) + '\n')
    del lock
    return file, stream


def _fit(cfg: Config, folder: Path, file: Path) -> 'FeatureStream':
    from leopart_mm.engine.console_runner import ConsoleRunner
    cfg = own_config(cfg, LOGS)
    cfg.launcher, cfg.work_dir = 'none', str(folder / LOGS)
    cfg.test_evaluator = []
    cfg.test_cfg = dict(cfg.test_cfg, type='leopart_mm.FitTestLoop', only_fit=True, save_fitted=str(file))
    complete_loaders(cfg)
    runner = ConsoleRunner.from_cfg(cfg)
    runner.test()
    stream = runner.test_loop.stream
    del runner
    gc.collect()  # data workers
    return stream


def _read_record(path: Path) -> dict[str, str] | None:
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
