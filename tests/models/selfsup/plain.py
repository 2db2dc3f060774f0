"""The losses of Leopart, NeCo and PaKA pair by pair in plain operations: what the models must give."""

import torch
import torch.nn.functional as F
from torchvision.ops import roi_align

from leopart_mm.masks import attention_foreground
from leopart_mm.models.losses.sorting.reference import permutation_cross_entropy, similarities, soft_sort

PATCH = 8


def embedding_map(network, crops):
    """(B, C, h, w) of crops of one size."""
    maps = network.backbone.forward_dense(crops).maps[-1]
    return network.neck(maps.movedim(1, -1)).movedim(-1, 1)


def cut(maps, boxes, kernel=3):
    """Maps (B, C, h, w) and boxes (B, 4) in pixels -> cells (B, k·k, C)."""
    return roi_align(maps, list((boxes / PATCH)[:, None]), kernel, aligned=True).flatten(2).mT


def plain_leopart_loss(model, inputs):
    """The mean over pairs of the mean cross-entropy over the cells that count; no flips, no queue."""
    crops, gc_boxes, all_boxes = inputs['crops'], inputs['gc_boxes'], inputs['all_boxes']
    loss, temperature = model.head, model.head.temperature
    pair_losses = []
    for t in range(gc_boxes.shape[1]):
        with torch.no_grad():
            teacher = embedding_map(model.teacher, crops[t])
            scores = F.conv2d(teacher, model.teacher.head['prototypes'].weight[..., None, None])
            assignments = (scores.movedim(1, -1).flatten(0, 2).double() / loss.epsilon).exp()
            for _ in range(loss.iterations):
                assignments = assignments / assignments.sum(0, keepdim=True)
                assignments = assignments / assignments.sum(1, keepdim=True)
            assignments = assignments.float().view(len(teacher), *teacher.shape[2:], -1).movedim(-1, 1)
            counted = counted_map(model, crops[t])
        for v in [v for v in range(len(crops)) if v != t]:
            targets = cut(assignments, gc_boxes[:, t, v])
            counts = cut(counted, gc_boxes[:, t, v])[..., 0] >= 1 - 1e-4
            logits = cut(embedding_map(model, crops[v]), all_boxes[:, v, t]) @ loss.prototypes.weight.T / temperature
            entropy = -(targets * logits.log_softmax(-1)).sum(-1)
            pair_losses.append(entropy[counts].sum() / counts.sum().clamp(min=1))
    return torch.stack(pair_losses).mean()


def counted_map(model, crops):
    """(B, 1, h, w) of 0 and 1: foreground or background by the mean attention of the heads, or 1 without a mask."""
    features = model.teacher.backbone.forward_dense(crops, cls_attention=True)
    if model.head.mask == 'all':
        return features.maps[-1].new_ones(len(crops), 1, *features.grid)
    attention = features.cls_attention.mean(1).view(-1, 1, *features.grid)
    foreground = attention_foreground(attention, **model.head.mask_cfg)
    return (foreground if model.head.mask == 'fg' else 1 - foreground).view(-1, 1, *features.grid)


def plain_neco_loss(model, inputs, references):
    """The mean cross-entropy of soft permutations over all cells and pairs, for references (P, B, n, C)."""
    crops, gc_boxes, all_boxes = inputs['crops'], inputs['gc_boxes'], inputs['all_boxes']
    loss, pair_losses = model.head, []
    pairs = [(t, v) for t in range(gc_boxes.shape[1]) for v in range(len(crops)) if v != t]
    for (t, v), vectors in zip(pairs, references, strict=True):
        with torch.no_grad():
            teacher = cut(embedding_map(model.teacher, crops[t]), gc_boxes[:, t, v])
        student = cut(embedding_map(model, crops[v]), all_boxes[:, v, t])
        P, Q = (soft_sort(similarities(cells, vectors), loss.network, steepness)[1] for cells, steepness in (
            (student, loss.student_steepness), (teacher, loss.teacher_steepness)))
        pair_losses.append(permutation_cross_entropy(P, Q))
    return torch.stack(pair_losses).mean()


def plain_paka_loss(model, inputs):
    """The mean over pairs and images of 1 - CKA by its definition, with the centring matrix H."""
    crops, gc_boxes, all_boxes = inputs['crops'], inputs['gc_boxes'], inputs['all_boxes']
    losses = []
    for t, v in [(t, v) for t in range(gc_boxes.shape[1]) for v in range(len(crops)) if v != t]:
        with torch.no_grad():
            teacher = cut(embedding_map(model.teacher, crops[t]), gc_boxes[:, t, v])
        student = cut(embedding_map(model, crops[v]), all_boxes[:, v, t])
        losses += [1 - plain_cka(*one) for one in zip(student.double(), teacher.double(), strict=True)]
    return torch.stack(losses).mean()


def plain_cka(a, b):
    """CKA of vectors (n, d) and (n, e)."""
    H = torch.eye(len(a), dtype=a.dtype) - 1 / len(a)
    K, L = H @ a @ a.T @ H, H @ b @ b.T @ H
    return (K * L).sum() / (K.norm() * L.norm())
