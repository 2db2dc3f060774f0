"""PriMaPs-EM from images to segments in one run: proposals, prototypes by k-means, EM, scores; each a Stage."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log

from leopart_mm.apis.generate_masks import generate_masks
from leopart_mm.apis.runner_stages import (
    TESTED_BY,
    TRAINED_BY,
    data_fingerprint,
    mask_settings_of,
    own_config,
    settings_of,
    test,
    train,
)
from leopart_mm.apis.stages import Outcome, Stage, run_stages
from leopart_mm.engine.config import load_config
from leopart_mm.files import printable
from leopart_mm.folder_lock import lock_folder

PROPOSALS, INITIALISATION, EM, RESULT = 'proposals', 'initialisation', 'em', 'result'
OF_EM = ('epochs', 'train_cfg', 'initialisation', 'init_epochs', 'proposals', 'proposal_folder', 'proposal_dataloader')


@dataclass(frozen=True)
class PriMaPsConfigs:
    """The configs of a run.

    Args:
        em: Of PriMaPs-EM, the proposals and the test.
        initialisation: Of the k-means that gives the first prototypes; None where they come with the weights (STEGO,
            HP).
    """

    em: Config
    initialisation: Config | None


def load_configs(path: str | Path, options: Mapping[str, Any] | None = None) -> PriMaPsConfigs:
    """Read the config of PriMaPs-EM and the one of its initialisation, which it names.

    The variable ``initialisation`` is the path of a config beside it, `init_epochs` its length. Options are for both,
    but for those that only EM has (``epochs``, ``proposals...``).

    Args:
        path: The config file.
        options: Command-line options, see `load_config`.

    Raises:
        ValueError: If it is no config of PriMaPs-EM.
    """
    options = dict(options or {})
    em = load_config(path, options)
    missing = [key for key in ('proposals', 'proposal_dataloader', 'proposal_folder', 'train_cfg', 'test_cfg')
               if em.get(key) is None]
    if missing:
        raise ValueError(f'{path} has no {", ".join(missing)}: this run needs a config of PriMaPs-EM, such as '
                         'configs/primaps/primaps_dino-vits8_folder.py.')
    if em.get('initialisation') is None:
        return PriMaPsConfigs(em, None)
    shared = {key: value for key, value in options.items() if key.partition('.')[0] not in OF_EM}
    return PriMaPsConfigs(em, load_config(Path(em.filename).parent / em.initialisation,
                                          shared | dict(epochs=em.init_epochs)))


def primaps_stages(configs: PriMaPsConfigs, workers: int | None = None) -> list[Stage]:
    """The stages of a run: proposals, the first prototypes, EM, and the test of its last checkpoint.

    Args:
        configs: The configs.
        workers: See `run_primaps`.

    Raises:
        FileNotFoundError: If the data are missing.
    """
    em, first = configs.em, configs.initialisation
    images = data_fingerprint(em, 'proposal_dataloader')
    training = data_fingerprint(em, 'train_dataloader')
    paths = [em.get('data_root'), em.get('val_data_root'), em.get('proposal_folder'), em.get('load_from')]
    stages = [Stage(PROPOSALS, partial(_propose, em, workers), mask_settings_of(em, paths), dict(images=images))]
    inputs: dict[str, Any] = dict(images=training)
    if first is not None:
        stages.append(Stage(INITIALISATION, partial(train, first, None), settings_of(first, TRAINED_BY, paths),
                            dict(images=data_fingerprint(first, 'train_dataloader'))))
        inputs[INITIALISATION] = stages[-1]
    stages.append(Stage(EM, partial(train, em, _use_earlier), settings_of(em, TRAINED_BY, paths),
                        inputs | {PROPOSALS: stages[0]}))
    stages.append(Stage(RESULT, partial(test, em, _use_trained), settings_of(em, TESTED_BY, paths),
                        {EM: stages[-1], 'images': data_fingerprint(em, 'test_dataloader')}, outputs=['model.pth']))
    return stages


def run_primaps(configs: PriMaPsConfigs, folder: Path, workers: int | None = None) -> dict[str, Outcome]:
    """Run the stages that are not finished; each has a folder of its name.

    Args:
        configs: The configs.
        folder: Folder of the run.
        workers: Processes that sharpen proposals; None: one per CPU core. The result does not depend on it.

    Raises:
        FolderInUseError: If another run writes there.
        FileNotFoundError: If the data are missing.
    """
    lock = lock_folder(folder)
    outcomes = run_stages(primaps_stages(configs, workers), folder)
    del lock
    return outcomes


def _propose(cfg: Config, workers: int | None, folder: Path, before: Mapping[str, Any]) -> dict[str, int]:
    """Make the proposals, of the plain features also where EM runs on codes."""
    cfg = own_config(cfg, folder.name)
    cfg.model.neck = None
    report = generate_masks(cfg, folder / 'maps', workers=workers)
    if report.corrupt:
        path, reason = report.corrupt[0]
        print_log(f'{len(report.corrupt)} images cannot be read and have no proposals, such as {printable(path)} '
                  f'({reason}).', logger='current', level=logging.WARNING)
    return dict(images=len(report.masks), masks=sum(report.masks.values()), without_masks=len(report.empty))


def _use_earlier(cfg: Config, folder: Path, before: Mapping[str, Any]) -> None:
    """Let EM read the proposals of this run and start from its prototypes."""
    for step in cfg.train_dataloader.dataset.pipeline:
        if step['type'] == 'leopart_mm.LoadProposals':
            step['folder'] = str(folder / PROPOSALS / 'maps')
    if INITIALISATION in before:
        cfg.load_from = str(folder / INITIALISATION / before[INITIALISATION]['checkpoint'])


def _use_trained(cfg: Config, folder: Path, before: Mapping[str, Any]) -> None:
    """Test the checkpoint of EM that counts: the last one, or the best where the config asks (``save_best``)."""
    cfg.load_from = str(folder / EM / before[EM]['checkpoint'])
