"""Every registered self-supervised loss, and one that a user might write, keeps the contract of `SelfSupLoss`."""

import copy
from dataclasses import dataclass, field

import pytest
import torch

from leopart_mm.models.losses import SelfSupLoss
from leopart_mm.registry import MODELS
from tests.models.selfsup.builders import random_batch, tiny_cfg
from tests.models.selfsup.stepping import assert_same_gradients, loss_and_gradients


@dataclass
class CosineTargets:
    vectors: torch.Tensor
    weights: torch.Tensor
    health: dict = field(default_factory=dict)

    def images(self, start, stop):
        return CosineTargets(self.vectors[:, start:stop], self.weights[:, start:stop])


@MODELS.register_module()
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


def every_loss():
    import leopart_mm.models  # noqa: F401  (registers them)
    classes = {cls for cls in MODELS.module_dict.values() if isinstance(cls, type) and issubclass(cls, SelfSupLoss)}
    assert {'LeopartLoss', 'NeCoLoss', 'CosineLoss'} <= {cls.__name__ for cls in classes}
    return sorted(classes, key=lambda cls: cls.__name__)


def model_of(cls, **kwargs):
    cfg = tiny_cfg(**kwargs)
    torch.manual_seed(0)
    cfg['head'] = dict(type=cls, kernel=3)
    model = MODELS.build(cfg)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.1)
    model.reset_teacher()
    model.before_step()
    return model.train()


@pytest.mark.parametrize('cls', every_loss(), ids=lambda cls: cls.__name__)
def test_targets_fit_the_batch_and_can_be_parted(cls):
    model, inputs = model_of(cls), random_batch(3)
    pairs = model.crop_pairs(inputs)
    targets = model.head.targets(model.teacher_output(inputs['crops'][:2], model.head.needs_attention), pairs)
    assert targets.weights.shape == (len(pairs.pairs), 3, 9)
    assert targets.weights.sum().item() == pytest.approx(1)
    assert not targets.weights.requires_grad
    assert torch.equal(targets.images(1, 3).weights, targets.weights[:, 1:])
    assert all(number.ndim == 0 and not number.requires_grad for number in targets.health.values())


@pytest.mark.parametrize('cls', every_loss(), ids=lambda cls: cls.__name__)
def test_the_loss_has_no_side_effects_and_its_parts_add_up(cls):
    model, inputs = model_of(cls), random_batch(3)
    before = copy.deepcopy(model.state_dict())
    outputs, grads = loss_and_gradients(model, inputs)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    again, _ = loss_and_gradients(model, inputs)
    assert all(torch.equal(value, outputs[name]) for name, value in again.items())
    assert all(value.ndim == 0 for value in outputs.values())
    assert {name for name, value in outputs.items() if value.requires_grad} == {'loss'}
    in_parts, part_grads = loss_and_gradients(model_of(cls, micro_batches=2), inputs)
    for name, value in outputs.items():
        torch.testing.assert_close(in_parts[name], value, rtol=1e-4, atol=5e-3 if name == 'rank_agreement' else 1e-5)
    # NeCo's sort multiplies the rounding errors of the similarities by its steepness.
    assert_same_gradients(part_grads, grads, 1e-3)


@pytest.mark.parametrize('cls', every_loss(), ids=lambda cls: cls.__name__)
def test_what_the_teacher_has_of_the_loss_follows_the_loss(cls):
    model = model_of(cls)
    assert set(dict(model.teacher.head.named_parameters())) <= set(dict(model.head.named_parameters()))
    assert set(model.health_limits) == set(cls.health_limits)
    assert all(isinstance(text, str) for text in model.health_findings(
        {name: 1. for name in model(random_batch(2), mode='loss')}))


def test_a_loss_of_ones_own_trains_and_says_what_is_wrong():
    model, inputs = model_of(CosineLoss), random_batch(3)
    optimizer = torch.optim.Adam([one for one in model.parameters() if one.requires_grad], lr=1e-2)
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
