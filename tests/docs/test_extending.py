"""Every code block of docs/extending.md runs, and what it defines does its work."""

import re

import pytest
import torch

from leopart_mm.checkpoints import key_layouts
from leopart_mm.registry import MODELS
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
    before = dict(MODELS.module_dict)
    yield
    MODELS._module_dict.clear()
    MODELS._module_dict.update(before)


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
