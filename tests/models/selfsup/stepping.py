"""Steps of a tiny model whose results are compared: plain and compiled, on one process and on several."""

import torch
import torch.distributed as dist
from mmengine.model import MMDistributedDataParallel

from leopart_mm.engine.hooks import SelfSupStepHook
from leopart_mm.engine.optimizers import BackboneHeadConstructor
from tests.models.selfsup.builders import gradients, part_of, random_batch


def loss_and_gradients(model, inputs):
    """What the model logs for a batch, and all gradients by name."""
    model.zero_grad()
    outputs = model(inputs, mode='loss')
    outputs['loss'].backward()
    return outputs, gradients(model)


def assert_same_gradients(ours, theirs, tolerance=1e-5):
    """Equal to `tolerance` of each parameter's largest entry."""
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        torch.testing.assert_close(ours[name], expected, rtol=0, atol=tolerance * float(expected.abs().max()) + 1e-8,
                                   msg=lambda text, name=name: f'{name}: {text}')


def losses_of_steps(model, compiled):
    """The losses of three training steps with a teacher that follows."""
    wrapper = BackboneHeadConstructor(dict(optimizer=dict(type='AdamW', lr=1e-3)))(model)
    SelfSupStepHook(0.9).attach(model, wrapper.optimizer)
    step = torch.compile(model.train_step, backend='aot_eager') if compiled else model.train_step
    losses = []
    for seed in range(3):
        model.before_step()
        losses.append(step(dict(inputs=random_batch(2, seed)), wrapper)['loss'].item())
        model.after_step()
    return losses


def results_of_process(build, cfg, inputs):
    """Logs and gradients of two passes of ``build(**cfg)`` under DDP, each process with its share of the batch."""
    model = build(**cfg)
    wrapped = MMDistributedDataParallel(model)
    rank, world = dist.get_rank(), dist.get_world_size()
    batch = inputs['gc_boxes'].shape[0] // world
    part = part_of(inputs, rank * batch, (rank + 1) * batch)
    results = []
    for _ in range(2):  # the second with what the first put into the queue
        outputs, grads = loss_and_gradients(wrapped, part)
        model.after_step()
        results.append(({name: value.detach() for name, value in outputs.items()},
                        {name.removeprefix('module.'): one for name, one in grads.items()}))
    return results
