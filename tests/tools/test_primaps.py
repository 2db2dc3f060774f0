"""tools/primaps.py: from images to a segmentor in one command; a killed run resumes to the same result."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from leopart_mm.datasets.sample import write_sample
from leopart_mm.evaluation import read_labels
from leopart_mm.models.backbones import DenseViT
from leopart_mm.models.segmentors import PrototypeSegmentor
from tests.paths import REPO
from tests.tools.running import run_tool

NETWORK = dict(img_size=32, patch_size=8, embed_dim=16, depth=2, num_heads=2)
STEPS = 11  # training steps: two epochs of three batches of the initialisation, one epoch of EM, and into the next
CONFIG = """# {title}
_base_ = '{base}'
arch = 'vit_tiny_patch16_224'
epochs = 3
init_epochs = 2
{first}
model = dict(backbone=dict(arch=arch, checkpoint='{weights}', model_kwargs=dict({network})),
             postprocessors=dict(crf=dict(iterations=2)))
train_cfg = dict(max_epochs=epochs, val_interval=2)
train_dataloader = dict(batch_size=4, num_workers=0, persistent_workers=False)
test_dataloader = dict(batch_size=4, num_workers=0, persistent_workers=False)
{validation}proposal_dataloader = {proposals}
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=9))
"""


def write_configs(folder, weights, labelled=True):
    """The config of EM and, beside it, of its initialisation."""
    network = ', '.join(f'{key}={value}' for key, value in NETWORK.items())
    bases = (('msrc21/primaps_vit-tiny_msrc21', 'msrc21/primaps_kmeans_vit-tiny_msrc21') if labelled else
             ('primaps/primaps_dino-vits8_folder', 'primaps/baseline_dino-vits8_folder'))
    for name, base, first, proposals in (
            ('em', bases[0], "initialisation = 'first.py'", 'dict(batch_size=4, num_workers=0)'),
            ('first', bases[1], '', 'None')):
        (folder / f'{name}.py').write_text(CONFIG.format(
            title=name, base=REPO / f'configs/{base}.py', first=first, weights=weights, network=network,
            proposals=proposals, validation='val_dataloader = test_dataloader\n' if labelled else ''))
    return folder / 'em.py'


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """A folder with a data set in VOC layout and the weights of a tiny network."""
    folder = tmp_path_factory.mktemp('primaps')
    write_sample(folder / 'data', num_images=16, size=64)
    torch.manual_seed(0)
    torch.save(DenseViT('vit_tiny_patch16_224', NETWORK).state_dict(), folder / 'vit.pth')
    return folder


def run(monkeypatch, capsys, config, work, images, *options):
    """Exit status, output and errors; the options are variables of the configs."""
    return run_tool(monkeypatch, capsys, 'primaps.py', config, '--work-dir', work, '--images', images,
                    '--workers', '0', '--cfg-options', 'size=64', 'num_classes=4', *options)


def state(work):
    return torch.load(work / 'result' / 'model.pth', weights_only=False)['state_dict']


def stop_at(monkeypatch, step):
    """Kill the run in the middle of the training step of this number, counted over both trainings."""
    calls = []
    loss = PrototypeSegmentor.loss

    def counted(self, *args):
        calls.append(1)
        if len(calls) == step:
            raise KeyboardInterrupt
        return loss(self, *args)

    monkeypatch.setattr(PrototypeSegmentor, 'loss', counted)
    return calls


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_model_and_new_images_are_segmented(monkeypatch, capsys, place, tmp_path):
    config = write_configs(tmp_path, place / 'vit.pth')
    status, printed, errors = run(monkeypatch, capsys, config, tmp_path / 'whole', place / 'data')
    assert status == 0, errors
    for part in ('proposals: done', 'em: done', 'momentum_crf/aAcc', 'linear/mIoU_defined', 'model.pth'):
        assert part in printed
    scores = json.loads((tmp_path / 'whole' / 'scores.json').read_text())
    assert 100 / 4 < scores['momentum/aAcc'] <= 100
    with monkeypatch.context() as patch:
        stop_at(patch, STEPS)
        status, _, errors = run(patch, capsys, config, tmp_path / 'killed', place / 'data')
        assert status == 130
        assert 'The same command resumes' in errors
    assert (tmp_path / 'killed' / 'em' / 'epoch_1.pth').is_file()
    status, printed, errors = run(monkeypatch, capsys, config, tmp_path / 'killed', place / 'data')
    assert status == 0, errors
    for part in ('proposals: from an earlier run', 'initialisation: from an earlier run', 'em: done'):
        assert part in printed
    resumed = state(tmp_path / 'killed')
    for name, value in state(tmp_path / 'whole').items():
        assert torch.equal(value, resumed[name]), name
    assert json.loads((tmp_path / 'killed' / 'scores.json').read_text()) == scores

    monkeypatch.setattr(PrototypeSegmentor, 'loss', None)  # nothing is trained again
    status, printed, errors = run(monkeypatch, capsys, config, tmp_path / 'whole', place / 'data')
    assert status == 0, errors
    assert printed.count('from an earlier run') == 4

    image = np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    (tmp_path / 'new').mkdir()
    Image.fromarray(image).save(tmp_path / 'new' / 'a.png')
    status, _, errors = run_tool(monkeypatch, capsys, 'segment_folder.py', tmp_path / 'new', '--checkpoint',
                            tmp_path / 'whole' / 'result' / 'model.pth', '--out', tmp_path / 'segments')
    assert status == 0, errors
    file, = (tmp_path / 'segments').rglob('a.png')
    labels = read_labels(file)
    assert labels.shape == (70, 90)
    assert labels.max() < 4


@pytest.mark.slow
def test_a_plain_folder_and_what_runs_again(monkeypatch, capsys, place, tmp_path):
    config = write_configs(tmp_path, place / 'vit.pth', labelled=False)
    images = place / 'data' / 'JPEGImages'
    status, printed, errors = run(monkeypatch, capsys, config, tmp_path / 'run', images)
    assert status == 0, errors
    assert 'mIoU' not in printed
    assert (tmp_path / 'run' / 'result' / 'model.pth').is_file()
    status, printed, errors = run(monkeypatch, capsys, config, tmp_path / 'run', images,
                                  'proposals.threshold=0.5')
    for part in ('proposals: done', 'initialisation: from an earlier run', 'em: done', 'result: done'):
        assert part in printed


def test_a_config_of_something_else_is_refused(monkeypatch, capsys, tmp_path):
    config = REPO / 'configs/primaps/baseline_dino-vits8_potsdam3.py'
    status, _, errors = run(monkeypatch, capsys, config, tmp_path / 'run', tmp_path)
    assert status == 1
    assert 'has no proposals' in errors
    assert 'needs a config of PriMaPs-EM' in errors
