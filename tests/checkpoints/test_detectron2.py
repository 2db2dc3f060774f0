"""Detectors of detectron2: the same numbers under MMDetection's names, and clear words for what is no such file."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.registry import DefaultScope

from leopart_mm.checkpoints.detectron2 import detectron2_to_mmdet, is_detectron2
from leopart_mm.checkpoints.safe_reading import BackboneCheckpointError
from leopart_mm.engine.hooks import Detectron2CheckpointHook
from tests.tiny_detector import MEAN, STD, tiny_detector

BLOCKS = (2, 2, 2, 2)  # of ResNet-18


def theirs():
    """detectron2's names of a tiny Mask R-CNN's tensors, by MMDetection's."""
    names = {'backbone.conv1.weight': 'backbone.bottom_up.stem.conv1.weight'}
    norms = {'backbone.bn1': 'backbone.bottom_up.stem.conv1.norm'}
    for stage, blocks in enumerate(BLOCKS, 1):
        for block in range(blocks):
            ours, other = f'backbone.layer{stage}.{block}', f'backbone.bottom_up.res{stage + 1}.{block}'
            for number in (1, 2):
                names[f'{ours}.conv{number}.weight'] = f'{other}.conv{number}.weight'
                norms[f'{ours}.bn{number}'] = f'{other}.conv{number}.norm'
            if stage > 1 and block == 0:
                names[f'{ours}.downsample.0.weight'] = f'{other}.shortcut.weight'
                norms[f'{ours}.downsample.1'] = f'{other}.shortcut.norm'
    for ours, other in norms.items():
        names.update({f'{ours}.{part}': f'{other}.{part}' for part in (
            'weight', 'bias', 'running_mean', 'running_var')})
    layers = {'rpn_head.rpn_conv': 'proposal_generator.rpn_head.conv',
              'rpn_head.rpn_cls': 'proposal_generator.rpn_head.objectness_logits',
              'rpn_head.rpn_reg': 'proposal_generator.rpn_head.anchor_deltas',
              'roi_head.bbox_head.shared_fcs.0': 'roi_heads.box_head.fc1',
              'roi_head.bbox_head.shared_fcs.1': 'roi_heads.box_head.fc2',
              'roi_head.bbox_head.fc_cls': 'roi_heads.box_predictor.cls_score',
              'roi_head.bbox_head.fc_reg': 'roi_heads.box_predictor.bbox_pred',
              'roi_head.mask_head.upsample': 'roi_heads.mask_head.deconv',
              'roi_head.mask_head.conv_logits': 'roi_heads.mask_head.predictor'}
    for level in range(4):
        layers[f'neck.lateral_convs.{level}.conv'] = f'backbone.fpn_lateral{level + 2}'
        layers[f'neck.fpn_convs.{level}.conv'] = f'backbone.fpn_output{level + 2}'
        layers[f'roi_head.mask_head.convs.{level}.conv'] = f'roi_heads.mask_head.mask_fcn{level + 1}'
    names.update({f'{ours}.{part}': f'{other}.{part}' for ours, other in layers.items() for part in ('weight', 'bias')})
    return names


@pytest.fixture(scope='module')
def model():
    with DefaultScope.overwrite_default_scope('mmdet'):
        torch.manual_seed(0)
        model = tiny_detector()
        model.init_weights()
        with torch.no_grad():
            for name, value in model.state_dict().items():
                if 'running' in name:
                    value.uniform_(0.5, 1.5)
        return model.eval()


def file_of(model, bgr=False, std=STD, says=True, arrays=False):
    """The model as detectron2 would keep it, which divides by `std` and reads blue first if `bgr`."""
    names = theirs()
    state = {names[key]: value.clone() for key, value in model.state_dict().items() if 'num_batches' not in key}
    stem = state['backbone.bottom_up.stem.conv1.weight'] * (torch.tensor(std) / torch.tensor(STD))[:, None, None]
    state['backbone.bottom_up.stem.conv1.weight'] = stem.flip(1) if bgr else stem
    if says:
        state['pixel_mean'] = torch.tensor(MEAN[::-1] if bgr else MEAN)[:, None, None]
        state['pixel_std'] = torch.tensor(std[::-1] if bgr else std)[:, None, None]
    state['proposal_generator.anchor_generator.cell_anchors.0'] = torch.zeros(3, 4)
    return dict(model={key: value.numpy() if arrays else value for key, value in state.items()}, iteration=5)


@pytest.mark.parametrize('kind', [dict(), dict(bgr=True, std=[1., 1., 1.]), dict(bgr=True), dict(arrays=True),
                                  dict(says=False)], ids=str)
def test_every_tensor_comes_back(model, kind):
    file = file_of(model, **kind)
    assert is_detectron2(file)
    state = detectron2_to_mmdet(file, MEAN, STD)
    expected = model.state_dict()
    assert state.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(state[key], value, msg=key)


def test_what_the_file_does_not_say_can_be_given(model):
    file = file_of(model, bgr=True)
    del file['model']['pixel_mean'], file['model']['pixel_std']
    state = detectron2_to_mmdet(file, MEAN, STD, bgr=True)
    torch.testing.assert_close(state['backbone.conv1.weight'], model.state_dict()['backbone.conv1.weight'])
    wrong = detectron2_to_mmdet(file, MEAN, STD)
    assert not torch.equal(wrong['backbone.conv1.weight'], model.state_dict()['backbone.conv1.weight'])


def test_other_files_are_refused_or_let_alone(model):
    assert not is_detectron2(dict(state_dict=model.state_dict()))
    assert not is_detectron2(dict(model={'layer1.0.conv1.weight': torch.zeros(1)}))
    file = file_of(model)
    file['model']['roi_heads.res5.0.conv1.weight'] = torch.zeros(1)
    with pytest.raises(BackboneCheckpointError, match=r'a.pth is a detectron2 model without an FPN \(C4'):
        detectron2_to_mmdet(file, MEAN, STD, name='a.pth')
    file = file_of(model)
    file['model']['roi_heads.keypoint_head.conv_fcn1.weight'] = torch.zeros(1)
    with pytest.raises(BackboneCheckpointError, match=r'lacks: roi_heads.keypoint_head.conv_fcn1.weight'):
        detectron2_to_mmdet(file, MEAN, STD)
    with pytest.raises(BackboneCheckpointError, match=r'subtracts \[.*red first.*mean='):
        detectron2_to_mmdet(file_of(model), [1., 2., 3.], STD)


def runner_of(model, metric=None):
    return SimpleNamespace(model=model, _resume=False, _load_from='det.pth',
                           _test_loop=SimpleNamespace(evaluator=SimpleNamespace(metrics=[metric])))


def test_the_hook_loads_it_and_compares_shapes(model):
    with DefaultScope.overwrite_default_scope('mmdet'):
        other, wider = tiny_detector(), tiny_detector(num_classes=5)
    checkpoint = file_of(model, bgr=True)
    Detectron2CheckpointHook().after_load_checkpoint(runner_of(other), checkpoint)
    assert list(checkpoint) == ['state_dict']
    other.load_state_dict(checkpoint['state_dict'])
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 64, 96), dtype=np.uint8))
    found = [net.eval().test_step(dict(inputs=[image], data_samples=[DetDataSample(metainfo=dict(
        img_shape=(64, 96), ori_shape=(64, 96), scale_factor=(1., 1.)))]))[0].pred_instances for net in (model, other)]
    assert len(found[0].scores)
    for name in ('scores', 'bboxes', 'labels'):
        torch.testing.assert_close(found[0][name], found[1][name], rtol=1e-3, atol=1e-3)
    with pytest.raises(BackboneCheckpointError, match=r'det.pth is a detector of detectron2 with 2 classes.*classes=2'):
        Detectron2CheckpointHook().after_load_checkpoint(runner_of(wider), file_of(model))


def test_the_hook_tells_writers_the_categories_of_the_training_data(model):
    metric = SimpleNamespace(category_ids=None, dataset_meta=dict(classes=()))
    checkpoint = dict(state_dict=model.state_dict(), meta=dict(dataset_meta=dict(category_ids=(4, 9))))
    Detectron2CheckpointHook().after_load_checkpoint(runner_of(model, metric), checkpoint)
    assert metric.category_ids == [4, 9]
    metric = SimpleNamespace(category_ids=None, dataset_meta=dict(category_ids=(1, 2)))
    Detectron2CheckpointHook().after_load_checkpoint(runner_of(model, metric), checkpoint)
    assert metric.category_ids is None
    assert 'state_dict' in checkpoint
