"""NeCo's loss from given embeddings, against the plain operations, and what it refuses."""

import numpy as np
import pytest
import torch
from torchvision.ops import roi_align

from leopart_mm.geometry.crop_boxes import crop_boxes, sample_crops
from leopart_mm.models.losses import CropPairs, NeCoLoss, TeacherOutput
from leopart_mm.models.losses.neco_loss import rank_correlation
from leopart_mm.models.losses.sorting.reference import permutation_cross_entropy, similarities, soft_sort

GRID, PATCH, BATCH, CHANNELS = 8, 4, 2, 5


def inputs_of(seed=0):
    """Unit embeddings of 2 global crops for the teacher, of 3 crops for the student, and the pairs."""
    rng = np.random.default_rng(seed)
    boxes = [crop_boxes(sample_crops(60, 80, (2, 1), ((0.25, 1.), (0.05, 0.25)), rng)[0], (32, 32), (2, 1))
             for _ in range(BATCH)]
    pairs = CropPairs(*(torch.from_numpy(np.stack(part)) for part in zip(*boxes, strict=True)), PATCH, kernel=3)
    generator = torch.Generator().manual_seed(seed)
    teacher, student = (torch.nn.functional.normalize(
        torch.randn(crops, BATCH, GRID**2, CHANNELS, generator=generator), dim=-1) for crops in (2, 3))
    return teacher, student.requires_grad_(), pairs


def aligned(student, pairs):
    return pairs.align_student(list(student), [pairs.student_matrix(v, (GRID, GRID)) for v in range(3)])


@pytest.mark.parametrize('settings', [
    dict(), dict(network='odd_even', relaxation='logistic', student_steepness=10.), dict(similarity='euclidean'),
    dict(num_references=22, teacher_steepness=1000.), dict(num_references=4)
], ids=lambda one: '-'.join(map(str, one.values())) or 'default')
def test_equals_pair_by_pair_plain_operations(settings):
    teacher, student, pairs = inputs_of()
    loss_module = NeCoLoss(kernel=3, **settings)
    targets = loss_module.targets(TeacherOutput(teacher, (GRID, GRID)), pairs)
    losses, _ = loss_module.pair_losses(aligned(student, pairs), targets)
    gradient, = torch.autograd.grad(losses.sum(), student)

    def cut(tokens, boxes):
        maps = tokens.mT.unflatten(-1, (GRID, GRID))
        return roi_align(maps, list((boxes / PATCH)[:, None]), 3, aligned=True).flatten(2).mT

    expected = []
    for (t, v), references in zip(pairs.pairs, targets.references, strict=True):
        P, Q = (soft_sort(similarities(cells, references, loss_module.similarity), loss_module.network, steepness,
                          loss_module.relaxation)[1] for cells, steepness in (
                              (cut(student[v], pairs.all_boxes[:, v, t]), loss_module.student_steepness),
                              (cut(teacher[t], pairs.gc_boxes[:, t, v]), loss_module.teacher_steepness)))
        expected.append(permutation_cross_entropy(P, Q) / len(pairs.pairs))
    torch.testing.assert_close(losses, torch.stack(expected), rtol=2e-5, atol=0)
    plain, = torch.autograd.grad(sum(expected), student)
    torch.testing.assert_close(gradient, plain, rtol=0, atol=1e-4 * float(plain.abs().max()))


def test_references_come_from_all_images():
    teacher, _, pairs = inputs_of()
    loss_module = NeCoLoss(kernel=3)
    targets = loss_module.targets(TeacherOutput(teacher, (GRID, GRID)), pairs)
    candidates = targets.queries.flatten(1, 2)
    for pair, references in enumerate(targets.references):
        place = torch.cdist(references.flatten(0, 1), candidates[pair]).argmin(1)
        assert place.sort().values.tolist() == list(range(BATCH * 9))
        assert {int(one) // 9 for one in place[:9]} == {0, 1}
    loss_module.after_step()
    later = loss_module.targets(TeacherOutput(teacher, (GRID, GRID)), pairs)
    assert not torch.equal(later.references, targets.references)


def test_masked_cells_neither_count_nor_serve_as_references():
    teacher, student, pairs = inputs_of()
    mask = torch.zeros(2, BATCH, GRID, GRID)
    mask[:, :, :, :6] = 1
    loss_module = NeCoLoss(kernel=3, mask='fg')
    targets = loss_module.targets(TeacherOutput(teacher, (GRID, GRID)), pairs, mask=mask.flatten(2))
    counts = targets.weights > 0
    torch.testing.assert_close(targets.weights.sum((1, 2)), torch.full((len(pairs.pairs), ), 1 / len(pairs.pairs)))
    for pair, references in enumerate(targets.references):
        place = torch.cdist(references.flatten(0, 1), targets.queries[pair].flatten(0, 1)).argmin(1)
        assert bool(counts[pair].flatten()[place].all())
    losses, _ = loss_module.pair_losses(aligned(student, pairs), targets)
    changed = aligned(student, pairs) + ~counts[..., None]
    torch.testing.assert_close(loss_module(changed, targets)[0], losses.sum())


def test_rank_correlation():
    a = torch.tensor([[1., 2., 3., 4.]]).repeat(3, 1)
    b = torch.tensor([[10., 20., 30., 40.], [4., 3., 2., 1.], [2., 1., 3., 4.]])
    torch.testing.assert_close(rank_correlation(a, b), torch.tensor([1., -1., 0.8]))


@pytest.mark.parametrize(('settings', 'message'), [
    (dict(network='quick'), r"choose one of.*'bitonic'"),
    (dict(relaxation='linear'), r"choose one of.*'cauchy'"),
    (dict(similarity='dot'), r"choose one of.*'cosine'"),
    (dict(mask='foreground'), r"choose one of.*'fg'"),
    (dict(student_steepness=0), 'must be positive'),
    (dict(kernel=1), 'at least 2 references'),
    (dict(num_references=1), 'at least 2 references'),
    (dict(queue=dict(length=0, embed_dims=4)), 'at least 1 row'),
])
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        NeCoLoss(**settings)


def test_masks_need_attention():
    teacher, _, pairs = inputs_of()
    with pytest.raises(ValueError, match="mask='fg' needs the class-token attention"):
        NeCoLoss(kernel=3, mask='fg').targets(TeacherOutput(teacher, (GRID, GRID)), pairs)
