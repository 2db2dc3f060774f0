"""Table 5 of the Leopart paper, row by row: names, settings, checkpoints (docs/methods/leopart.md §15)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config, ConfigDict

from leopart_mm.models.fitting.chain import named_stages
from leopart_mm.weight_folder import has_weights

PROTOCOLS = ('label-free', 'published')


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Args:
        name: Short name, used on the command line and for folders.
        title: Title in the paper.
        checkpoint: Name of the checkpoint that it needs.
        paper: mIoU in the paper, in percent.
        reproduction: mIoU of the reproduction (mean of 20 runs); None: not run.
        note: Explanation of what the number measures.
    """

    name: str
    title: str
    checkpoint: str
    paper: float
    reproduction: float | None
    note: str


ROWS = (
    Row('k150', 'K=150', 'leopart', 48.8, None, 'foreground clusters, each given to its best class (upper bound)'),
    Row('dino', 'DINO', 'dino', 4.6, 4.5, 'k-means of DINO features, as many clusters as classes'),
    Row('leopart', '+ Leopart', 'leopart', 18.9, 18.0, 'the same of features fine-tuned by Leopart'),
    Row('cbfe', '+ CBFE', 'leopart', 36.6, 35.6, 'foreground clusters and the background'),
    Row('cd', '+ CD', 'leopart', 41.7, 35.2, 'communities of foreground clusters'),
)


def row_config(base: Config, row: Row, checkpoint: str, seeds: int, num_classes: int, protocol: str = 'label-free',
               dino: str | None = None) -> Config:
    """The config of a row from that of "+CD".

    Args:
        base: Config with the stages `foreground` (CBFE), `clusters` and `communities` after the head.
        row: The row of the table.
        checkpoint: File of its weights.
        seeds: Number of seeds: of k-means, or for "+CD" of Infomap.
        num_classes: Number of classes, C. The rows have C clusters (background included); communities are drawn to
            C - 1.
        protocol: 'published' lets CBFE look at ground truth of the train split for its threshold.
        dino: Weights whose attention gives the noisy masks in the published protocol.

    Raises:
        ValueError: If the protocol is unknown, or needs DINO weights that were not given.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f'protocol {protocol!r} is unknown; there are: {", ".join(PROTOCOLS)}.')
    cfg = Config(ConfigDict(base._cfg_dict.to_dict()))
    cfg.load_from = checkpoint
    cfg.launcher = cfg.get('launcher', 'none')
    stages = cfg.model.postprocessors = ConfigDict(named_stages(cfg.model.postprocessors))
    if row.name in ('dino', 'leopart'):
        cfg.model.postprocessors = {}
        cfg.model.decode_head.update(num_clusters=num_classes, seeds=seeds, spherical=False)
        cfg.test_cfg.fit_dataloader = None  # these rows cluster the val images alone
        return cfg
    if protocol == 'published':
        if dino is None:
            raise ValueError('The published protocol reads noisy masks of DINO: give --checkpoints dino=FILE too.')
        backbone = dict(cfg.model.backbone, checkpoint=str(dino))
        stages.foreground.update(threshold='published', threshold_split='train', per_split=True)
        stages.foreground.masks = dict(stages.foreground.get('masks', dict(type='leopart_mm.AttentionMasks')),
                                       backbone=backbone)
    if row.name == 'cd':
        stages.communities.update(seeds=seeds, preferred_modules=max(1, num_classes - 1))
        return cfg
    del stages['communities']
    if row.name == 'cbfe':
        stages.clusters.update(num_clusters=max(1, num_classes - 1))
    else:
        cfg.test_evaluator.matching = 'precision'
    stages.clusters.update(seeds=seeds)
    return cfg


def parse_checkpoints(values: Sequence[str]) -> dict[str, str]:
    """``name=FILE`` arguments as a dict; names are those that rows need.

    Raises:
        ValueError: If an argument is not of this form, or its name is unknown.
        FileNotFoundError: If a file does not exist.
    """
    known = sorted({row.checkpoint for row in ROWS})
    found: dict[str, str] = {}
    for value in values:
        name, separator, path = value.partition('=')
        if not separator or name not in known:
            raise ValueError(f'--checkpoints {value}: give {" and ".join(f"{name}=FILE" for name in known)}.')
        if not has_weights(Path(path).expanduser()):
            raise FileNotFoundError(f'The checkpoint {name}={path} does not exist.')
        found[name] = str(Path(path).expanduser())
    return found


def choose_rows(names: Sequence[str] | None, checkpoints: Mapping[str, str]) -> tuple[list[Row], dict[str, str]]:
    """Rows to run, and the reason for each row that is left out.

    Raises:
        ValueError: If a row is unknown, a row that was asked for lacks its checkpoint, or nothing is left to run.
    """
    unknown = set(names or ()) - {row.name for row in ROWS}
    if unknown:
        raise ValueError(f'There is no row {", ".join(sorted(unknown))}; there are: '
                         f'{", ".join(row.name for row in ROWS)}.')
    rows, left_out = [], {}
    for row in ROWS:
        if names and row.name not in names:
            left_out[row.name] = 'not asked for'
        elif row.checkpoint in checkpoints:
            rows.append(row)
        elif names:
            raise ValueError(f'The row {row.name} needs --checkpoints {row.checkpoint}=FILE.')
        else:
            left_out[row.name] = f'needs --checkpoints {row.checkpoint}=FILE'
    if not rows:
        raise ValueError('There is nothing to run: give --checkpoints dino=FILE leopart=FILE.')
    return rows, left_out
