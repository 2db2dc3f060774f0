"""A tiny Leopart, NeCo and PaKA, and batches for them."""

import numpy as np
import torch
from torch import nn

from leopart_mm.geometry.crop_boxes import crop_boxes, sample_crops
from leopart_mm.registry import MODELS

SIZES, NUM_CROPS, SCALES = (32, 16), (2, 2), ((0.25, 1.), (0.05, 0.25))
EMBED_DIMS = 6


def tiny_cfg(loss: dict | None = None, backbone: dict | None = None, num_prototypes: int = 7, **kwargs) -> dict:
    """Config of a Leopart on crops of 32 and 16 pixels, patch 8."""
    return dict(
        type='leopart_mm.Leopart',
        backbone={
            'type': 'leopart_mm.DenseViT',
            'arch': 'vit_tiny_patch16_224',
            'model_kwargs': dict(img_size=32, patch_size=8, embed_dim=16, depth=2, num_heads=2),
            **(backbone or {})},
        neck=dict(type='leopart_mm.ProjectionHead', hidden_channels=24, out_channels=EMBED_DIMS),
        head=dict(type='leopart_mm.LeopartLoss', num_prototypes=num_prototypes, kernel=3, **loss or {}),
        **kwargs)


def tiny_neco_cfg(loss: dict | None = None, **kwargs) -> dict:
    """Config of a NeCo on the same crops, with the same backbone and neck; 9 references."""
    cfg = tiny_cfg(**kwargs)
    head = dict(type='leopart_mm.NeCoLoss', kernel=3, **loss or {})
    return {**cfg, 'type': 'leopart_mm.NeCo', 'head': head}


def tiny_paka_cfg(loss: dict | None = None, **kwargs) -> dict:
    """Config of a PaKA on the same crops, with the same backbone and neck."""
    head = dict(type='leopart_mm.PaKALoss', kernel=3, **loss or {})
    return {**tiny_cfg(**kwargs), 'type': 'leopart_mm.PaKA', 'head': head}


def tiny_paka(seed: int = 0, **kwargs) -> nn.Module:
    """The model, with weights large enough for tokens to differ."""
    return filled(tiny_paka_cfg(**kwargs), seed)


def tiny_leopart(seed: int = 0, **kwargs) -> nn.Module:
    """The model, its prototypes normalised, with weights large enough for tokens to differ."""
    return filled(tiny_cfg(**kwargs), seed)


def tiny_neco(seed: int = 0, **kwargs) -> nn.Module:
    """The model, with weights large enough for tokens to differ."""
    return filled(tiny_neco_cfg(**kwargs), seed)


def filled(cfg: dict, seed: int = 0) -> nn.Module:
    """The model of a config, with weights large enough for tokens to differ, ready for a step."""
    torch.manual_seed(seed)
    model = MODELS.build(cfg)
    torch.manual_seed(seed)  # again, as models with and without a teacher draw differently
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.3)
    model.reset_teacher()
    model.before_step()
    return model.train()


def random_batch(batch: int, seed: int = 0, flipped: bool = False) -> dict:
    """`inputs` of a batch: noise crops with boxes drawn as in training."""
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    boxes, flips = [], rng.random((batch, sum(NUM_CROPS))) < (0.5 if flipped else 0.)
    for image in range(batch):
        absolute, _ = sample_crops(60, 80, NUM_CROPS, SCALES, rng)
        boxes.append(crop_boxes(absolute, SIZES, NUM_CROPS, flips[image]))
    sides = np.repeat(SIZES, NUM_CROPS).tolist()
    return dict(
        crops=[torch.randn(batch, 3, side, side, generator=generator) for side in sides],
        gc_boxes=torch.from_numpy(np.stack([one[0] for one in boxes])),
        all_boxes=torch.from_numpy(np.stack([one[1] for one in boxes])),
        flipped=torch.from_numpy(flips))


def part_of(inputs: dict, start: int, stop: int) -> dict:
    """The images start..stop-1 of a batch."""
    return dict(
        crops=[crop[start:stop] for crop in inputs['crops']],
        **{name: value[start:stop] for name, value in inputs.items() if name != 'crops'})


def gradients(model: nn.Module) -> dict[str, torch.Tensor]:
    """All gradients by name."""
    return {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}
