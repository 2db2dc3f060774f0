"""Every code block of docs/extending.md runs, and what it defines does its work."""

import json
import re

import cv2
import numpy as np
import pytest
import torch
from mmseg.structures import SegDataSample

from leopart_mm.apis.generate_masks import generate_masks
from leopart_mm.checkpoints import key_layouts
from leopart_mm.geometry.patch_grid import Extent
from leopart_mm.masks import MaskInputs
from leopart_mm.models.fitting.chain import StageChain
from leopart_mm.models.fitting.requests import Requests
from leopart_mm.models.postprocessors.mask_sources import mask_inputs
from leopart_mm.models.segmentors import UnsupervisedSegmentor
from leopart_mm.registry import MODELS, TASK_UTILS
from tests.apis.builders import write_images
from tests.apis.proposal_sources import proposal_config
from tests.models.postprocessors.scenes import PARTS, Scenes, scene_batch, segmentor
from tests.models.segmentors.prototypes import on_features
from tests.models.selfsup.builders import part_of, random_batch, tiny_cfg
from tests.paths import REPO

CHAPTERS = dict(
    (chapter.split('\n', 1)[0].strip(), chapter)
    for chapter in (REPO / 'docs/extending.md').read_text().split('\n## ')[1:])


def run(chapter: str) -> dict:
    """The names that the chapter's code defines."""
    names: dict = {}
    blocks = re.findall(r'```python\n(.*?)```', CHAPTERS[chapter], re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, f'docs/extending.md, {chapter}', 'exec'), names)
    return names


@pytest.fixture
def registered():
    """Forget what a chapter registers."""
    before = {registry: dict(registry.module_dict) for registry in (MODELS, TASK_UTILS)}
    yield
    for registry, modules in before.items():
        registry._module_dict.clear()
        registry._module_dict.update(modules)


def test_every_chapter_is_about_forty_lines():
    for chapter, text in CHAPTERS.items():
        lines = [line for block in re.findall(r'```python\n(.*?)```', text, re.DOTALL)
                 for line in block.splitlines() if line.strip()]
        assert len(lines) <= 60, f'{chapter}: {len(lines)} lines of code'


def test_a_self_supervised_method(registered):
    names = run('A self-supervised method')
    config = tiny_cfg()
    assert {key: value['type'] for key, value in names['model_config'].items() if key != 'type'} == dict(
        backbone=config['backbone']['type'], neck=config['neck']['type'], head='leopart_mm.CosineLoss')
    torch.manual_seed(0)
    model = MODELS.build(dict(config, type=names['model_config']['type'],
                              head=dict(names['model_config']['head'], kernel=3)))
    inputs = random_batch(4)
    whole = model.loss(inputs)
    assert 0 < whole['loss'] < 2
    assert whole['teacher_spread'] > 0
    model.micro_batches = 2  # what the loss returns adds up over parts of the batch
    torch.testing.assert_close(model.loss(inputs)['loss'], whole['loss'])
    optimizer = torch.optim.Adam([*model.backbone.parameters(), *model.neck.parameters()], 1e-3)
    losses = []
    for _ in range(10):
        model.before_step()
        loss = model.loss(part_of(inputs, 0, 2))['loss']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model.after_step()
        losses.append(float(loss))
    assert losses[-1] < 0.8 * losses[0]
    findings = model.health_findings(dict(teacher_spread=0.))
    assert findings == ['teacher_spread is near 0: all patches have one embedding']


class Pool(torch.nn.AvgPool2d):
    """A backbone: mean colour of each patch."""

    patch_size, size_mode = 4, 'pad'

    def forward(self, image):
        return (super().forward(image), )


def test_a_fittable_head(registered):
    run('A fittable head')
    model = UnsupervisedSegmentor(Pool(4), dict(type='leopart_mm.PrincipalSplit')).eval()
    images = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 0.1
    images[:, :, :, 8:] += 1.
    meta = dict(img_padding_size=(0, 0, 0, 8))
    images[:, :, 8:] = 99  # padding
    samples = [SegDataSample(metainfo=dict(meta, img_path=str(index), ori_shape=(16, 32))) for index in range(4)]
    stream = [model.extract_batch(images, samples)]
    model.fit(stream)
    assert model.decode_head.info == dict(cells=4 * 2 * 4)
    for sample in model.predict_batch(stream[0]):
        labels = sample.pred_sem_seg.data[0]
        assert labels.shape == (16, 32)
        assert (labels[:, :16] != labels[:, 16:]).all()
    other = MODELS.build(dict(type='leopart_mm.PrincipalSplit'))
    other.load_state_dict(model.decode_head.state_dict())
    assert torch.equal(other.predict(stream[0]).scores, model.decode_head.predict(stream[0]).scores)


def test_a_post_processor(registered):
    stages = run('A post-processor')['postprocessors']
    stages['frequent'].update(num_labels=PARTS, min_share=0.1)
    model = segmentor()
    model.postprocessors = StageChain(stages)
    model.fit(Scenes())
    batch = scene_batch([3, 4])
    batch.input_size = (32, 32)
    labels = model.run_stages(batch).labels
    cells = torch.tensor(model.postprocessors['frequent'].info['cells'])
    assert cells.sum() == 12 * 64
    rare = (cells < 0.1 * cells.sum())[batch.predictions['head'].labels]
    assert rare.any()
    assert (labels[rare] == PARTS).all()
    assert torch.equal(labels[~rare], batch.predictions['head'].labels[~rare])
    for index, sample in enumerate(model.predict_batch(batch)):
        upsampled = labels[0, index].repeat_interleave(4, 0).repeat_interleave(4, 1)
        smooth = sample.pred_sem_seg.data[0]
        assert (smooth == upsampled).float().mean() > 0.9
        middles = torch.arange(2, 32, 4)  # of cells of 4 pixels, where half of the window is the cell's or more
        assert torch.equal(smooth[middles][:, middles], labels[0, index])


def test_a_mask_source(registered):
    stage = run('A mask source')['foreground']
    source = TASK_UTILS.build(stage['masks'])
    keys = torch.tensor([[1., 0], [0.9, 0.1], [0, 1], [1, 0]]).view(1, 1, 4, 2)
    inputs = MaskInputs(['a'], (2, 2), [Extent(0, 2, 0, 2)], attention=torch.tensor([[[.1, .5, .2, .2]]]), k=keys)
    assert source(inputs).tolist() == [[[1, 1], [0, 1]]]
    inputs.extents = [Extent(0, 1, 0, 2)]
    assert source(inputs).tolist() == [[[1, 1], [0, 0]]]
    backbone = dict(type='leopart_mm.DenseViT', arch='vit_tiny_patch16_224',
                    model_kwargs=dict(img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=2))
    head = dict(type='leopart_mm.OverclusterHead', num_clusters=3, seeds=1, pca_dim=2, niter=3, nredo=1)
    torch.manual_seed(0)
    model = UnsupervisedSegmentor(backbone, head, postprocessors=dict(foreground=stage)).eval()
    with torch.no_grad():
        for parameter in model.backbone.parameters():
            parameter.normal_(std=0.3)
    assert model.requests(fitting=True) == Requests(attention=True, qkv=-1)
    samples = [SegDataSample(metainfo=dict(img_path=str(index))) for index in range(4)]
    batch = model.extract_batch(torch.randn(4, 3, 32, 32), samples)
    masks = source(mask_inputs(batch))
    model.fit([batch])
    assert model.postprocessors['foreground'].info['noisy_share'] == pytest.approx(float(masks.mean()))


def test_a_proposal_source(registered, tmp_path):
    config = proposal_config(tmp_path / 'in', [dict(type='LoadImageFromFile'), dict(type='PackSegInputs')])
    config.proposals = run('A proposal source')['proposals'] | dict(times=1., min_pixels=10)
    write_images(tmp_path / 'in', ['1.png', '2.png'], size=(20, 44))
    report = generate_masks(config, tmp_path / 'out', workers=0)
    found = json.loads((tmp_path / 'out' / 'annotations.json').read_text())
    assert [(image['height'], image['width']) for image in found['images']] == [(20, 44)] * 2
    assert len(found['annotations']) == sum(report.masks.values()) > 0
    assert all(0 < entry['score'] <= 1 and entry['area'] >= 10 for entry in found['annotations'])


def test_an_objective_of_prototypes(registered):
    objective = run('An objective of prototypes')['objective']
    torch.manual_seed(0)
    model = on_features(6, 3, objective)
    features = torch.randn(4, 6, 5, 5)
    model.initialise([features])
    student = features + torch.randn_like(features)
    optimizer = torch.optim.Adam([one for one in model.parameters() if one.requires_grad], 1e-2)
    losses = []
    for _ in range(10):
        found = model.losses(features, student, None, None)
        losses.append(float(found['loss_prototypes'].detach()))
        optimizer.zero_grad()
        found['loss_prototypes'].backward()
        optimizer.step()
    assert losses[-1] < losses[0]
    assert found['used'] == 1
    before = model.teacher.decode_head.weight_v.clone()
    model.follow(0)
    assert torch.equal(model.teacher.decode_head.weight_v, model.decode_head.weight_v)
    assert not torch.equal(model.teacher.decode_head.weight_v, before)
    assert model.objective.momentum_of(1, 1) == 0.99
    assert model.health_findings(dict(used=0.)) == ['nearly all cells have one class']


def test_a_checkpoint_layout(tmp_path, request):
    layout = run('A checkpoint layout')['MYNET']
    request.addfinalizer(lambda: key_layouts.BACKBONE_LAYOUTS.remove(layout))
    backbone = tiny_cfg()['backbone']
    torch.manual_seed(0)
    source = MODELS.build(backbone)
    state = layout.from_timm({key.removeprefix('vit.'): value for key, value in source.state_dict().items()})
    assert 'stage.1.attention.qkv.weight' in state
    assert 'stem.weight' in state
    torch.save({f'encoder.{key}': value for key, value in state.items()}, tmp_path / 'mynet.pth')
    model = MODELS.build(dict(backbone, checkpoint=str(tmp_path / 'mynet.pth')))
    model.init_weights()
    images = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(model.eval()(images)[0], source.eval()(images)[0])


def test_a_run_of_several_stages(tmp_path):
    run_all = run('A run of several stages')['run']
    images = [tmp_path / f'{name}.png' for name in 'ab']
    for image, value in zip(images, (100, 200), strict=True):
        cv2.imwrite(str(image), np.full((4, 4, 3), value, np.uint8))
    first, again, other = (run_all(images, tmp_path / 'run', threshold) for threshold in (127, 127, 50))
    assert [outcomes['share'].result['share'] for outcomes in (first, again, other)] == [0.5, 0.5, 1]
    assert [outcomes['masks'].resumed for outcomes in (first, again, other)] == [False, True, False]
    cv2.imwrite(str(images[1]), np.full((4, 4, 3), 40, np.uint8))
    assert run_all(images, tmp_path / 'run', 50)['share'].result['share'] == 0.5
