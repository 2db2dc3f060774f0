"""Sinkhorn, foreground masks and the loss of Leopart."""

import math

import numpy as np
import torch

from leopart_mm.masks import attention_foreground
from leopart_mm.models.losses import CropPairs, LeopartLoss, TeacherOutput, sinkhorn
from tests.golden.cases import golden_case


def case_numbers(arrays: dict) -> list[str]:
    """The prefixes c0, c1, ... of a file."""
    return sorted({name.split('_')[0] for name in arrays})


@golden_case('leopart', 'sinkhorn')
def check_sinkhorn(arrays):
    for case in case_numbers(arrays):
        assignments = sinkhorn(
            torch.from_numpy(arrays[f'{case}_scores']), float(arrays[f'{case}_epsilon']),
            int(arrays[f'{case}_iterations']))
        np.testing.assert_allclose(assignments, arrays[f'{case}_assignments'], rtol=1e-5, atol=1e-7)


@golden_case('leopart', 'attention_foreground')
def check_attention_foreground(arrays):
    for case in case_numbers(arrays):
        mask = attention_foreground(
            torch.from_numpy(arrays[f'{case}_attention']), float(arrays[f'{case}_threshold']),
            float(arrays[f'{case}_sigma']))
        np.testing.assert_array_equal(mask, arrays[f'{case}_mask'])


def _square(tokens: int) -> tuple[int, int]:
    return (math.isqrt(tokens), ) * 2


def _check_loss(arrays, mask='all', queue=None):
    tensors = {name: torch.from_numpy(np.asarray(value)) for name, value in arrays.items()}
    batch, num_global, num_local = (int(arrays[name]) for name in ('batch', 'num_global', 'num_local'))
    loss_module = LeopartLoss(
        embed_dims=tensors['prototypes'].shape[1],
        num_prototypes=len(tensors['prototypes']),
        epsilon=float(arrays['epsilon']),
        iterations=int(arrays['sinkhorn_iterations']),
        temperature=float(arrays['temperature']),
        kernel=int(arrays['kernel']),
        mask=mask,
        mask_threshold=1.0,
        queue=queue,
        queue_prototypes='student')
    teacher_part = loss_module.teacher_part()
    with torch.no_grad():
        loss_module.prototypes.weight.copy_(tensors['prototypes'])
        teacher_part['prototypes'].weight.copy_(tensors['teacher_prototypes'])
    if queue is not None:
        loss_module.queue.rows.copy_(tensors['queue_before'])
        loss_module.queue.fill.copy_((tensors['queue_before'] != 0).any(-1).sum(-1))
    pairs = CropPairs(tensors['boxes_gc'], tensors['boxes_all'], int(arrays['patch_size']), loss_module.kernel)
    embeddings = tensors['teacher_embeddings'].unflatten(0, (num_global, batch, -1))
    global_grid = _square(embeddings.shape[2])
    attention = tensors['attention'].view(num_global, batch, -1) if 'attention' in tensors else None
    targets = loss_module.targets(TeacherOutput(embeddings, global_grid, attention, teacher_part), pairs)

    scores = [tensors[f'student_{kind}_scores'].requires_grad_() for kind in ('global', 'local')]

    def student_loss(loss_module, parts):
        maps = [*parts[0].unflatten(0, (num_global, batch, -1)), *parts[1].unflatten(0, (num_local, batch, -1))]
        matrices = [pairs.student_matrix(v, _square(tokens.shape[1])) for v, tokens in enumerate(maps)]
        return loss_module(pairs.align_student(maps, matrices), targets)[0]

    # The loss takes embeddings and prototypes; scores with the identity as prototypes are the same thing, and give the
    # recorded gradients.
    num_prototypes = scores[0].shape[1]
    of_scores = LeopartLoss(num_prototypes, num_prototypes, temperature=loss_module.temperature)
    torch.nn.init.eye_(of_scores.prototypes.weight)
    loss = student_loss(of_scores, scores)
    loss.backward()
    np.testing.assert_allclose(loss.detach(), arrays['loss'], rtol=1e-5)
    for part, kind in zip(scores, ('global', 'local'), strict=True):
        expected = arrays[f'grad_student_{kind}']
        np.testing.assert_allclose(part.grad, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    embedded = [tensors[f'student_{kind}_embeddings'] for kind in ('global', 'local')]
    np.testing.assert_allclose(student_loss(loss_module, embedded).detach(), arrays['loss'], rtol=1e-5)
    return loss_module, embeddings


@golden_case('leopart', 'loss_all', 'loss_all_kernel7')
def check_loss_all(arrays):
    _check_loss(arrays)


@golden_case('leopart', 'loss_foreground')
def check_loss_foreground(arrays):
    _check_loss(arrays, 'fg')


@golden_case('leopart', 'loss_background')
def check_loss_background(arrays):
    _check_loss(arrays, 'bg')


@golden_case('leopart', 'loss_queue')
def check_loss_queue(arrays):
    num_queues, length, embed_dims = arrays['queue_before'].shape
    queue = dict(length=length, embed_dims=embed_dims, num_queues=num_queues)
    loss_module, embeddings = _check_loss(arrays, queue=queue)
    order = torch.stack([torch.from_numpy(arrays[f'randperm_{crop}']) for crop in range(num_queues)])
    loss_module.queue.stage(embeddings, order=order)
    loss_module.queue.commit()
    np.testing.assert_array_equal(loss_module.queue.rows, arrays['queue_after'])
