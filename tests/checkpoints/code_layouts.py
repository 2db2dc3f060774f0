"""Checkpoints of STEGO, HP and PriMaPs in their exact layouts (docs/methods/primaps.md §13-§15), with tiny networks."""

import torch
from torch import Tensor

from tests.checkpoints.layouts import State, prefixed
from tests.models.backbones.builders import TINY, tiny_vit

WIDTH = TINY['embed_dim']
DIM, CLASSES, EXTRA = 6, 5, 1


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def code_layers(first: str, second: str, seed: int, width: int = WIDTH, dim: int = DIM) -> State:
    """The tensors of a head under its two names."""
    shapes = {f'{first}.0': (dim, width, 1, 1), f'{second}.0': (width, width, 1, 1), f'{second}.2': (dim, width, 1, 1)}
    state = {}
    for number, (name, shape) in enumerate(shapes.items()):
        state[f'{name}.weight'] = random(*shape, seed=seed + 2 * number)
        state[f'{name}.bias'] = random(shape[0], seed=seed + 2 * number + 1)
    return state


def probe(seed: int, dim: int = DIM) -> State:
    return {'weight': random(CLASSES, dim, 1, 1, seed=seed), 'bias': random(CLASSES, seed=seed + 1)}


def stego(vit: State | None = None, width: int = WIDTH, **hyper_parameters) -> dict:
    """A Lightning file of STEGO: network, probes, decoder, and the buffers of metrics and losses."""
    metrics = {f'{name}.stats': torch.zeros(CLASSES, CLASSES, dtype=torch.int64) for name in (
        'cluster_metrics', 'linear_metrics', 'test_cluster_metrics', 'test_linear_metrics')}
    return {
        'epoch': 3, 'global_step': 7000, 'pytorch-lightning_version': '1.5.0', 'callbacks': {}, 'lr_schedulers': [],
        'optimizer_states': [{'state': {0: {'exp_avg': random(3, seed=1)}}}], 'hyper_parameters': hyper_parameters,
        'state_dict': {
            **prefixed(vit or tiny_vit().state_dict(), 'net.model.'),
            **code_layers('net.cluster1', 'net.cluster2', 10, width),
            'train_cluster_probe.clusters': random(CLASSES, DIM, seed=20),
            'cluster_probe.clusters': random(CLASSES + EXTRA, DIM, seed=21),
            **prefixed(probe(22), 'linear_probe.'),
            'decoder.weight': random(WIDTH, DIM, 1, 1, seed=24), 'decoder.bias': random(WIDTH, seed=25), **metrics,
            'contrastive_corr_loss_fn.running': random(1, seed=26)}}


def hp(vit: State | None = None, width: int = WIDTH) -> dict:
    """HP's ckpt.pth: three state dicts, three optimisers, and where the run was."""
    states = {name: {'state': {0: {'exp_avg': random(3, seed=1)}}} for name in (
        'net_optimizer_state_dict', 'linear_probe_optimizer_state_dict', 'cluster_probe_optimizer_state_dict')}
    return dict(
        net_model_state_dict={**prefixed(vit or tiny_vit().state_dict(), 'model.'),
                              **code_layers('cluster1', 'cluster2', 10, width),
                              **code_layers('ema_model1', 'ema_model2', 40, width)},
        cluster_model_state_dict=dict(clusters=random(CLASSES, DIM, seed=21)), linear_model_state_dict=probe(22),
        **states, epoch=4, iter=1200, best_epoch=3, best_iter=900, best=31.5)


def primaps(baseline: bool = False, network: bool = True, dim: int = WIDTH, **hyper_parameters) -> dict:
    """A Lightning file of PriMaPs; on top of STEGO and HP it holds no network."""
    def prototypes(seed: int) -> State:
        return {'weight_g': random(CLASSES, 1, 1, 1, seed=seed), 'weight_v': random(CLASSES, dim, 1, 1, seed=seed + 1)}

    clusters = prefixed(prototypes(32), 'cluster_probe.cluster_centers.') if baseline else {
        **prefixed(prototypes(32), 'cluster_probe.ema_model.'),
        **prefixed(prototypes(30), 'cluster_probe.online_model.'),
        'cluster_probe.initted': torch.tensor(True), 'cluster_probe.step': torch.tensor(459)}
    vit = prefixed(tiny_vit().state_dict(), 'net.model.') if network else {}
    return {
        'epoch': 49, 'global_step': 13800, 'pytorch-lightning_version': '1.5.0', 'optimizer_states': [],
        'hyper_parameters': hyper_parameters,
        'state_dict': {**vit, **prefixed(probe(34, dim), 'linear_probe.'), **prefixed(prototypes(30), 'seghead.'),
                       **clusters}}
