"""bf16 with a float32 loss, and a teacher in inference mode that losses and autocast do not notice."""

import pytest
import torch

from tests.models.selfsup.builders import random_batch, tiny_leopart, tiny_neco, tiny_paka
from tests.models.selfsup.stepping import assert_same_gradients, loss_and_gradients


@pytest.mark.parametrize('build', [tiny_leopart, tiny_neco, tiny_paka])
@pytest.mark.parametrize('use_teacher', [True, False])
def test_bf16_with_a_float32_loss(build, use_teacher):
    if build is tiny_neco and not use_teacher:
        pytest.skip('its references carry gradients through a sort: bf16 noise is amplified without bound')
    model, inputs = build(use_teacher=use_teacher), random_batch(3)
    expected, gradients = loss_and_gradients(model, inputs)
    with torch.autocast('cpu', torch.bfloat16):
        outputs = model(inputs, mode='loss')
    assert {one.dtype for one in outputs.values()} == {torch.float32}
    torch.testing.assert_close(outputs['loss'], expected['loss'], rtol=0.03, atol=0.003)
    model.zero_grad()
    outputs['loss'].backward()
    found = {name: one.grad for name, one in model.named_parameters() if one.grad is not None}
    assert found.keys() == gradients.keys()
    cosines = {name: torch.cosine_similarity(one.flatten(), gradients[name].flatten(), dim=0).item()
               for name, one in found.items()}
    assert min(cosines.values()) > (0.7 if build is tiny_neco else 0.9), cosines


def test_what_the_teacher_gives_is_ordinary():
    model, inputs = tiny_leopart(loss=dict(mask='fg')), random_batch(2)
    given = model.teacher_output(inputs['crops'][:2], attention=True)
    assert not any(one.is_inference() for one in (given.embeddings, given.attention, *model.teacher.parameters()))
    with torch.no_grad():
        maps = model.teacher.backbone.forward_dense(torch.cat(inputs['crops'][:2])).maps[-1]
        expected = model.teacher.neck(maps.flatten(2).mT)
    torch.testing.assert_close(given.embeddings.flatten(0, 1), expected, rtol=0, atol=0)
    weight = torch.ones(6, requires_grad=True)
    (given.embeddings * weight).sum().backward()  # a loss may keep it for its gradient
    torch.testing.assert_close(weight.grad, given.embeddings.sum((0, 1, 2)))


@pytest.mark.parametrize('build', [tiny_leopart, tiny_neco, tiny_paka])
def test_sizes_together_give_the_step_of_one_after_the_other(build):
    model, inputs = build(backbone=dict(drop_path_rate=0.3)), random_batch(3)
    results = []
    for model.backbone.joint_sizes in (True, False):
        torch.manual_seed(0)
        results.append(loss_and_gradients(model, inputs))
    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-5, atol=1e-6)
    assert_same_gradients(results[0][1], results[1][1])
