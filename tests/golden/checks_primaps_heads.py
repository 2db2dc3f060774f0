"""Golden checks: features of DINO and DINOv2, and the codes and probes of STEGO and HP (docs/methods/primaps.md)."""

import torch
import torch.nn.functional as F

from leopart_mm.checkpoints.networks import read_heads
from leopart_mm.models.backbones.position import resize_positions
from leopart_mm.models.decode_heads import ProbeHead
from leopart_mm.models.necks import CodeHead
from tests.golden.cases import golden_case
from tests.models.backbones.builders import vit_of

ATOL = 1e-4
DIRECTIONS = 'decode_head.weight_v'


@golden_case('primaps', 'dino_features')
@torch.no_grad()
def check_dino_features(arrays):
    data = tensors(arrays)
    for family in ('dino', 'dinov2'):
        weights = {key.removeprefix(f'{family}/w/'): value for key, value in data.items()
                   if key.startswith(f'{family}/w/')}
        vit = vit_of(weights, int(data[f'{family}_heads']))
        images = data[f'{family}_images']
        numbers = sorted(int(key.removeprefix(f'{family}_block')) for key in data if key.startswith(f'{family}_block'))
        assert len(numbers) > 1
        for number in numbers:
            # Block L-n+1; published DINOv2 always takes the last block, which is a choice of out_indices.
            published = data[f'{family}_block{number}']
            true = data.get(f'{family}_true_block{number}', published)
            close(vit.forward_dense(images, [-number]).maps[0], true)
            close(vit.forward_dense(images, [-1 if family == 'dinov2' else -number]).maps[0], published)
        grid = tuple(side // vit.patch_size for side in images.shape[-2:])
        patches = resize_positions(vit.pos_embed[:, 1:], vit.grid_size, grid, 'dino')
        close(torch.cat([vit.pos_embed[:, :1], patches], dim=1), data[f'{family}_pos_embed'])


@golden_case('primaps', 'stego_head')
@torch.no_grad()
def check_stego_head(arrays):
    data = tensors(arrays)
    checkpoint = dict(state_dict=below(data, 'w/'))
    features, maps = checked_features(checkpoint, data)
    neck = read(CodeHead(checkpoint))
    close(neck(maps)[0], data['code'])
    check_cluster_probe(checkpoint, data)
    raw = torch.einsum('bdhw,kd->bkhw', data['code'], F.normalize(read_heads(checkpoint)[DIRECTIONS][..., 0, 0], dim=1))
    assert torch.equal(raw.argmax(1), data['primaps_argmax'])
    scales = torch.stack([data['dropped_scale_cluster1'], data['dropped_scale_cluster2']], dim=1)
    assert torch.isclose(scales, scales.new_tensor(1 / 0.9)).logical_or(scales == 0).all()
    close(neck(maps, scales)[0], data['dropped_code'])
    linear = dict(state_dict={key: value for key, value in checkpoint['state_dict'].items()
                              if not key.startswith('net.cluster2.')})
    close(read(CodeHead(linear))(maps)[0], data['linear_projection_code'])
    assert torch.equal(CodeHead(checkpoint, projection='identity')(maps)[0], features)


@golden_case('primaps', 'hp_head')
@torch.no_grad()
def check_hp_head(arrays):
    data = tensors(arrays)
    parts = ('net_model_state_dict', 'cluster_model_state_dict', 'linear_model_state_dict')
    checkpoint = {part: below(data, f'w/{part}.') for part in parts}
    _, maps = checked_features(checkpoint, data)
    close(read(CodeHead(checkpoint))(maps)[0], data['code'])
    close(read(CodeHead(checkpoint, ema=True))(maps)[0], data['code_ema'])
    check_cluster_probe(checkpoint, data)
    close(probe(checkpoint, data, 'linear'), data['linear_logits'])


V = 'decode_head.weight_v'


def check_cluster_probe(checkpoint, data):
    """The authors' own probe: cosine of code and clusters, and the log-probabilities that their CRF starts from."""
    heads = read_heads(checkpoint)
    assert heads['decode_head.weight_g'].eq(1).all()
    scores = probe(checkpoint, data, 'cluster')
    assert torch.equal(scores.argmax(1), data['cluster_argmax'])
    close(scores, data['cluster_log_probs_alpha2'])


def probe(checkpoint, data, kind):
    labels = data['cluster_log_probs_alpha2'].shape[1] if kind == 'cluster' else data['linear_logits'].shape[1]
    head = ProbeHead(labels, checkpoint, kind)
    head.fit([])
    return head([data['code']])


def checked_features(checkpoint, data):
    """The backbone's map, which is checked against the recorded features, and what a neck gets."""
    flat = {key: value for part in checkpoint.values() for key, value in part.items()}
    prefix = next(key for key in flat if key.endswith('cls_token')).removesuffix('cls_token')
    weights = below(flat, prefix)
    vit = vit_of(weights, int(data['heads']))
    assert torch.equal(vit.load_pretrained(checkpoint) and vit.cls_token, weights['cls_token'])
    features = vit(data['images'])[0]
    close(features, data['features'])
    return features, (features, )


def read(neck):
    neck.init_weights()
    return neck.train()


def tensors(arrays):
    return {name: torch.as_tensor(value) for name, value in arrays.items()}


def below(data, prefix):
    return {key.removeprefix(prefix): value for key, value in data.items() if key.startswith(prefix)}


def close(ours, recorded):
    torch.testing.assert_close(ours, recorded, atol=ATOL, rtol=0)
