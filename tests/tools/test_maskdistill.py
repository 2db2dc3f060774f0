"""tools/maskdistill.py: from images to DeepLab in one command; a killed run resumes to the same files."""

import numpy as np
import pytest
import torch
from mmdet.models import MaskRCNN
from PIL import Image

from leopart_mm.apis.image_run import ImageRun
from leopart_mm.datasets.coco_json import coco_kind, read_coco
from leopart_mm.datasets.sample import write_sample
from leopart_mm.evaluation import read_labels
from leopart_mm.models.backbones import DenseViT
from leopart_mm.models.decode_heads import DeepLabHead
from tests.paths import REPO
from tests.tools.running import run_tool

NETWORK = dict(img_size=32, patch_size=8, embed_dim=16, depth=2, num_heads=2)
ROOM = REPO / 'configs' / 'maskdistill'
VIT = "model = dict(backbone=dict(arch=arch, checkpoint='{weights}', model_kwargs={network}))"
MASKS = """# masks
_base_ = '{room}/{masks}.py'
arch = 'vit_tiny_patch16_224'
""" + VIT + """
proposals = dict(block=1)
proposal_dataloader = dict(batch_size=4, num_workers=0)
"""
CLUSTERS = """# clusters
_base_ = '{room}/clusters_vit-tiny_voc-subset.py'
arch = 'vit_tiny_patch16_224'
""" + VIT + """
mask_clusters = dict(num_workers=0)
"""
DETECTOR = """# detector
_base_ = '{room}/mask-rcnn_r50_folder.py'
iterations = 6
num_classes = 2
model = dict(
    backbone=dict(depth=18, base_channels=8, stem_channels=8),
    rpn_head=dict(anchor_generator=dict(scales=[4])),
    roi_head=dict(bbox_head=dict(fc_out_channels=64, num_classes=num_classes), mask_head=dict(num_classes=num_classes)),
    train_cfg=dict(rpn_proposal=dict(max_per_img=50), rpn=dict(sampler=dict(num=64)), rcnn=dict(sampler=dict(num=32))),
    test_cfg=dict(rpn=dict(max_per_img=50)))
train_cfg = dict(max_iters=iterations)
default_hooks = dict(checkpoint=dict(interval=2))
"""
DEEPLAB = """# deeplab
_base_ = '{room}/{deeplab}.py'
epochs = 2
num_classes = 3
size = (64, 64)
model = dict(
    backbone=dict(depth=18, base_channels=8, stem_channels=8),
    decode_head=dict(in_channels=64, channels=8, rates=(1, 2, 3), num_classes=num_classes))
train_cfg = dict(max_epochs=epochs, val_interval=epochs)
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=9))
"""
CHAIN = """# chain
num_clusters = {number}
data_root = 'nowhere'
rounds = 1
chain = dict(
    masks='masks.py', clusters='clusters.py', detector='detector.py', deeplab='deeplab.py', data_root=data_root,
    num_clusters=num_clusters, rounds=rounds, crf=dict(iterations=2), label_maps=dict(threshold=0.3), {rest})
"""
WITH_TRUTH = """image_folder='JPEGImages', train_list='ImageSets/Segmentation/train.txt',
    ground_truth=dict(objects='components', lists=('train', 'val'))"""
# Widths, sizes and loaders; options of the detector's and DeepLab's variables.
OPTIONS = [
    'masks.short_side=64', 'detector.widths=[8, 16, 32, 64]', 'detector.channels=16', 'detector.frozen_stages=-1',
    'detector.short_sides=[64]', 'detector.test_short_side=64', 'detector.long_side=96', 'detector.batch_size=4',
    'detector.num_workers=0', 'detector.max_per_img=10', 'detector.score_thr=0.01', 'detector.checkpoint=None',
    'deeplab.checkpoint=None', 'deeplab.batch_size=4', 'deeplab.num_workers=0', 'deeplab.frozen_stages=1',
    'deeplab.size=(64, 64)',
]


def write_configs(folder, weights, labelled=True):
    """The config of a chain and, beside it, of its parts."""
    fill = dict(room=ROOM, weights=weights, network=NETWORK, number=4,
                masks='masks_vit-tiny_voc-subset' if labelled else 'masks_dino-vits16_folder',
                deeplab='deeplab_moco-r50_voc' if labelled else 'deeplab_moco-r50_folder',
                rest=WITH_TRUTH if labelled else '')
    for name, text in (('masks', MASKS), ('clusters', CLUSTERS), ('detector', DETECTOR), ('deeplab', DEEPLAB),
                       ('chain', CHAIN)):
        (folder / f'{name}.py').write_text(text.format(**fill))
    return folder / 'chain.py'


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """A folder with a data set in VOC layout and the weights of a tiny network."""
    folder = tmp_path_factory.mktemp('maskdistill')
    write_sample(folder / 'data', num_images=16, size=64)
    torch.manual_seed(0)
    torch.save(DenseViT('vit_tiny_patch16_224', NETWORK).state_dict(), folder / 'vit.pth')
    return folder


def run(monkeypatch, capsys, config, work, images, *options):
    """Exit status, output and errors."""
    return run_tool(monkeypatch, capsys, 'maskdistill.py', config, '--work-dir', work, '--images', images,
                    '--workers', '0', '--cfg-options', *OPTIONS, *options)


def stop_in(monkeypatch, owner, method, call):
    """Kill the run in the given call of a method."""
    calls, plain = [], getattr(owner, method)

    def counted(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == call:
            raise KeyboardInterrupt
        return plain(self, *args, **kwargs)

    monkeypatch.setattr(owner, method, counted)


def weights_of(work):
    return torch.load(work / 'model.pth', weights_only=False)['state_dict']


def maps_of(work, number):
    folder = work / f'labels_{number}' / 'maps' / 'labels'
    return {file.name: read_labels(file) for file in sorted(folder.glob('*.png'))}


@pytest.mark.slow
def test_a_run_killed_at_three_places_gives_the_same_files_and_new_images_are_segmented(monkeypatch, capsys, place,
                                                                                        tmp_path):
    config = write_configs(tmp_path, place / 'vit.pth')
    whole, killed, data = tmp_path / 'whole', tmp_path / 'killed', place / 'data'
    status, printed, errors = run(monkeypatch, capsys, config, whole, data)
    assert status == 0, errors
    for part in ('masks: done', 'labels_1: done', 'scores_1/mIoU', 'mask_scores/mask_iou', 'instances/AP50_multi',
                 'model.pth'):
        assert part in printed
    for owner, method, call, done in ((MaskRCNN, 'loss', 4, 'clusters'), (DeepLabHead, 'forward', 5, 'labels_0'),
                                      (ImageRun, 'keep', 3, 'deeplab_0')):
        with monkeypatch.context() as patch:
            stop_in(patch, owner, method, call)
            status, printed, errors = run(patch, capsys, config, killed, data)
            assert status == 130, (owner, errors)
            assert (killed / done / 'stage.json').is_file()
            assert not (killed / 'report.html').is_file()
    status, printed, errors = run(monkeypatch, capsys, config, killed, data)
    assert status == 0, errors
    assert 'detector: from an earlier run' in printed
    assert (killed / 'scores.json').read_text() == (whole / 'scores.json').read_text()
    for name in ('clusters/clusters.json', 'predictions/predictions.json'):
        assert read_coco(killed / name, coco_kind(killed / name)).annotations == read_coco(
            whole / name, coco_kind(whole / name)).annotations
    for number in (0, 1):
        found, expected = maps_of(killed, number), maps_of(whole, number)
        assert found.keys() == expected.keys()
        assert all(np.array_equal(found[name], expected[name]) for name in expected)
    resumed = weights_of(killed)
    for name, value in weights_of(whole).items():
        assert torch.equal(value, resumed[name]), name

    with monkeypatch.context() as patch:
        patch.setattr(MaskRCNN, 'loss', None)  # nothing is trained again
        status, printed, errors = run(patch, capsys, config, whole, data)
        assert status == 0, errors
        assert 'done' not in printed
    (tmp_path / 'new').mkdir()
    image = np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / 'new' / 'a.png')
    status, _, errors = run_tool(monkeypatch, capsys, 'segment_folder.py', tmp_path / 'new', '--checkpoint',
                                 whole / 'model.pth', '--out', tmp_path / 'segments')
    assert status == 0, errors
    assert read_labels(tmp_path / 'segments' / 'labels' / 'a.png').shape == (70, 90)


@pytest.mark.slow
def test_a_plain_folder_and_what_runs_again(monkeypatch, capsys, place, tmp_path):
    config = write_configs(tmp_path, place / 'vit.pth', labelled=False)
    images = place / 'data' / 'JPEGImages'
    short = ['detector.iterations=2', 'deeplab.epochs=1', 'rounds=0']
    status, printed, errors = run(monkeypatch, capsys, config, tmp_path / 'run', images, *short)
    assert status == 0, errors
    for word in ('mIoU', 'AP50', 'accuracy', 'ground_truth'):
        assert word not in printed
    report = (tmp_path / 'run' / 'report.html').read_text()
    assert 'There is no ground truth' in report
    assert report.count('<img') > 4
    categories = read_coco(tmp_path / 'run' / 'clusters' / 'clusters.json').categories
    assert [entry['name'] for entry in categories] == [f'cluster {number}' for number in range(4)]
    assert max(labels.max() for labels in maps_of(tmp_path / 'run', 0).values()) <= 4
    status, printed, errors = run(monkeypatch, capsys, config, tmp_path / 'run', images, *short,
                                  'chain.label_maps.threshold=0.9')
    assert status == 0, errors
    for part in ('masks: from an earlier run', 'predictions: from an earlier run', 'labels_0: done', 'deeplab_0: done'):
        assert part in printed


def test_a_config_of_something_else_is_refused(monkeypatch, capsys, tmp_path):
    status, _, errors = run_tool(monkeypatch, capsys, 'maskdistill.py', ROOM / 'clusters_dino-vits8_voc.py',
                                 '--work-dir', tmp_path)
    assert status == 1
    assert 'has no chain' in errors
