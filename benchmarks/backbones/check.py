"""One network of timm in DenseViT: its maps, attention, queries, keys and values beside timm's own, and a step."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import sqrt

import numpy as np
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from leopart_mm.geometry.crop_boxes import crop_boxes, sample_crops
from leopart_mm.models.backbones import DenseViT
from leopart_mm.models.backbones.timm_vit import build_timm_vit
from leopart_mm.registry import MODELS

GRIDS = ((8, 8), (5, 11), (14, 9))  # of patches: the image sizes follow the patch
MAX_PARAMETERS = 450e6  # of what is built whole here
TOLERANCE = 1e-5


@dataclass
class Checked:
    """What came out for a network.

    Args:
        name: timm's.
        parameters: Of the whole network, without classifier and pooling.
        depth: Number of its blocks.
        run: Number of those that were built and compared.
        patch_size: Side of a patch.
        registers: Number of register tokens.
        attention: 'class token', 'pooling head' or 'none'.
        forward: Greatest difference from timm's tokens over `GRIDS`, as a share of their greatest size.
        qkv: Likewise of queries, keys and values of the last block, rotated, from what timm's attention gets.
        attention_error: Greatest difference of the attention from that of timm's queries and keys; None without any.
        step: Whether a step of NeCo gives every trained parameter of the backbone a finite gradient.
    """

    name: str
    parameters: int
    depth: int
    run: int
    patch_size: int
    registers: int
    attention: str
    forward: float
    qkv: float
    attention_error: float | None
    step: bool

    @property
    def equal(self) -> bool:
        """Whether everything is timm's, to `TOLERANCE`, and the step was taken."""
        return max(self.forward, self.qkv, self.attention_error or 0.) <= TOLERANCE and self.step


def check(name: str) -> Checked:
    """Build a network with random weights, and compare."""
    torch.manual_seed(0)
    parameters, depth = size_of(name)
    run = depth if parameters <= MAX_PARAMETERS else max(2, int(depth * MAX_PARAMETERS / parameters))
    options = {} if run == depth else dict(depth=run)
    options.update(_shared_heads(name, run) if options else {})
    vit = DenseViT(name, options, rotary_qkv=True).eval()
    fill(vit)
    twin = timm.create_model(name, num_classes=0, global_pool='' if vit.attn_pool is None else 'map',
                             dynamic_img_size=True, **options).eval()
    twin.load_state_dict(vit.state_dict())
    differences = [compare(vit, twin, tuple(side * vit.patch_size for side in grid)) for grid in GRIDS]
    forward, qkv = (max(values) for values in list(zip(*differences, strict=True))[:2])
    attention = [values[2] for values in differences]
    registers = 0 if getattr(vit, 'reg_token', None) is None else vit.reg_token.shape[1]
    source = 'class token' if vit.cls_token is not None else 'none' if vit.attn_pool is None else 'pooling head'
    del twin
    result = Checked(name, parameters, depth, run, vit.patch_size, registers, source, forward, qkv,
                     None if source == 'none' else max(attention), False)
    del vit
    result.step = takes_a_step(name)
    return result


def size_of(name: str) -> tuple[int, int]:
    """Parameters and blocks of a network, without classifier and pooling; nothing is allocated."""
    with torch.device('meta'):
        vit = build_timm_vit(name)
    pooling = getattr(vit, 'attn_pool', None)
    count = sum(parameter.numel() for parameter in vit.parameters())
    return count - (0 if pooling is None else sum(value.numel() for value in pooling.parameters())), len(vit.blocks)


def _shared_heads(name: str, depth: int) -> dict:
    """The first entries of what a network says for each of its blocks."""
    with torch.device('meta'):
        attentions = [block.attn for block in build_timm_vit(name).blocks[:depth]]
    if any(attn.qkv is not None for attn in attentions):
        return {}  # one projection: each head has its own keys and values
    heads = tuple(getattr(attn, 'num_kv_heads', attn.num_heads) for attn in attentions)
    return dict(num_kv_heads=heads)


@torch.no_grad()
def fill(network: nn.Module, seed: int = 0) -> None:
    """Random weights that let every part count; timm's own draw scales layers by 1e-5 and leaves biases 0."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        if name.endswith('rope.freqs'):
            continue  # drawn over their range by timm
        if parameter.ndim > 1:
            parameter.normal_(std=1 / sqrt(parameter[0].numel()) if parameter.ndim in (2, 4) else 0.2,
                              generator=generator)
        else:
            parameter.normal_(std=0.1, generator=generator).add_(0.5)


@contextmanager
def recorded_attention() -> Iterator[list[tuple[Tensor, Tensor, Tensor]]]:
    """Queries, keys and values of every fused attention that is computed meanwhile."""
    attend, calls = F.scaled_dot_product_attention, []

    def recording(q: Tensor, k: Tensor, v: Tensor, *args, **kwargs) -> Tensor:
        calls.append((q, k, v))
        return attend(q, k, v, *args, **kwargs)

    F.scaled_dot_product_attention = recording
    try:
        yield calls
    finally:
        F.scaled_dot_product_attention = attend


@torch.no_grad()
def compare(vit: DenseViT, twin: nn.Module, size: tuple[int, int]) -> tuple[float, float, float]:
    """Differences of tokens, of q, k and v, and of the attention, from timm's on a random image of a size."""
    image = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(1))
    prefix, attends = vit.num_prefix_tokens, vit.cls_token is not None or vit.attn_pool is not None
    vit.pos_interp = 'timm'
    with recorded_attention() as calls:
        tokens = twin.forward_features(image)
        block = calls[-1]
        if vit.attn_pool is not None:
            twin.forward_head(tokens, pre_logits=True)
        q, k, _ = calls[-1]
    features = vit.forward_dense(image, cls_attention=attends, qkv_block=-1)
    ours = features.maps[-1].flatten(2).transpose(1, 2)
    forward = _difference(ours, tokens[:, prefix:])
    if features.cls_token is not None:
        forward = max(forward, _difference(features.cls_token, tokens[:, 0]))
    qkv = max(_difference(getattr(features, letter), theirs[:, :, prefix:])
              for letter, theirs in zip('qkv', block, strict=True))
    if not attends:
        return forward, qkv, 0.
    theirs = torch.softmax(q[:, :, :1] @ k.transpose(-2, -1) * q.shape[-1]**-0.5, -1)[:, :, 0]
    return forward, qkv, float((features.cls_attention - theirs[..., -features.cls_attention.shape[-1]:]).abs().max())


def _difference(ours: Tensor, theirs: Tensor) -> float:
    if not theirs.isfinite().all():
        raise ValueError('timm gives values that are not finite, which tell nothing.')
    return float((ours - theirs).abs().max() / theirs.abs().max())


def takes_a_step(name: str, blocks: int = 2) -> bool:
    """Whether the loss of NeCo reaches all that it may train of a network of the arch's width and few blocks."""
    options = dict(depth=blocks, **_shared_heads(name, blocks))
    model = MODELS.build(dict(
        type='leopart_mm.NeCo', backbone=dict(type='leopart_mm.DenseViT', arch=name, model_kwargs=options),
        neck=dict(type='leopart_mm.ProjectionHead', hidden_channels=64, out_channels=32),
        head=dict(type='leopart_mm.NeCoLoss', kernel=3, mask='all')))
    fill(model)
    model.reset_teacher()
    model.before_step()
    model.train()
    loss = model(_crops(model.backbone.patch_size), mode='loss')['loss']
    loss.backward()
    trained = [parameter for parameter in model.backbone.parameters() if parameter.requires_grad]
    return bool(torch.isfinite(loss)) and all(
        parameter.grad is not None and bool(torch.isfinite(parameter.grad).all()) for parameter in trained)


def _crops(patch: int, images: int = 2) -> dict[str, list[Tensor] | Tensor]:
    """Noise, cut into 2 crops of 6 x 6 and 2 of 3 x 3 patches."""
    sizes, counts = (6 * patch, 3 * patch), (2, 2)
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    boxes = [crop_boxes(sample_crops(240, 320, counts, ((0.25, 1.), (0.05, 0.25)), rng)[0], sizes, counts)
             for _ in range(images)]
    return dict(
        crops=[torch.randn(images, 3, side, side, generator=generator) for side in np.repeat(sizes, counts).tolist()],
        gc_boxes=torch.from_numpy(np.stack([pair[0] for pair in boxes])),
        all_boxes=torch.from_numpy(np.stack([pair[1] for pair in boxes])))
