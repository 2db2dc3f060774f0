"""The sorter, the loss and whole training steps of NeCo."""

import math
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from leopart_mm.engine.hooks.self_sup_step_hook import SelfSupStepHook, cosine_value
from leopart_mm.geometry.crop_boxes import crop_boxes
from leopart_mm.models.backbones.position import resize_positions
from leopart_mm.models.losses import CropPairs, EmbeddingQueue, NeCoLoss, TeacherOutput
from leopart_mm.models.losses.sorting.networks import sorting_network
from leopart_mm.models.losses.sorting.reference import permutation_cross_entropy, similarities, soft_sort
from leopart_mm.models.losses.sorting.sorted_cross_entropy import sorted_cross_entropy
from leopart_mm.registry import MODELS
from tests.golden.cases import golden_case
from tests.golden.checks_leopart_training import build_optimizer, build_schedulers, our_name
from tests.models.backbones.builders import all_tokens, flat_patches, vit_and_head


def cases_of(arrays: dict, array: str) -> list[str]:
    """The cases of a file in which an array of this name occurs."""
    cases = sorted(name.removesuffix(f'_{array}') for name in arrays if name.endswith(f'_{array}'))
    assert cases
    return cases


def close_gradient(ours, expected, where='', tolerance=1e-3):
    """Gradients agree to a share of their largest entry."""
    np.testing.assert_allclose(ours, expected, rtol=0, atol=tolerance * np.abs(expected).max(), err_msg=where)


def any_of(check, candidates):
    """What a file does not say is found out: one of the candidates passes the whole check."""
    errors = []
    for candidate in candidates:
        try:
            return check(candidate)
        except AssertionError as error:
            errors.append(f'{candidate}: {error}')
    raise AssertionError('\n'.join(errors))


@golden_case('neco', 'crop_boxes')
def check_crop_boxes(arrays):
    for case in cases_of(arrays, 'abs'):
        sizes = [int(arrays[f'{case}_size_{kind}']) for kind in ('global', 'local')]
        num_global, num_crops = arrays[f'{case}_gc'].shape[1:3]
        for image, absolute in enumerate(arrays[f'{case}_abs']):
            ours = crop_boxes(absolute, sizes, (num_global, num_crops - num_global))
            for boxes, name in zip(ours, ('gc', 'all'), strict=True):
                np.testing.assert_allclose(boxes, arrays[f'{case}_{name}'][image], rtol=0, atol=2e-4, err_msg=case)


@golden_case('neco', 'sorting_networks')
def check_sorting_networks(arrays):
    for case in cases_of(arrays, 'num_layers'):
        kind, size = re.fullmatch(r'(.+)_n(\d+)', case).groups()
        network = sorting_network(kind, int(size), published=True)
        assert len(network.layers) == arrays[f'{case}_num_layers']
        ours = {(number, lo, hi) for number, layer in enumerate(network.layers) for lo, hi in layer}
        expected = zip(*(arrays[f'{case}_{name}'].tolist() for name in ('layer', 'min_wire', 'max_wire')), strict=True)
        assert ours == set(expected), case
        assert network.ranks == tuple(range(int(size)))


def _check_soft_sort(arrays, case, network, relaxation):
    values = torch.from_numpy(arrays[f'{case}_x']).requires_grad_()
    ranked, matrix = soft_sort(values, network, float(arrays[f'{case}_steepness']), relaxation)
    np.testing.assert_allclose(ranked.detach(), arrays[f'{case}_sorted'], rtol=1e-4, atol=3e-5, err_msg=case)
    np.testing.assert_allclose(matrix.detach(), arrays[f'{case}_perm'], rtol=1e-4, atol=3e-5, err_msg=case)
    for output, name in ((matrix, 'perm'), (ranked, 'sorted')):
        probe = (output * torch.from_numpy(arrays[f'{case}_w_{name}'])).sum()
        gradient, = torch.autograd.grad(probe, values, retain_graph=True)
        close_gradient(gradient, arrays[f'{case}_grad_from_{name}'], f'{case} from {name}')


@golden_case('neco', 'diffsort_cauchy')
def check_diffsort_cauchy(arrays):
    for case in cases_of(arrays, 'perm'):
        if f'{case}_x' in arrays:  # not the arrays '..._w_perm' and '..._grad_from_perm'
            kind = re.match('bitonic|odd_even', case)[0]
            network = sorting_network(kind, arrays[f'{case}_x'].shape[1], published=True)
            _check_soft_sort(arrays, case, network, 'cauchy')


@golden_case('neco', 'diffsort_distributions')
def check_diffsort_distributions(arrays):
    for case in cases_of(arrays, 'x'):
        networks = [sorting_network(kind, arrays[f'{case}_x'].shape[1]) for kind in ('bitonic', 'odd_even')]
        any_of(lambda network, case=case: _check_soft_sort(arrays, case, network, case), networks)


@golden_case('neco', 'permutation_of_feature_maps')
def check_permutation_of_feature_maps(arrays):
    for case in cases_of(arrays, 'src'):
        if f'{case}_perm' not in arrays:  # not '..._grad_src'
            continue
        source = torch.from_numpy(arrays[f'{case}_src']).requires_grad_()
        references = torch.from_numpy(arrays[f'{case}_ref'])
        kind = 'bitonic' if arrays[f'{case}_is_bitonic'] else 'odd_even'
        similarity = 'cosine' if arrays[f'{case}_is_cosine'] else 'euclidean'
        rows = similarities(*(one.flatten(2).mT for one in (source, references)), similarity)
        network = sorting_network(kind, rows.shape[-1], published=True)
        matrix = soft_sort(rows, network, float(arrays[f'{case}_steepness']))[1]
        # Ours is (B, cell, item, rank), theirs (B, rank, item, row, column).
        matrix = matrix.transpose(1, 3).unflatten(3, source.shape[2:])
        np.testing.assert_allclose(matrix.detach(), arrays[f'{case}_perm'], rtol=0, atol=3e-5, err_msg=case)
        (matrix * torch.from_numpy(arrays[f'{case}_w'])).sum().backward()
        close_gradient(source.grad, arrays[f'{case}_grad_src'], case)


@golden_case('neco', 'permutation_cross_entropy')
def check_permutation_cross_entropy(arrays):
    for case in cases_of(arrays, 'loss'):
        student = torch.from_numpy(arrays[f'{case}_p']).requires_grad_()
        teacher = torch.from_numpy(arrays[f'{case}_q'])
        weights = None
        if f'{case}_mask_all_boxes' in arrays:
            masks = arrays[f'{case}_mask_all_boxes']
            weights = masks[int(arrays[f'{case}_crop_idx'])::len(masks) // len(student), 0]
            weights = torch.from_numpy(weights).float()
        loss = permutation_cross_entropy(student.permute(0, 3, 4, 2, 1), teacher.permute(0, 3, 4, 2, 1), weights)
        np.testing.assert_allclose(loss.detach(), arrays[f'{case}_loss'], rtol=1e-5, err_msg=case)
        if f'{case}_grad_p' in arrays:
            loss.backward()
            np.testing.assert_allclose(student.grad, arrays[f'{case}_grad_p'], rtol=1e-5, atol=1e-12, err_msg=case)


@golden_case('neco', 'odd_even_float32_underflow')
def check_odd_even_float32_underflow(arrays):
    student = torch.from_numpy(arrays['student_sim']).float().requires_grad_()
    teacher = torch.from_numpy(arrays['teacher_sim']).float()
    network, steepness = sorting_network('odd_even', student.shape[1]), float(arrays['steepness'])
    plain = permutation_cross_entropy(*(soft_sort(one, network, steepness)[1] for one in (student, teacher)))
    for loss in (plain, sorted_cross_entropy(student, teacher, network, steepness)[0].mean()):
        np.testing.assert_allclose(loss.detach(), arrays['loss_float64'], rtol=1e-5)
        gradient, = torch.autograd.grad(loss, student)
        close_gradient(gradient, arrays['grad_student_sim_float64'])


def _loss_module(arrays, case):
    setting = {name: int(arrays[f'{case}_{name}']) for name in ('kernel', 'is_bitonic', 'is_cosine')}
    queue = None
    if f'{case}_queue' in arrays:
        num_queues, length, embed_dims = arrays[f'{case}_queue'].shape
        queue = dict(num_queues=num_queues, length=length, embed_dims=embed_dims)
    loss_module = NeCoLoss(
        kernel=setting['kernel'],
        network='bitonic' if setting['is_bitonic'] else 'odd_even',
        student_steepness=float(arrays[f'{case}_student_steepness']),
        teacher_steepness=float(arrays[f'{case}_teacher_steepness']),
        similarity='cosine' if setting['is_cosine'] else 'euclidean',
        mask='fg' if f'{case}_attention_mask' in arrays else 'all',  # the mask itself is given, of either kind
        mask_threshold=1.0,
        published_candidates=True,
        queue=queue).eval()  # the queue is recorded with this step's patches
    if queue:
        loss_module.queue.rows.copy_(torch.from_numpy(arrays[f'{case}_queue']))
        loss_module.queue.fill.fill_(int(arrays[f'{case}_entries_in_queue']))
    return loss_module


def _check_loss(arrays, case, with_teacher=True):
    tensors = {name: torch.from_numpy(np.asarray(arrays[f'{case}_{name}'])) for name in (
        'teacher_emb', 'student_global_emb', 'student_local_emb', 'boxes_gc', 'boxes_all', 'randperm')}
    batch, num_global, num_local, patch = (
        int(arrays[f'{case}_{name}']) for name in ('batch', 'num_global', 'num_local', 'patch'))
    grids = [(int(arrays[f'{case}_{kind}_size']) // patch, ) * 2
             for kind, count in (('global', num_global), ('local', num_local)) for _ in range(count)]
    loss_module = _loss_module(arrays, case)
    pairs = CropPairs(tensors['boxes_gc'], tensors['boxes_all'], patch, loss_module.kernel)

    students = [tensors[f'student_{kind}_emb'].requires_grad_() for kind in ('global', 'local')]
    maps = [*students[0].unflatten(0, (num_global, batch, -1)), *students[1].unflatten(0, (num_local, batch, -1))]
    teacher = tensors['teacher_emb'] if with_teacher else students[0]
    mask = None
    if loss_module.needs_attention:
        mask = torch.from_numpy(arrays[f'{case}_attention_mask']).float().view(num_global, batch, -1)
    targets = loss_module.targets(
        TeacherOutput(teacher.unflatten(0, (num_global, batch, -1)), grids[0]), pairs, mask, tensors['randperm'])
    exist = targets.weights.sum((1, 2)) > 0
    references = targets.references.detach().mT.unflatten(-1, (loss_module.kernel, -1))
    np.testing.assert_allclose(references[exist], arrays[f'{case}_references'][exist], rtol=0, atol=1e-5)

    aligned = pairs.align_student(maps, [pairs.student_matrix(v, grid) for v, grid in enumerate(grids)])
    losses, _ = loss_module.pair_losses(aligned, targets)
    np.testing.assert_allclose(losses.detach() * len(losses), arrays[f'{case}_sublosses'], rtol=1e-5, err_msg=case)
    np.testing.assert_allclose(losses.detach().sum(), arrays[f'{case}_loss'], rtol=1e-5, err_msg=case)
    losses.sum().backward()
    for part, kind in zip(students, ('global', 'local'), strict=True):
        close_gradient(part.grad, arrays[f'{case}_grad_student_{kind}'], f'{case} {kind}')
    return pairs, targets, aligned


@golden_case('neco', 'loss_batch_refs_kernel3', 'loss_foreground', 'loss_queue_bitonic49')
def check_loss(arrays):
    for case in cases_of(arrays, 'sublosses'):
        _check_loss(arrays, case)


@golden_case('neco', 'loss_no_teacher')
def check_loss_without_teacher(arrays):
    for case in cases_of(arrays, 'sublosses'):
        _check_loss(arrays, case, with_teacher=False)


@golden_case('neco', 'alignment_patch16')
def check_alignment(arrays):
    for case in cases_of(arrays, 'sublosses'):
        pairs, targets, aligned = _check_loss(arrays, case)
        number = 0
        for t in range(pairs.num_global):
            # One output for all boxes of the teacher's crop, its own among them, then one for every other crop.
            teacher = torch.from_numpy(arrays[f'{case}_aligned_{number}']).flatten(2).mT
            for pair, (_, v) in [(index, pair) for index, pair in enumerate(pairs.pairs) if pair[0] == t]:
                number += 1
                student = arrays[f'{case}_aligned_{number}']
                np.testing.assert_allclose(
                    aligned[pair].detach(), torch.from_numpy(student).flatten(2).mT, rtol=0, atol=1e-5)
                np.testing.assert_allclose(targets.queries[pair], teacher[v::pairs.num_crops], rtol=0, atol=1e-5)
            number += 1


@golden_case('neco', 'queue_updates')
def check_queue_updates(arrays):
    for case in cases_of(arrays, 'queue_after'):
        steps, num_queues, length, embed_dims = arrays[f'{case}_queue_after'].shape
        batch = int(arrays[f'{case}_batch'])
        queue = EmbeddingQueue(length, embed_dims, num_queues, counting='shared')
        for step in range(steps):
            embeddings = torch.from_numpy(arrays[f'{case}_teacher_emb'][step]).unflatten(0, (num_queues, batch, -1))
            valid = torch.ones(embeddings.shape[:3], dtype=torch.bool)
            if f'{case}_masks' in arrays:
                valid = torch.from_numpy(arrays[f'{case}_masks'][step]).reshape(num_queues, batch, -1) > 0
            orders = []
            for crop in range(num_queues):
                # Theirs is a permutation of the valid tokens, ours of all.
                candidates = valid[crop].flatten().nonzero()[:, 0]
                drawn = torch.from_numpy(arrays[f'{case}_randperm_{num_queues * step + crop}'])
                orders.append(torch.cat([candidates[drawn], (~valid[crop]).flatten().nonzero()[:, 0]]))
            queue.stage(embeddings, valid, torch.stack(orders))
            queue.commit()
            np.testing.assert_array_equal(queue.rows, arrays[f'{case}_queue_after'][step], err_msg=case)
            assert bool((queue.fill == int(arrays[f'{case}_entries_in_queue'][step])).all())


@golden_case('neco', 'schedules')
def check_schedules(arrays):
    # The length of the first two (25 epochs of 1848 steps, says the README) follows from a value in their middle.
    middle = np.abs(arrays['weight_decay'] - 0.27).argmin()
    share = (arrays['weight_decay'][middle] - 0.5) / (0.04 - 0.5)
    total = round(math.pi * arrays['steps'][middle] / math.acos(2 * share - 1))
    for name, start, end in (('weight_decay', 0.04, 0.5), ('momentum', 0.9995, 1.)):
        values = [cosine_value(start, end, int(step), total) for step in arrays['steps']]
        np.testing.assert_allclose(values, arrays[name], rtol=1e-6, err_msg=name)
    base, last = float(arrays['lr'][0]), int(arrays['lr_total_steps'])
    wrapper = build_optimizer(nn.ModuleDict(dict(backbone=nn.Linear(2, 2), neck=nn.Linear(2, 2))), base, base, 0.04)
    schedulers, rates = build_schedulers(wrapper, last, 0.5), []
    for _ in range(last):
        rates.append(wrapper.optimizer.param_groups[0]['lr'])
        wrapper.step()
        for scheduler in schedulers:
            scheduler.step()
    np.testing.assert_allclose(np.array(rates)[arrays['lr_steps']], arrays['lr'], rtol=1e-6)


def _parameters(arrays, prefix):
    return {name.removeprefix(prefix): torch.from_numpy(value) for name, value in arrays.items()
            if name.startswith(prefix)}


def tiny_neco(weights, kernel, network, num_heads, trainable_blocks):
    """A NeCo whose sizes follow the published arrays `weights` (a student's)."""
    width, _, patch, _ = weights['patch_embed.proj.weight'].shape
    grid = math.isqrt(weights['pos_embed'].shape[1] - 1)
    hidden = [value.shape for name, value in weights.items() if name.startswith('projection_head') and value.ndim == 2]
    backbone = dict(img_size=grid * patch, patch_size=patch, embed_dim=width, num_heads=num_heads,
                    depth=1 + max(int(name.split('.')[1]) for name in weights if name.startswith('blocks.')),
                    mlp_ratio=len(weights['blocks.0.mlp.fc1.bias']) / width)
    arch = 'vit_small_patch14_dinov2' if 'blocks.0.ls1.gamma' in weights else 'vit_tiny_patch16_224'
    if 'register_tokens' in weights:
        arch, backbone['reg_tokens'] = 'vit_small_patch14_reg4_dinov2', weights['register_tokens'].shape[1]
    return MODELS.build(dict(
        type='leopart_mm.NeCo',
        backbone=dict(type='leopart_mm.DenseViT', arch=arch, model_kwargs=backbone, class_position=True,
                      trainable_blocks=trainable_blocks),
        neck=dict(type='leopart_mm.ProjectionHead', hidden_channels=hidden[0][0],
                  out_channels=hidden[-1][0], num_layers=len(hidden)),
        head=dict(type='leopart_mm.NeCoLoss', kernel=kernel, network=network, published_network=True),
        teacher_init='independent'))


def _trainable_blocks(weights, group_sizes):
    """The number of last blocks that train, as the optimiser's first group tells; None if everything does."""
    decayed = [name for name, value in weights.items() if value.ndim > 1 and not name.startswith('projection_head')]
    if len(decayed) == group_sizes[0]:
        return None
    in_a_block = sum(name.startswith('blocks.0.') for name in decayed)
    return -(int(group_sizes[0]) // in_a_block)


@golden_case('neco', 'train_steps_queue', 'train_steps_batch_refs')
def check_train_steps(arrays):
    # Neither the network nor the number of heads is in the file.
    width = arrays['student0/cls_token'].shape[-1]
    heads = [number for number in (2, 4, 1, 3, 6) if width % number == 0]
    settings = [(network, number) for number in heads for network in ('bitonic', 'odd_even')]
    any_of(lambda setting: _check_train_steps(arrays, *setting), settings)


def _check_train_steps(arrays, network, num_heads):
    start, steps = _parameters(arrays, 'student0/'), len(arrays['losses'])
    trainable = _trainable_blocks(start, arrays['group_sizes'])
    model = tiny_neco(start, arrays['references'].shape[-1], network, num_heads, trainable)
    model.backbone.load_pretrained(start)
    model.reset_teacher()
    for root, weights in (('', start), ('teacher.', _parameters(arrays, 'teacher0/'))):
        for name, value in weights.items():
            if name.startswith('projection_head'):
                model.get_parameter(root + our_name(name)).data.copy_(value)
    model.train()

    # Everything is scheduled over twice the steps, says the README.
    lr, head_lr = arrays['lrs'][0, 0], arrays['lrs'][0, 2]
    wrapper = build_optimizer(model, float(lr), float(head_lr), float(arrays['weight_decays'][0, 0]))
    schedulers = build_schedulers(wrapper, 2 * steps, 0.5)
    ours, expected = [len(group['params']) for group in wrapper.optimizer.param_groups], arrays['group_sizes'].tolist()
    if trainable is None:
        expected[0] -= 'mask_token' in start  # which never gets a gradient, so we do not have it
    assert ours == expected
    hook = SelfSupStepHook(float(arrays['momenta'][0]), 1., before_optimizer=True)
    hook.attach(model, wrapper.optimizer)
    own_targets = model.head.targets
    for step in range(steps):
        crops = [torch.from_numpy(crop) for kind in ('global', 'local') for crop in arrays[f'{kind}_crops'][step]]
        boxes = {f'{name}_boxes': torch.from_numpy(arrays[f'boxes_{name}'][step]) for name in ('gc', 'all')}
        references = torch.from_numpy(arrays['references'][step]).flatten(3).mT
        model.head.targets = lambda *args, given=references: replace(own_targets(*args), references=given)
        runner = SimpleNamespace(model=model, iter=step, max_iters=2 * steps)
        hook.before_train_iter(runner, step)
        groups = wrapper.optimizer.param_groups
        np.testing.assert_allclose([group['lr'] for group in groups], arrays['lrs'][step], rtol=1e-6)
        np.testing.assert_allclose(
            [group['weight_decay'] for group in groups], arrays['weight_decays'][step], rtol=1e-6)
        np.testing.assert_allclose(hook.momentum, arrays['momenta'][step], rtol=1e-6)
        logged = model.train_step(dict(inputs=dict(crops=crops, **boxes)), wrapper)
        hook.after_train_iter(runner, step)
        for scheduler in schedulers:
            scheduler.step()
        np.testing.assert_allclose(logged['loss'].item(), arrays['losses'][step], rtol=1e-5)

    for prefix, root in (('student1/', ''), ('teacher1/', 'teacher.')):
        for name, value in _parameters(arrays, prefix).items():
            if name == 'mask_token':
                np.testing.assert_allclose(value, start[name], rtol=0, atol=1e-5)
                continue
            ours = model.get_parameter(root + our_name(name).replace('register_tokens', 'reg_token')).detach()
            if name.endswith('attn.qkv.bias'):  # keys' biases have no gradient; Adam makes steps of the rounding noise
                np.testing.assert_allclose(ours.chunk(3)[1], value.chunk(3)[1], rtol=0, atol=5e-3, err_msg=name)
                ours, value = (torch.cat(one.chunk(3)[::2]) for one in (ours, value))
            np.testing.assert_allclose(ours, value, rtol=0, atol=1e-5, err_msg=prefix + name)


@golden_case('neco', 'vit_v1_forward', 'vit_v2_forward', 'vit_v2_registers_forward')
@torch.no_grad()
def check_vit_forward(arrays):
    data = {name: torch.as_tensor(value) for name, value in arrays.items()}
    weights = _parameters(arrays, 'w/')
    vit, head = vit_and_head(weights, num_heads=data['last_cls_attention'].shape[1])

    def close(ours, expected):
        torch.testing.assert_close(ours, expected, atol=2e-5, rtol=0)

    projected = []
    for crops in (data['global_crops'], data['local_crops']):
        features = vit.forward_dense(crops.flatten(0, 1), cls_attention=True)
        projected.append(head(flat_patches(features.maps[0])).flatten(0, 1))
        if crops is data['global_crops']:
            registers = vit.num_prefix_tokens - 1
            close(features.cls_attention, data['last_cls_attention'][..., registers:])
    close(torch.cat(projected), data['projected'])
    close(all_tokens(vit, data['global_crops'][0]), data['backbone_global0'])
    close(all_tokens(vit, data['local_crops'][0]), data['backbone_local0'])
    stored = weights['pos_embed'][:, 1:]
    side = math.isqrt(stored.shape[1])
    for name, recorded in data.items():
        if name.startswith('pos_embed_'):
            grid = int(name.removeprefix('pos_embed_')) // weights['patch_embed.proj.weight'].shape[-1]
            close(resize_positions(stored, (side, side), (grid, grid)), recorded[:, 1:])
