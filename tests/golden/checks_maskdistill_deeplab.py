"""Golden checks of MaskDistill's segmentation training: network, loss, images, schedules, linear probe."""

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.optim import MultiStepLR, OptimWrapper, PolyLR
from mmengine.structures import PixelData
from mmseg.datasets.transforms import Resize
from mmseg.structures import SegDataSample

from leopart_mm.datasets.transforms.affine import affine_image, affine_map, affine_matrix, draw_affine
from leopart_mm.engine.config import load_config
from leopart_mm.models.backbones import DenseResNet
from leopart_mm.models.decode_heads import DeepLabHead
from leopart_mm.models.losses.ohem import ohem_cross_entropy
from tests.golden.cases import golden_case
from tests.paths import REPO

CONFIGS = REPO / 'configs' / 'maskdistill'


def close(ours, theirs, share=1e-4):
    """Within a share of the largest entry."""
    theirs = torch.as_tensor(theirs)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=share * float(theirs.abs().max()))


def names(array):
    return array.tobytes().decode().split()


@golden_case('maskdistill', 'deeplab_head')
def check_deeplab_head(arrays):
    weights = {key.removeprefix('w/'): torch.tensor(value) for key, value in arrays.items() if key.startswith('w/')}
    classes, channels = weights['4.weight'].shape[:2]
    features = torch.tensor(arrays['input'], requires_grad=True)
    head = DeepLabHead(features.shape[1], channels, tuple(arrays['rates'].tolist()), num_classes=classes,
                       dropout_ratio=0.)
    head.layers.load_state_dict(weights)
    head.eval()
    with torch.no_grad():
        torch.testing.assert_close(head.layers[0](features), torch.tensor(arrays['aspp_output']), rtol=0, atol=2e-5)
        logits = head([features])
        size = tuple(arrays['up_hw'].tolist())
        whole = head.predict([features], [dict(img_shape=size)], {})
    torch.testing.assert_close(logits, torch.tensor(arrays['eval_output']), rtol=0, atol=2e-5)
    torch.testing.assert_close(whole, torch.tensor(arrays['eval_logits']), rtol=0, atol=2e-5)
    output = head.train()([features])
    torch.testing.assert_close(output, torch.tensor(arrays['train_output']), rtol=0, atol=2e-5)
    (output * torch.tensor(arrays['probe_weights'])).sum().backward()
    close(features.grad, arrays['grad_input'])
    gradients = {f'grad/{name}': parameter.grad for name, parameter in head.layers.named_parameters()}
    for key in (key for key in arrays if key.startswith('grad/')):
        close(gradients[key], arrays[key])
    state = head.layers.state_dict()
    for key in (key for key in arrays if key.startswith('after/')):
        torch.testing.assert_close(state[key.removeprefix('after/')], torch.tensor(arrays[key]), rtol=0, atol=1e-5)


@golden_case('maskdistill', 'deeplab_structure')
def check_deeplab_structure(arrays):
    with torch.device('meta'):
        head = DeepLabHead(2048, num_classes=21)
        for frozen in (2, 3, 4):
            backbone = DenseResNet(50, output_stride=8, frozen_stages=frozen, norm_eval=False).train()
            model = torch.nn.ModuleDict(dict(backbone=backbone, head=head.layers))
            trainable = {key: value for key, value in model.named_parameters() if value.requires_grad}
            assert set(trainable) == set(names(arrays[f'freeze{frozen}_trainable']))
            assert sum(value.numel() for value in trainable.values()) == arrays[f'freeze{frozen}_num_trainable']
            in_training = [key for key, module in model.named_modules()
                           if isinstance(module, torch.nn.BatchNorm2d) and module.training]
            assert set(in_training) == set(names(arrays[f'freeze{frozen}_bn_train']))
    state = model.state_dict()
    assert set(state) == set(names(arrays['state_dict_names']))
    # The number is that of the parameters alone, other than the golden README says.
    assert sum(value.numel() for value in model.parameters()) == arrays['num_parameters']
    modules = dict(model.backbone.named_modules())
    for name, expected in zip(names(arrays['conv_names']), arrays['conv_table'].tolist(), strict=True):
        conv = modules[name.removeprefix('backbone.')]
        assert [*conv.stride, *conv.dilation, *conv.padding, conv.in_channels, conv.out_channels,
                conv.kernel_size[0]] == expected, name


@golden_case('maskdistill', 'ohem_loss')
def check_ohem_loss(arrays):
    for case in [key.removesuffix('_share') for key in arrays if key.endswith('_share')]:
        labels = torch.from_numpy(arrays[f'{case}_labels'])
        for name, loss_of in (('', lambda logits, share=float(arrays[f'{case}_share']), labels=labels:
                               ohem_cross_entropy(logits, labels, share)),
                              ('ce_', lambda logits, labels=labels: F.cross_entropy(logits, labels, ignore_index=255))):
            logits = torch.tensor(arrays[f'{case}_logits'], requires_grad=True)
            loss = loss_of(logits)
            loss.backward()
            np.testing.assert_allclose(float(loss.detach()), arrays[f'{case}_{name}loss'], rtol=1e-5)
            close(logits.grad, arrays[f'{case}_{name}grad'])
            if not name:
                touched = int((logits.grad != 0).any(1).sum())
                assert touched == arrays[f'{case}_num_selected']


def resized(image, label, size):
    step = Resize(scale=tuple(size[::-1].tolist()), keep_ratio=False, interpolation='bicubic')
    found = step(dict(img=image, gt_seg_map=label, seg_fields=['gt_seg_map']))
    return found['img'], found['gt_seg_map']


def close_images(ours, theirs):
    assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= 4


@golden_case('maskdistill', 'augment')
def check_augment(arrays):
    image, label = arrays['image'], arrays['label']
    for case in [key.removesuffix('rotation') for key in arrays if key.endswith('_rotation')]:
        matrix = affine_matrix(label.shape, float(arrays[f'{case}rotation']), float(arrays[f'{case}scale']))
        np.testing.assert_array_equal(matrix, arrays[f'{case}matrix'])
        np.testing.assert_array_equal(affine_map(label, matrix, 0), arrays[f'{case}label'])
        close_images(affine_image(image, matrix), arrays[f'{case}image'])
    for case in ('resize', 'shrink'):
        found = resized(image, label, arrays[f'{case}_hw'])
        np.testing.assert_array_equal(found[0], arrays[f'{case}_image'])
        np.testing.assert_array_equal(found[1], arrays[f'{case}_label'])
    preprocessor = load_config(CONFIGS / 'deeplab_moco-r50_voc.py').model.data_preprocessor
    mean, std = (torch.tensor(values)[:, None, None] for values in (preprocessor.mean, preprocessor.std))
    tensor = (torch.from_numpy(arrays['shrink_image']).permute(2, 0, 1) - mean) / std
    torch.testing.assert_close(tensor, torch.from_numpy(arrays['shrink_tensor']), rtol=0, atol=1e-6)
    for number, seed in enumerate(arrays['seeds'].tolist()):
        rng = np.random.RandomState(seed)
        flipped = rng.random() < 0.5
        rotation, scale = draw_affine(rng, 5., (0.75, 1.25))
        np.testing.assert_array_equal([flipped, rotation, scale], arrays['seed_params'][number])
        turned, labels = (np.ascontiguousarray(one[:, ::-1]) if flipped else one for one in (image, label))
        matrix = affine_matrix(label.shape, rotation, scale)
        found = resized(affine_image(turned, matrix), affine_map(labels, matrix, 0), arrays['seed_hw'])
        close_images(found[0], arrays[f'draw{number}_image'])
        np.testing.assert_array_equal(found[1], arrays[f'draw{number}_label'])


def rates(schedule, epochs, lr, **kwargs):
    """The rate of every epoch."""
    wrapper = OptimWrapper(torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr))
    scheduler = schedule(wrapper.optimizer, by_epoch=True, **kwargs)
    found = []
    for _ in range(epochs):
        found.append(wrapper.get_lr()['lr'][0])
        wrapper.optimizer.step()
        scheduler.step()
    return found


@golden_case('maskdistill', 'schedules')
def check_schedules(arrays):
    cases = [key.removesuffix('decay_epochs') for key in arrays if key.endswith('_decay_epochs')]
    assert cases
    for name in cases:
        case = {key.removeprefix(name): value for key, value in arrays.items() if key.startswith(name)}
        found = rates(MultiStepLR, int(case['epochs']), float(case['base_lr']),
                      milestones=[epoch + 1 for epoch in case['decay_epochs'].tolist()], gamma=float(case['rate']))
        np.testing.assert_allclose(found, case['lr'], rtol=1e-9, err_msg=name)
    for config, expected in (('deeplab_moco-r50_voc', (45, 0.002, [41])), ('linear_moco-r50_voc', (60, 0.1, [26]))):
        cfg = load_config(CONFIGS / f'{config}.py')
        (schedule, ) = cfg.param_scheduler
        assert (cfg.train_cfg.max_epochs, cfg.optim_wrapper.optimizer.lr, schedule.milestones) == expected
        assert schedule.gamma == 0.1
    epochs = int(arrays['poly_epochs'])
    found = rates(PolyLR, epochs, float(arrays['poly_base_lr']), power=0.9, eta_min=0., end=epochs + 1)
    np.testing.assert_allclose(found, arrays['poly_lr'], rtol=1e-9)


@golden_case('maskdistill', 'linear_probe')
def check_linear_probe(arrays):
    weight, bias = torch.tensor(arrays['weight0']), torch.tensor(arrays['bias0'])
    classes, channels = weight.shape[:2]
    cfg = load_config(CONFIGS / 'linear_moco-r50_voc.py')
    head = DeepLabHead(2, channels, num_classes=classes, frozen=True, loss_decode=cfg.model.decode_head.loss_decode)
    head.classifier.weight.data, head.classifier.bias.data = weight, bias
    optimizer = cfg.optim_wrapper.optimizer
    assert dict(optimizer) == dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-4)
    sgd = torch.optim.SGD(head.parameters(), **{name: float(arrays[name]) for name in optimizer if name != 'type'})
    for step, (features, labels) in enumerate(zip(arrays['features'], arrays['labels'], strict=True)):
        samples = [SegDataSample(gt_sem_seg=PixelData(data=torch.from_numpy(label[None]).long())) for label in labels]
        logits = head.classifier(torch.tensor(features))
        loss = head.loss_by_feat(logits, samples)['loss_ce']
        np.testing.assert_allclose(float(loss.detach()), arrays['losses'][step], rtol=1e-5)
        sgd.zero_grad()
        loss.backward()
        if step == 0:
            up = F.interpolate(logits, tuple(arrays['up_hw'].tolist()), mode='bilinear', align_corners=False)
            torch.testing.assert_close(up.detach(), torch.tensor(arrays['logits0']), rtol=0, atol=1e-5)
            close(head.classifier.weight.grad, arrays['grad_weight0'])
            close(head.classifier.bias.grad, arrays['grad_bias0'])
        sgd.step()
    torch.testing.assert_close(head.classifier.weight.detach(), torch.tensor(arrays['weight4']), rtol=0, atol=1e-5)
    torch.testing.assert_close(head.classifier.bias.detach(), torch.tensor(arrays['bias4']), rtol=0, atol=1e-5)
