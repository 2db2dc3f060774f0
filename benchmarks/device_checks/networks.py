"""Networks and training steps on a device and on the CPU."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.device_checks import Comparison, device_check, relative_difference

ARCHS = dict(vit='vit_tiny_patch16_224', eva='vit_small_patch16_dinov3')
METHODS = dict(
    leopart=('leopart_mm.Leopart', dict(type='leopart_mm.LeopartLoss', num_prototypes=64, mask='all')),
    neco=('leopart_mm.NeCo', dict(type='leopart_mm.NeCoLoss', kernel=5)),
    paka=('leopart_mm.PaKA', dict(type='leopart_mm.PaKALoss')))


def _random(module: nn.Module) -> nn.Module:
    """Every weight drawn: some begin at 0, and would hide what they do."""
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.05, generator=generator)
    return module


@device_check('forward')
@torch.no_grad()
def forward(device: torch.device) -> list[Comparison]:
    """Maps and attention of a ViT and of a network with rotary positions, in float32 and in bfloat16."""
    from leopart_mm.models.backbones import DenseViT
    images, found = torch.randn(2, 3, 96, 128, generator=torch.Generator().manual_seed(0)), []
    for kind, arch in ARCHS.items():
        network = _random(DenseViT(arch, model_kwargs=dict(depth=3))).eval()
        expected = network.forward_dense(images, cls_attention=True)
        moved = network.to(device)
        result = moved.forward_dense(images.to(device), cls_attention=True)
        with torch.autocast(device.type, torch.bfloat16):
            rough = moved.forward_dense(images.to(device)).maps[-1]
        found += [
            Comparison(f'{kind}: features, float32, relative', relative_difference(result.maps[-1], expected.maps[-1]),
                       1e-4),
            Comparison(f'{kind}: attention, float32, relative',
                       relative_difference(result.cls_attention, expected.cls_attention), 1e-4),
            Comparison(f'{kind}: features, bfloat16 to float32 of the CPU, relative',
                       relative_difference(rough, expected.maps[-1]), 3e-2)]
    return found


@device_check('training step')
def training_step(device: torch.device) -> list[Comparison]:
    """Loss, gradients and the weights after a step of Leopart, NeCo and PaKA, in float32; the loss in bfloat16."""
    found = []
    for method in METHODS:
        model, inputs = build_model(method), random_inputs()
        twin = copy.deepcopy(model).to(device)
        moved = {key: [crop.to(device) for crop in value] if key == 'crops' else value.to(device)
                 for key, value in inputs.items()}
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16):
            copied = copy.deepcopy(twin)
            copied.before_step()
            rough = copied.loss(moved)['loss'].float()
        (loss, gradients, weights), (other, others, other_weights) = (
            _step(model, inputs), _step(twin, moved))
        found += [
            Comparison(f'{method}: loss, relative', relative_difference(other, loss), 1e-4),
            Comparison(f'{method}: gradients, relative', relative_difference(others, gradients), 1e-3),
            Comparison(f'{method}: weights of student and teacher after the step, relative',
                       relative_difference(other_weights, weights), 1e-3),
            Comparison(f'{method}: loss in bfloat16 to float32 of the CPU, relative', relative_difference(rough, loss),
                       5e-2)]
    return found


def build_model(method: str, **loss: Any) -> nn.Module:
    """A small model of a method with random weights; further arguments are those of its loss."""
    from leopart_mm.registry import MODELS
    kind, head = METHODS[method]
    return _random(MODELS.build(dict(
        type=kind, backbone=dict(type='leopart_mm.DenseViT', arch='vit_tiny_patch16_224', model_kwargs=dict(depth=2)),
        neck=dict(type='leopart_mm.ProjectionHead', hidden_channels=256, out_channels=64),
        head={**head, **loss}))).train()


def random_inputs() -> dict[str, Any]:
    """Random crops with boxes drawn as in training: 4 images, 2 x 96 + 4 x 48 pixels."""
    import numpy as np

    from leopart_mm.geometry.crop_boxes import crop_boxes, sample_crops
    counts, sizes, scales = (2, 4), (96, 48), ((0.25, 1.0), (0.05, 0.25))
    rng = np.random.default_rng(0)
    boxes = [crop_boxes(sample_crops(375, 500, counts, scales, rng)[0], sizes, counts) for _ in range(4)]
    generator = torch.Generator().manual_seed(0)
    return dict(
        crops=[torch.randn(4, 3, side, side, generator=generator) for side in np.repeat(sizes, counts).tolist()],
        gc_boxes=torch.from_numpy(np.stack([pair[0] for pair in boxes])),
        all_boxes=torch.from_numpy(np.stack([pair[1] for pair in boxes])))


def _step(model: nn.Module, inputs: dict) -> tuple[Tensor, Tensor, Tensor]:
    """Loss, gradients and weights of a step of AdamW and the teacher."""
    from leopart_mm.engine.hooks import SelfSupStepHook
    optimizer = torch.optim.AdamW([parameter for parameter in model.parameters() if parameter.requires_grad], lr=1e-4)
    SelfSupStepHook(0.9).attach(model, optimizer)
    model.before_step()
    loss = model.loss(inputs)['loss']
    loss.backward()
    gradients = torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None])
    optimizer.step()
    model.after_step()
    return loss, gradients, torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
