"""Saving a fitted segmentor as an ordinary MMEngine checkpoint."""

import os
import time
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import mmengine
from mmengine.config import Config
from mmengine.dist import master_only
from mmengine.logging import print_log
from mmengine.runner.checkpoint import weights_to_cpu
from torch import Tensor

from leopart_mm.files import save_torch_whole
from leopart_mm.palette import distinct_colours


def cluster_meta(num_labels: int) -> dict[str, Any]:
    """Names and colours of clusters, as `dataset_meta` of a checkpoint: visualisers paint every cluster."""
    return dict(
        classes=tuple(f'cluster {index}' for index in range(num_labels)), palette=distinct_colours(num_labels).tolist())


@master_only
def save_fitted_checkpoint(model: Any, path: str | os.PathLike, cfg: Config | None = None, seed: int | None = None,
                           state: dict[str, Tensor] | None = None, dataset_meta: dict[str, Any] | None = None,
                           value_range: tuple[float, float] | None = None, nodata: float | None = None) -> None:
    """Write the model's state with names and colours of its labels, as a whole file or not at all.

    Args:
        model: A fitted UnsupervisedSegmentor.
        path: The file; its folder is made if it does not exist.
        cfg: The config, stored in the checkpoint so that it can be used without the config file.
        seed: Seed of the run.
        state: State of the model; None: its `state_dict`.
        dataset_meta: Classes and palette; None: the labels are clusters, with names and colours of their own.
        value_range: Range of the data set for images of more than 8 bits, with which others are to be read too.
        nodata: Number of missing pixels in such images.

    Raises:
        OSError: If the file cannot be written.
    """
    meta = dict(
        dataset_meta=dict(dataset_meta or cluster_meta(model.num_labels), value_range=value_range,
                          nodata=nodata),
        seed=seed,
        time=time.strftime('%Y%m%d_%H%M%S'),
        mmengine_version=mmengine.__version__)
    if cfg is not None:
        meta['cfg'] = _with_stage_order(cfg, model).pretty_text
    state = model.state_dict() if state is None else state
    save_torch_whole(dict(meta=meta, state_dict=weights_to_cpu(state)), path)
    print_log(f'Saved the fitted model to {path}', logger='current')


def _with_stage_order(cfg: Config, model: Any) -> Config:
    """The config with the order of the model's stages as a list: the text of a config sorts the keys of dicts."""
    stages = cfg.get('model', {}).get('postprocessors')
    if not isinstance(stages, Mapping) or len(stages) < 2:
        return cfg
    cfg = deepcopy(cfg)
    cfg.model.stage_order = list(model.postprocessors)
    return cfg
