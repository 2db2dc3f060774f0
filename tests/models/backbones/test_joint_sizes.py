"""Images of several sizes together, compiled blocks, and stochastic depth that leaves images out."""

import copy

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend

from leopart_mm.models.backbones.joint_blocks import compiled_block, joint_block
from leopart_mm.models.backbones.lean_mlp import lean_mlp
from leopart_mm.models.backbones.stochastic_depth import draws_of_blocks
from tests.models.backbones.builders import tiny_vit
from tests.models.backbones.test_eva import ARCHS

PLAIN = ('vit_tiny_patch16_224', 'vit_small_patch14_reg4_dinov2')  # the latter with layer scale
IMAGES = [torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(batch))
          for batch, size in ((3, (32, 32)), (5, (16, 24)))]


def built(arch, **options):
    return tiny_vit(arch, model_kwargs=ARCHS.get(arch), pos_interp='timm', **options)


def maps_and_gradients(vit, images=IMAGES, seed=0):
    """The maps of each size, and the gradients of a loss that needs them all."""
    vit.zero_grad()
    torch.manual_seed(seed)
    maps = [one.maps[-1] for one in vit.forward_sizes(images)]
    generator = torch.Generator().manual_seed(1)
    sum((one.float() * torch.randn(one.shape, generator=generator)).sum() for one in maps).backward()
    return maps, {name: one.grad.clone() for name, one in vit.named_parameters() if one.grad is not None}


def assert_equal(ours, theirs, tolerance):
    """Maps and gradients equal to `tolerance` of their largest entry."""
    maps, gradients = ours
    expected_maps, expected_gradients = theirs
    assert gradients.keys() == expected_gradients.keys()
    for one, expected in zip([*maps, *gradients.values()], [*expected_maps, *expected_gradients.values()], strict=True):
        torch.testing.assert_close(one, expected, rtol=0, atol=tolerance * float(expected.detach().abs().max()) + 1e-9)


def one_by_one(vit):
    twin = copy.deepcopy(vit)
    twin.joint_sizes = False
    return twin


@pytest.mark.parametrize('arch', [*PLAIN, *ARCHS])
def test_sizes_together_equal_one_after_the_other(arch):
    vit = built(arch, drop_path_rate=0.5, trainable_blocks=[0, 2], out_indices=(0, 2)).train()
    assert vit.joint_sizes
    assert_equal(maps_and_gradients(vit), maps_and_gradients(one_by_one(vit)), 1e-5)


@pytest.mark.parametrize('options', [dict(with_cp=True, drop_path_rate=0.5), dict(trainable='lora_4'),
                                     dict(frozen_stages=2), dict(final_norm=False)])
def test_options_of_training(options):
    vit = built('vit_small_patch14_reg4_dinov2', **options).train()
    assert_equal(maps_and_gradients(vit), maps_and_gradients(one_by_one(vit)), 1e-5)


@pytest.mark.parametrize('arch', ['vit_small_patch14_reg4_dinov2', 'vit_small_patch16_dinov3'])
def test_half_precision_is_as_near_to_float32_as_one_after_the_other(arch):
    vit = built(arch, drop_path_rate=0.3).train()
    exact = maps_and_gradients(vit)
    with torch.autocast('cpu', torch.bfloat16):
        ours, theirs = maps_and_gradients(vit), maps_and_gradients(one_by_one(vit))
    assert_equal(ours, exact, 0.05)
    assert_equal(ours, theirs, 0.05)


def test_keys_and_unknown_blocks_go_one_after_the_other():
    assert not built('vit_tiny_patch16_224', features='keys').joint_sizes
    parallel = tiny_vit('vit_base_patch16_xp_224')
    assert not parallel.joint_sizes
    assert [one.grid for one in parallel.forward_sizes(IMAGES)] == [(4, 4), (2, 3)]
    for options in (dict(compiled=True), dict(drop_path_mode='samples')):
        with pytest.raises(ValueError, match='ParallelScalingBlock'):
            tiny_vit('vit_base_patch16_xp_224', **options)
    with pytest.raises(ValueError, match=r"'mask'.*'samples'"):
        tiny_vit(drop_path_mode='rows')


def test_compiled_blocks_share_one_graph_per_set_of_sizes():
    counter = CompileCounterWithBackend('aot_eager')
    torch._dynamo.reset()
    compiled_block.cache_clear()
    vit = built('vit_small_patch16_dinov3', drop_path_rate=0.5, with_cp=True, compiled=dict(backend=counter)).train()
    plain = copy.deepcopy(vit)
    plain.compiled = plain.with_cp = False
    assert list(vit.state_dict()) == list(plain.state_dict())
    for seed in range(2):
        assert_equal(maps_and_gradients(vit, seed=seed), maps_and_gradients(plain, seed=seed), 1e-5)
    # the first block drops nothing: it has a graph of its own, the others share one
    assert counter.frame_count == 2
    with torch.no_grad():
        torch.testing.assert_close(vit.eval()(IMAGES[0]), plain.eval()(IMAGES[0]))
    assert counter.frame_count == 3
    vit.load_state_dict(plain.state_dict())
    torch._dynamo.reset()
    compiled_block.cache_clear()


def by_hand(block, images, subsets):
    """DINOv2's `drop_add_residual_stochastic_depth` of a plain block, size by size."""
    outputs = []
    for x, (first, second) in zip(images, subsets, strict=True):
        for subset, branch in ((first, lambda y: block.ls1(block.attn(block.norm1(y)))),
                               (second, lambda y: block.ls2(block.mlp(block.norm2(y))))):
            residual = branch(x[subset]).flatten(1)
            x = torch.index_add(x.flatten(1), 0, subset, residual, alpha=len(x) / len(subset)).view_as(x)
        outputs.append(x)
    return outputs


def test_left_out_samples_as_in_dinov2():
    block = built('vit_small_patch14_reg4_dinov2', drop_path_rate=0.4).train().blocks[-1]
    images = [torch.randn(batch, tokens, 32) for batch, tokens in ((5, 4), (3, 7))]
    shapes = tuple(tuple(one.shape[:2]) for one in images)
    torch.manual_seed(3)
    subsets = [[torch.randperm(batch)[:kept] for _ in range(2)] for batch, kept in ((5, 3), (3, 1))]
    torch.manual_seed(3)
    draws, = draws_of_blocks([block], shapes, torch.device('cpu'), 'samples')
    assert draws[0].shapes == ((3, 4), (1, 7))
    ours = joint_block(block, torch.cat([one.flatten(0, 1) for one in images]), shapes, [None, None], draws)
    expected = torch.cat([one.flatten(0, 1) for one in by_hand(block, images, subsets)])
    torch.testing.assert_close(ours, expected)


def test_left_out_samples_keep_the_expectation_and_rate_0_changes_nothing():
    block = nn.Module()
    block.drop_path1 = copy.deepcopy(built('vit_tiny_patch16_224', drop_path_rate=0.3).blocks[-1].drop_path1).train()
    block.drop_path2 = nn.Identity()
    total = torch.zeros(10)
    torch.manual_seed(0)
    for _ in range(400):
        (draw, none), = draws_of_blocks([block], ((10, 1), ), torch.device('cpu'), 'samples')
        total.index_add_(0, draw.rows, draw.scale[:, 0])
    assert none is None
    torch.testing.assert_close(total / 400, torch.ones(10), rtol=0, atol=0.12)  # 3.6 standard deviations
    with_rate_0 = built('vit_tiny_patch16_224', drop_path_mode='samples').train()
    plain = built('vit_tiny_patch16_224').train()
    assert_equal(maps_and_gradients(with_rate_0), maps_and_gradients(plain), 1e-6)
    evaluated = built('vit_tiny_patch16_224', drop_path_mode='samples', drop_path_rate=0.5)
    torch.testing.assert_close(evaluated(IMAGES[0])[0], plain.eval()(IMAGES[0])[0])


def test_left_out_samples_are_seeded_and_the_same_in_a_whole_network():
    vit = built('vit_small_patch16_dinov3', drop_path_mode='samples', drop_path_rate=0.5).train()
    first, again, other = (maps_and_gradients(vit, seed=seed) for seed in (0, 0, 1))
    assert_equal(first, again, 0)
    assert (first[0][0] - other[0][0]).abs().max() > 0.01


def kept_bytes(run):
    """Bytes that a pass keeps for its gradient."""
    sizes = {}

    def pack(tensor):
        sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = run()
    return sum(sizes.values()), out


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('trainable', ['all', 'lora_4'])
def test_the_lean_mlp_has_the_same_bits_and_keeps_less(dtype, trainable):
    mlp = built('vit_tiny_patch16_224', trainable=trainable).train().blocks[-1].mlp
    twin, tokens = copy.deepcopy(mlp), torch.randn(2, 50, 32, generator=torch.Generator().manual_seed(0))
    results = []
    for module, run in ((mlp, lean_mlp), (twin, lambda module, x: module(x))):
        x = tokens[0].clone().requires_grad_()
        with torch.autocast('cpu', torch.bfloat16, enabled=dtype == torch.bfloat16):
            kept, out = kept_bytes(lambda module=module, run=run, x=x: run(module, x))
        (out.float() * tokens[1]).sum().backward()
        results.append((kept, [out, x.grad, *(one.grad for one in module.parameters() if one.grad is not None)]))
    (kept, ours), (expected_kept, theirs) = results
    assert len(ours) == len(theirs) >= 4
    assert all(one.dtype == other.dtype and torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))
    assert expected_kept - kept == 50 * 128 * dtype.itemsize
    with torch.no_grad():
        assert torch.equal(lean_mlp(mlp, tokens[0]), mlp(tokens[0]))
