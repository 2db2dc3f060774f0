"""Every registered self-supervised loss keeps the contract of `SelfSupLoss`."""

import copy

import pytest
import torch

from leopart_mm.models.losses.base import SelfSupLoss
from leopart_mm.registry import MODELS
from tests.conformance.registered import registered_classes
from tests.models.selfsup.builders import EMBED_DIMS, filled, random_batch, tiny_cfg

# Name of the case -> (model, arguments of its loss). A loss without a case fails below.
CASES = {
    'LeopartLoss': ('Leopart', dict(num_prototypes=7)),
    'LeopartLoss with queue and mask': ('Leopart', dict(
        num_prototypes=7, mask='fg', queue=dict(length=32))),
    'NeCoLoss': ('NeCo', {}),
    'NeCoLoss from the batch': ('NeCo', dict(queue=None)),
    'PaKALoss': ('PaKA', {}),
    'PaKALoss with mask': ('PaKA', dict(mask='fg')),
}


@pytest.fixture(params=CASES, ids=lambda case: case.replace(' ', '-'))
def model(request):
    name, arguments = CASES[request.param]
    loss = dict(arguments, type=f'leopart_mm.{request.param.split()[0]}', kernel=3)
    return filled(dict(tiny_cfg(), type=f'leopart_mm.{name}', head=loss))


def test_every_loss_has_a_case():
    assert {cls.__name__ for cls in registered_classes(MODELS, SelfSupLoss)} == {case.split()[0] for case in CASES}


def _parts(model, inputs):
    crops, pairs = inputs['crops'], model.crop_pairs(inputs)
    teacher = model.teacher_output(crops[:pairs.num_global], model.head.needs_attention)
    return crops, pairs, model.head.targets(teacher, pairs)


def test_targets_and_forward_leave_the_module_as_it_is(model):
    inputs = random_batch(4)
    before = copy.deepcopy(model.state_dict())
    model.loss(inputs)['loss'].backward()
    after = model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    model.zero_grad()
    model.eval()
    with torch.no_grad():
        model.loss(inputs)
        model.loss(inputs)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_results_add_up_over_parts_of_the_batch(model):
    crops, pairs, targets = _parts(model, random_batch(4))
    whole, health = model.head(model.student_aligned(crops, pairs, targets.weights), targets)
    loss, numbers = 0., dict.fromkeys(health, 0.)
    for start, stop in ((0, 1), (1, 4)):
        part = pairs.images(start, stop), targets.images(start, stop)
        aligned = model.student_aligned([crop[start:stop] for crop in crops], part[0], part[1].weights)
        found = model.head(aligned, part[1])
        loss, numbers = loss + found[0], {name: numbers[name] + value for name, value in found[1].items()}
    torch.testing.assert_close(loss, whole, rtol=1e-4, atol=1e-5)
    for name, value in health.items():
        torch.testing.assert_close(numbers[name], value, rtol=1e-3, atol=1e-4)


def test_shapes_weights_and_gradients(model):
    _, pairs, targets = _parts(model, random_batch(4))
    cells = model.head.kernel**2
    assert targets.weights.shape == (len(pairs.pairs), 4, cells)
    per_pair = targets.weights.sum((1, 2))  # all pairs weigh alike, but for those in which no cell counts
    torch.testing.assert_close(per_pair[per_pair > 0], torch.full_like(per_pair[per_pair > 0], 1 / len(pairs.pairs)))
    assert (per_pair > 0).any()
    aligned = torch.randn(len(pairs.pairs), 4, cells, EMBED_DIMS, requires_grad=True)
    loss, health = model.head(aligned, targets)
    assert loss.ndim == 0
    loss.backward()
    assert aligned.grad.abs().sum() > 0
    assert not aligned.grad[targets.weights == 0].any()
    for number in (*health.values(), *targets.health.values()):
        assert number.ndim == 0
        assert not number.requires_grad


def test_the_teacher_has_parameters_of_the_same_names(model):
    ours = {name: value.shape for name, value in model.head.named_parameters()}
    taken = {name: value.shape for name, value in model.head.teacher_part().named_parameters()}
    assert taken.items() <= ours.items()


def test_a_saved_loss_continues_as_if_nothing_had_happened(model):
    other = copy.deepcopy(model)
    for seed in range(3):
        model.before_step()
        model.loss(random_batch(4, seed))
        model.after_step()
    other.load_state_dict(copy.deepcopy(model.state_dict()))
    model.before_step()
    other.before_step()
    assert torch.equal(model.loss(random_batch(4, 9))['loss'], other.loss(random_batch(4, 9))['loss'])


def test_findings_are_sentences_about_numbers_of_the_log(model):
    log = {name: float(value) for name, value in model.loss(random_batch(4)).items()}
    assert all(isinstance(text, str) for text in model.health_findings(log))
    nothing = model.health_findings({}, settled=True)
    assert nothing == [], 'numbers that are not in the log are no findings'
