"""A training step the way a GPU likes it: without a wait for it, crops of both sizes together, compiled blocks."""

import copy
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.device_checks import Comparison, device_check, relative_difference
from benchmarks.device_checks.networks import build_model, random_inputs

MASKED = dict(
    leopart=dict(mask='fg', mask_cfg=dict(kernel=3), queue=dict(length=256)),
    neco=dict(mask='fg', mask_cfg=dict(kernel=3), queue=dict(length=256)),
    paka=dict(mask='fg', mask_cfg=dict(kernel=3)))


@device_check('waits in a step')
def waits(device: torch.device) -> list[Comparison]:
    """How often the host waits for the device in two steps in bfloat16 with masks and queues; torch counts on CUDA."""
    from leopart_mm.engine.hooks import SelfSupStepHook
    from leopart_mm.engine.optimizers import BackboneHeadConstructor
    found = []
    for method, loss in MASKED.items():
        model, inputs = build_model(method, **loss).to(device), moved(random_inputs(), device)
        wrapper = BackboneHeadConstructor(dict(optimizer=dict(type='AdamW', lr=1e-4)))(model)
        SelfSupStepHook(0.9).attach(model, wrapper.optimizer)
        count = 0
        for step in range(3):  # the first one makes what stays: workspaces, tables
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter('always')
                _count_waits(device, step > 0)
                try:
                    model.before_step()
                    with torch.autocast(device.type, torch.bfloat16):
                        outputs = model(inputs, mode='loss')
                    wrapper.update_params(model.parse_losses(outputs)[0])
                    model.after_step()
                finally:
                    _count_waits(device, False)
            count += sum('synchroniz' in str(one.message) for one in caught)
        found.append(Comparison(f'{method}: waits for the device in two steps', count, 0))
    return found


def _count_waits(device: torch.device, count: bool) -> None:
    if device.type == 'cuda':
        torch.cuda.set_sync_debug_mode('warn' if count else 'default')


@device_check('sizes together, compiled blocks')
def joint_and_compiled(device: torch.device) -> list[Comparison]:
    """Loss and gradients with crops of both sizes together, and with compiled blocks, beside the plain step there."""
    backend = 'inductor' if device.type == 'cuda' else 'aot_eager'  # to compile for a CPU takes a minute
    model, inputs = build_model('leopart').to(device), moved(random_inputs(), device)
    model.backbone.joint_sizes = False
    loss, gradients = _loss_and_gradients(model, inputs)
    found = []
    for name, options in (('sizes together', {}), ('compiled', dict(compiled=dict(backend=backend)))):
        changed = copy.deepcopy(model)
        for key, value in dict(joint_sizes=True, **options).items():
            setattr(changed.backbone, key, value)
        other, others = _loss_and_gradients(changed, inputs)
        found += [Comparison(f'{name}: loss, relative', relative_difference(other, loss), 1e-4),
                  Comparison(f'{name}: gradients, relative', relative_difference(others, gradients), 1e-3)]
    return found


def _loss_and_gradients(model: nn.Module, inputs: dict[str, Any]) -> tuple[Tensor, Tensor]:
    model.zero_grad()
    model.before_step()
    loss = model.loss(inputs)['loss']
    loss.backward()
    return loss, torch.cat([one.grad.flatten() for one in model.parameters() if one.grad is not None])


def moved(inputs: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """A batch on the device."""
    return {key: [one.to(device) for one in value] if isinstance(value, list) else value.to(device)
            for key, value in inputs.items()}
