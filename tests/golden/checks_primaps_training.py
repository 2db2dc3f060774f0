"""Golden checks: PriMaPs' baseline, initialisation, EM steps, linear probe and evaluation (spec §7 to §10)."""

import torch
import torch.nn.functional as F

from leopart_mm.models.losses.class_focal import class_focal_loss, focal_class_weights, pixel_cross_entropy
from leopart_mm.models.segmentors.prototype_objectives import to_pixels
from tests.golden.cases import golden_case
from tests.models.segmentors.prototypes import EM, KMEANS, PREPROCESSOR, GivenFeatures, on_features


def cases(arrays, last):
    """Case -> its tensors by name; every case has an array called `last`."""
    names = [key.removesuffix(f'_{last}') for key in arrays if key.endswith(f'_{last}')]
    names = [name for name in names if not any(name != other and name.startswith(f'{other}_') for other in names)]
    return {name: {key.removeprefix(f'{name}_'): torch.as_tensor(value) for key, value in arrays.items()
                   if key.startswith(f'{name}_')} for name in names}


def close(ours, recorded, tolerance):
    torch.testing.assert_close(ours.detach().float(), recorded.float(), atol=tolerance, rtol=0)


def start(head, weight, gain=None):
    head.set_prototypes(weight)
    if gain is not None:
        head.weight_g.data = gain[:, None, None, None].clone()


def set_probe(model, weight, bias):
    model.linear_probe.weight.data = weight[..., None, None].clone()
    model.linear_probe.bias.data = bias.clone()


def adam(model, lr, probe_lr):
    prototypes = [parameter for parameter in model.decode_head.parameters() if parameter.requires_grad]
    return torch.optim.Adam([dict(params=prototypes, lr=float(lr)),
                             dict(params=list(model.linear_probe.parameters()), lr=float(probe_lr))])


@golden_case('primaps', 'kmeans_baseline')
def check_kmeans_baseline(arrays):
    for case in cases(arrays, 'prototypes_start').values():
        number, channels = case['prototypes_start'].shape
        model = on_features(channels, number, KMEANS, number, probe_divisor='all')
        start(model.decode_head, case['prototypes_start'])
        set_probe(model, case['linear_weight_start'], case['linear_bias_start'])
        optimizer = adam(model, case['lr_cluster'], case['lr_linear'])
        for step, features in enumerate(case['features']):
            scores = model.decode_head(F.normalize(features, dim=1))
            assert torch.equal(scores.argmax(1), case['assignments'][step])
            losses = model.losses(features, features, None, case['labels'][step])
            close(losses['loss_prototypes'], case['loss_cluster'][step], 1e-5)
            close(losses['loss_linear'], case['loss_linear'][step], 1e-5)
            optimizer.zero_grad()
            (losses['loss_prototypes'] + losses['loss_linear']).backward()
            optimizer.step()
            model.follow(step)
            for head in (model.decode_head, model.teacher.decode_head):
                close(head.weight_v.flatten(1), case['prototypes'][step], 1e-4)
            close(model.linear_probe.weight.flatten(1), case['linear_weight'][step], 1e-4)
            close(model.linear_probe.bias, case['linear_bias'][step], 1e-4)


@golden_case('primaps', 'pca_init')
def check_pca_init(arrays):
    for case in cases(arrays, 'components').values():
        model = on_features(case['features'].shape[2], int(case['num_classes']), KMEANS)
        model.initialise(case['features'])
        for head in (model.decode_head, model.teacher.decode_head):
            signs = (head.prototypes() * case['components']).sum(1, keepdim=True).sign()
            close(head.prototypes() * signs, case['components'], 1e-3)
            assert head.is_fitted
            assert (head.weight_g == 1).all()


@golden_case('primaps', 'focal_loss')
def check_focal_loss(arrays):
    for case in cases(arrays, 'gamma').values():
        logits = case['logits'].clone().requires_grad_()
        gamma = float(case['gamma'])
        close(focal_class_weights(F.log_softmax(logits, 1), gamma), case['class_weights'], 1e-6)
        loss = class_focal_loss(logits, case['labels'], gamma, divisor='all')
        loss.backward()
        close(loss, case['loss'], 1e-6)
        close(logits.grad, case['grad'], 1e-6)


@golden_case('primaps', 'ema')
def check_ema(arrays):
    for case in cases(arrays, 'beta').values():
        number, channels = case['online_v'].shape[1:]
        model = on_features(channels, number, dict(EM, ema_decay=float(case['beta']), ema_interval=1))
        start(model.decode_head, case['online_v'][0], case['online_g'][0])
        model.reset_teacher()
        for call in range(len(case['ema_g'])):
            start(model.decode_head, case['online_v'][call + 1], case['online_g'][call + 1])
            model.follow(call + 1)
            close(model.teacher.decode_head.weight_g.flatten(), case['ema_g'][call], 1e-6)
            close(model.teacher.decode_head.weight_v.flatten(1), case['ema_v'][call], 1e-6)


@golden_case('primaps', 'train_steps')
def check_train_steps(arrays):
    for case in cases(arrays, 'start_v').values():
        number, channels = case['start_v'].shape
        objective = dict(EM, gamma=float(case['gamma']), divisor='all', ema_decay=float(case['ema_decay']),
                         ema_interval=int(case['ema_update_step']))
        model = on_features(channels, number, objective, number, probe_divisor='all')
        start(model.decode_head, case['start_v'])
        model.reset_teacher()
        set_probe(model, case['linear_weight_start'], case['linear_bias_start'])
        optimizer = adam(model, case['lr_running'], case['lr_linear'])
        student = case['features_student'] if case['student_augs'] else case['features_clean']
        for step, clean in enumerate(case['features_clean']):
            labels = model.objective.pseudo_labels(model.teacher.decode_head, clean, case['proposals'][step])
            assert torch.equal(labels, case['pseudo_labels'][step])
            losses = model.losses(clean, student[step], case['proposals'][step], case['labels'][step])
            close(losses['loss_prototypes'], case['loss_running'][step], 1e-5)
            close(losses['loss_linear'], case['loss_linear'][step], 1e-5)
            optimizer.zero_grad()
            (losses['loss_prototypes'] + losses['loss_linear']).backward()
            optimizer.step()
            model.follow(step)
            for name, head in (('running', model.decode_head), ('momentum', model.teacher.decode_head)):
                close(head.weight_g.flatten(), case[f'{name}_g'][step], 2e-4)
                close(head.weight_v.flatten(1), case[f'{name}_v'][step], 2e-4)
            close(model.linear_probe.weight.flatten(1), case['linear_weight'][step], 2e-4)
            close(model.linear_probe.bias, case['linear_bias'][step], 2e-4)


@golden_case('primaps', 'linear_probe')
def check_linear_probe(arrays):
    for case in cases(arrays, 'weight_after').values():
        model = on_features(case['weight'].shape[1], 2, KMEANS, len(case['weight']))
        set_probe(model, case['weight'], case['bias'])
        probe = model.linear_probe
        optimizer = torch.optim.Adam(probe.parameters(), lr=5e-3)
        logits = to_pixels(probe(case['features']), case['labels'].shape[-2:])
        loss = pixel_cross_entropy(logits, case['labels'], divisor='all')
        loss.backward()
        close(loss, case['loss'], 1e-6)
        close(probe.weight.grad.flatten(1), case['grad_weight'], 1e-6)
        close(probe.bias.grad, case['grad_bias'], 1e-6)
        optimizer.step()
        close(probe.weight.flatten(1), case['weight_after'], 1e-4)
        close(probe.bias, case['bias_after'], 1e-4)


@golden_case('primaps', 'evaluation')
def check_evaluation(arrays):
    for case in cases(arrays, 'scored_labels').values():
        number, channels = case['running_v'].shape
        for backend, endings, share in (('lattice', ('pred', 'crf'), 5e-3), ('exact', ('exact', 'crf'), 1e-3)):
            backbone = GivenFeatures(case['features'], case['features_mirrored'])
            backbone.patch_size, backbone.size_mode = None, 'resize'
            model = on_features(
                channels, number, KMEANS if case['momentum_normalised'] else EM, number, backbone=backbone,
                test_cfg=dict(flip=True), data_preprocessor=dict(PREPROCESSOR), postprocessors=dict(crf=dict(
                    type='leopart_mm.DenseCRF', bytes='truncate', backend=backend))).eval()
            start(model.decode_head, case['running_v'], case['running_g'])
            start(model.teacher.decode_head, case['momentum_v'], case['momentum_g'])
            set_probe(model, case['linear_weight'], case['linear_bias'])
            found = model.predict(case['images'])
            for name in ('momentum', 'running', 'linear'):
                agree(found, f'pred_{name}', case[f'pred_{name}'], 1e-3)
            for name in ('momentum', 'running'):
                agree(found, f'pred_{name}_crf', case[f'{endings[0]}_{name}_{endings[1]}'], share)
            for sample in found:
                assert torch.equal(sample.pred_sem_seg.data, sample.pred_momentum_crf.data)


def agree(samples, field, recorded, share):
    ours = torch.cat([sample.get(field).data for sample in samples])
    assert ours.shape == recorded.shape
    assert (ours != recorded).float().mean() <= share, field
