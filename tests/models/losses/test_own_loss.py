"""A loss that a user might write (every registered one: tests/conformance/test_losses.py)."""

from dataclasses import dataclass, field

import torch

from leopart_mm.models.losses import SelfSupLoss
from leopart_mm.registry import MODELS
from tests.models.selfsup.builders import random_batch, tiny_cfg


@dataclass
class CosineTargets:
    vectors: torch.Tensor
    weights: torch.Tensor
    health: dict = field(default_factory=dict)

    def images(self, start, stop):
        return CosineTargets(self.vectors[:, start:stop], self.weights[:, start:stop])


class CosineLoss(SelfSupLoss):
    """The student's cells shall be as the teacher's: all that a new method needs."""

    health_limits = dict(max_distance=0.9)

    def __init__(self, kernel=7):
        super().__init__()
        self.kernel = kernel

    def targets(self, teacher, pairs):
        vectors = pairs.align_teacher(teacher.embeddings.unbind(), teacher.grid)
        return CosineTargets(vectors, torch.full(vectors.shape[:3], 1 / vectors[..., 0].numel()))

    def forward(self, embeddings, targets):
        distance = 1 - torch.cosine_similarity(embeddings, targets.vectors, dim=-1)
        loss = (distance * targets.weights).sum()
        return loss, dict(distance=loss.detach())

    def health_findings(self, means, settled=True, limits=None):
        largest = {**self.health_limits, **(limits or {})}['max_distance']
        return [f'distance is still {means["distance"]:.2f}'] if settled and means['distance'] > largest else []


def test_a_loss_of_ones_own_trains_and_says_what_is_wrong():
    torch.manual_seed(0)
    model, inputs = MODELS.build({**tiny_cfg(), 'head': dict(type=CosineLoss, kernel=3)}), random_batch(3)
    optimizer = torch.optim.Adam([one for one in model.parameters() if one.requires_grad], lr=1e-3)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        losses.append(model(inputs, mode='loss')['loss'])
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.8 * losses[0]
    assert model.health_findings(dict(distance=0.95)) == ['distance is still 0.95']
    assert not model.health_findings(dict(distance=0.95), limits=dict(max_distance=0.99))
    assert not model.health_findings(dict(distance=0.95), settled=False)
