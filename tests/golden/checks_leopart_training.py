"""Schedules, optimiser groups and whole training steps of Leopart."""

import math
from types import SimpleNamespace

import numpy as np
import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import PARAM_SCHEDULERS
from torch import nn

from leopart_mm.checkpoints.key_layouts import LEOPART_HEADS
from leopart_mm.engine.hooks.self_sup_step_hook import SelfSupStepHook, cosine_value
from leopart_mm.engine.optimizers import BackboneHeadConstructor
from leopart_mm.registry import MODELS
from tests.golden.cases import golden_case


def our_name(published: str) -> str:
    """The name of a published parameter in our models."""
    return LEOPART_HEADS.to_ours(published) or f'backbone.{published}'


def tiny_leopart(weights: dict, grid: int, heads: int, kernel: int, loss: dict | None = None, **kwargs) -> nn.Module:
    """A Leopart whose sizes follow the published arrays `weights` (a student's)."""
    patch = weights['patch_embed.proj.weight'].shape[-1]
    hidden = [value.shape for name, value in weights.items() if name.startswith('projection_head') and value.ndim == 2]
    num_prototypes, embed_dims = weights['prototypes.weight'].shape
    width = weights['cls_token'].shape[-1]
    return MODELS.build(
        dict(
            type='leopart_mm.Leopart',
            backbone=dict(
                type='leopart_mm.DenseViT',
                arch='vit_tiny_patch16_224',
                model_kwargs=dict(
                    img_size=grid * patch,
                    patch_size=patch,
                    embed_dim=width,
                    depth=1 + max(int(name.split('.')[1]) for name in weights if name.startswith('blocks.')),
                    num_heads=heads,
                    mlp_ratio=weights['blocks.0.mlp.fc1.bias'].shape[0] / width)),
            neck=dict(
                type='leopart_mm.ProjectionHead',
                hidden_channels=hidden[0][0],
                out_channels=embed_dims,
                num_layers=len(hidden)),
            head=dict(
                type='leopart_mm.LeopartLoss', num_prototypes=num_prototypes, kernel=kernel, **loss or {}),
            **kwargs))


def build_optimizer(model: nn.Module, lr: float, head_lr: float, weight_decay: float) -> OptimWrapper:
    """Our four groups with AdamW."""
    constructor = BackboneHeadConstructor(
        dict(optimizer=dict(type='AdamW', lr=lr, weight_decay=weight_decay)), dict(head_lr=head_lr))
    return constructor(model)


def build_schedulers(optim_wrapper: OptimWrapper, steps: int, weight_decay_end: float) -> list:
    """The schedulers that our configs use: cosine for the rates and, upwards, for the weight decay."""
    cfgs = [
        dict(type='CosineAnnealingLR', T_max=steps, eta_min=0., by_epoch=False),
        dict(
            type='mmpretrain.CosineAnnealingWeightDecay', T_max=steps, eta_min=weight_decay_end, by_epoch=False)
    ]
    return [PARAM_SCHEDULERS.build(dict(cfg, optimizer=optim_wrapper)) for cfg in cfgs]


@golden_case('leopart', 'schedules')
def check_schedules(arrays):
    cases = sorted({name.split('_')[0] for name in arrays if name.endswith('_args')})
    for case in cases:
        start, end, epochs, iterations = arrays[f'{case}_args']
        total = int(epochs) * int(iterations)
        values = [cosine_value(start, end, step, total) for step in range(total)]
        np.testing.assert_allclose(values, arrays[f'{case}_values'], rtol=1e-6)
        _check_weight_decay_schedule(start, end, total, arrays[f'{case}_values'])
    groups = sorted(name.split('_')[0] for name in arrays if name.endswith('_names'))
    shapes = {}
    for group in groups:
        for name in arrays[f'{group}_names']:
            shapes[our_name(str(name))] = (2, 2) if int(group[-1]) % 2 == 0 else (2, )
    model = _Parameters(shapes)
    lr, weight_decay = arrays['group0_lr_wd']
    wrapper = build_optimizer(model, lr, arrays['group2_lr_wd'][0], weight_decay)
    names = {id(one): name for name, one in model.named_parameters()}
    assert len(wrapper.optimizer.param_groups) == len(groups)
    for ours, group in zip(wrapper.optimizer.param_groups, groups, strict=True):
        assert {names[id(one)] for one in ours['params']} == {our_name(str(name)) for name in arrays[f'{group}_names']}
        np.testing.assert_allclose((ours['lr'], ours['weight_decay']), arrays[f'{group}_lr_wd'], rtol=1e-6)
    steps = len(arrays['lr_per_step'])
    schedulers = build_schedulers(wrapper, steps, 0.4)
    for expected in arrays['lr_per_step']:
        np.testing.assert_allclose([group['lr'] for group in wrapper.optimizer.param_groups], expected, rtol=1e-6)
        wrapper.step()
        for scheduler in schedulers:
            scheduler.step()


class _Parameters(nn.Module):
    """Nothing but parameters of given names."""

    def __init__(self, shapes: dict) -> None:
        super().__init__()
        self.shapes = {name: nn.Parameter(torch.zeros(shape)) for name, shape in shapes.items()}

    def named_parameters(self, *args, **kwargs):
        return iter(self.shapes.items())


def _check_weight_decay_schedule(start, end, total, expected):
    """Only groups that decay follow the schedule; the others stay at 0."""
    decays, stays = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.AdamW([dict(params=[decays], weight_decay=start), dict(params=[stays], weight_decay=0.)])
    wrapper = OptimWrapper(optimizer)
    scheduler = build_schedulers(wrapper, total, end)[1]
    for value in expected:
        np.testing.assert_allclose(optimizer.param_groups[0]['weight_decay'], value, rtol=1e-6)
        assert optimizer.param_groups[1]['weight_decay'] == 0
        wrapper.step()
        scheduler.step()


@golden_case('leopart', 'train_steps')
def check_train_steps(arrays):
    tensors = {name: torch.from_numpy(np.asarray(value)) for name, value in arrays.items()}

    def parameters(prefix):
        return {name[len(prefix):]: value for name, value in tensors.items() if name.startswith(prefix)}

    steps, total = len(arrays['losses']), int(arrays['total_steps'])
    patch = int(arrays['patch_size'])
    start = parameters('w0.')
    model = tiny_leopart(
        start,
        grid=math.isqrt(start['pos_embed'].shape[1] - 1),
        heads=int(arrays['num_heads']) if 'num_heads' in arrays else 2,
        kernel=int(arrays['kernel']),
        loss=dict(epsilon=float(arrays['epsilon']), temperature=float(arrays['temperature'])),
        teacher_init='independent')
    assert model.backbone.patch_size == patch
    state = {our_name(name): value for name, value in start.items()}
    state.update({f'teacher.{our_name(name)}': value for name, value in parameters('t0.').items()})
    model.load_state_dict(state)
    model.train()

    wrapper = build_optimizer(model, float(arrays['lr_backbone']), float(arrays['lr_heads']),
                              float(arrays['weight_decay']))
    schedulers = build_schedulers(wrapper, total, float(arrays['weight_decay_end']))
    hook = SelfSupStepHook(float(arrays['momentum']), float(arrays['momentum_end']), before_optimizer=True)
    hook.attach(model, wrapper.optimizer)
    for step in range(steps):
        crops = [tensors[f's{step}_crop{crop}'] for crop in range(arrays[f's{step}_gc'].shape[2])]
        data = dict(inputs=dict(crops=crops, gc_boxes=tensors[f's{step}_gc'], all_boxes=tensors[f's{step}_all']))
        runner = SimpleNamespace(model=model, iter=step, max_iters=total)
        hook.before_train_iter(runner, step)
        logged = model.train_step(data, wrapper)
        hook.after_train_iter(runner, step)
        for scheduler in schedulers:
            scheduler.step()
        np.testing.assert_allclose(logged['loss'].item(), arrays['losses'][step], rtol=1e-5)

    after = model.state_dict()
    for prefix, ours in ((f'w{steps}.', ''), (f't{steps}.', 'teacher.')):
        for name, expected in parameters(prefix).items():
            value = after[ours + our_name(name)]
            if name.endswith('attn.qkv.bias'):  # keys' biases have no gradient; Adam makes steps of the rounding noise
                value, expected = (torch.cat(one.chunk(3)[::2]) for one in (value, expected))
            np.testing.assert_allclose(value, expected, rtol=0, atol=2e-5, err_msg=prefix + name)
