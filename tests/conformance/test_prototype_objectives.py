"""Every registered objective keeps the contract of `PrototypeObjective`."""

import pytest
import torch

from leopart_mm.models.segmentors import PrototypeObjective
from leopart_mm.registry import MODELS
from tests.conformance.registered import registered_classes
from tests.models.segmentors.prototypes import on_features, samples

CASES = {'CosineKMeans': {}, 'PrototypeEM': dict(ema_interval=2)}
MASKS = torch.stack([sample.proposals.data[0] for sample in samples(2, 16)])


@pytest.fixture(params=CASES)
def model(request):
    torch.manual_seed(0)
    model = on_features(6, 3, dict(CASES[request.param], type=f'leopart_mm.{request.param}'))
    features = torch.randn(2, 6, 4, 4)
    model.initialise([features])
    return model, features


def test_every_objective_has_a_case():
    assert {cls.__name__ for cls in registered_classes(MODELS, PrototypeObjective)} == set(CASES)


def test_a_step_of_gradient_lowers_the_loss_and_moves_the_trained_set_alone(model):
    model, features = model
    optimizer = torch.optim.SGD([one for one in model.parameters() if one.requires_grad], lr=0.01)
    momentum = model.teacher.decode_head.prototypes().clone()
    before = model.losses(features, features, MASKS, None)
    before['loss_prototypes'].backward()
    assert all(value.ndim == 0 and not value.requires_grad for name, value in before.items()
               if not name.startswith('loss'))
    optimizer.step()
    assert torch.equal(model.teacher.decode_head.prototypes(), momentum)
    assert model.losses(features, features, MASKS, None)['loss_prototypes'] < before['loss_prototypes']


def test_momentum_follows_by_a_decay_of_0_to_1(model):
    model, _ = model
    decays = [model.objective.momentum_of(step, updates) for updates, step in enumerate(range(2, 40, 2))]
    assert all(0 <= decay <= 1 for decay in decays)
    assert decays[0] == 0  # the first is a copy
    with torch.no_grad():
        model.decode_head.weight_v.add_(1)
    model.follow(2)
    assert torch.equal(model.teacher.decode_head.weight_v, model.decode_head.weight_v)
    assert int(model.ema_updates) == 1


def test_a_healthy_run_has_no_findings_and_a_collapsed_one_has(model):
    model, _ = model
    assert model.objective.findings(dict(used=1., labelled=1., agreement=1.)) == []
    assert model.objective.findings(dict(used=0.05, labelled=1., agreement=1.)) != []
