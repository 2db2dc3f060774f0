"""Files written before the code was regrouped, made here in their old layouts, are read as they were."""

import copy
import json
import shutil
from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg.structures import SegDataSample

from leopart_mm.apis import LeopartInferencer
from leopart_mm.apis.folder_run import FolderRun
from leopart_mm.engine.fitted_checkpoint import save_fitted_checkpoint
from leopart_mm.models.fitting.feature_batch import FeatureBatch
from leopart_mm.models.losses.old_heads import loss_config
from leopart_mm.registry import MODELS
from tests.apis.builders import config, write_images
from tests.engine.test_resume import _assert_equal, _final_state, _runner
from tests.models.backbones.builders import TINY

STAGES = [
    dict(type='leopart_mm.CBFE', masks=dict(type='leopart_mm.AttentionMasks', mass=0.65), map_size=(8, 8)),
    dict(type='leopart_mm.ForegroundClustering', num_clusters=5, niter=5, nredo=1, map_size=(8, 8)),
    dict(type='leopart_mm.CommunityDetection', weight_threshold=0.2, markov_time=0.5, preferred_modules=2, seeds=1,
         map_size=(8, 8)),
]
# What the buffers `fit_info` said of settings; those of the head said nothing of them.
SETTINGS = {
    'postprocessors.0.fit_info': {},
    'postprocessors.1.fit_info': dict(num_clusters=5, seeds=[0]),
    'postprocessors.2.fit_info': dict(seeds=[0]),
}


@pytest.mark.parametrize('method', ['leopart', 'neco with a queue'])
def test_a_training_checkpoint_with_a_loss_in_a_head_resumes(tmp_path, method):
    """Weights, teacher, queue, groups of the optimiser, schedules and the sampler's position continue bit by bit."""
    whole = tmp_path / 'whole'
    _runner(whole, False, 2, method=method).train()
    before = torch.load(whole / 'iter_4.pth', weights_only=False)
    held = ('head.queue.', 'head.steps')
    before['state_dict'] = {name.replace('head.', 'head.loss_module.', 1) if name.startswith(held) else name: value
                            for name, value in before['state_dict'].items()}
    assert 'head.loss_module.queue.rows' in before['state_dict']
    resumed = tmp_path / 'resumed'
    resumed.mkdir()
    torch.save(before, resumed / 'iter_4.pth')
    (resumed / 'last_checkpoint').write_text(str(resumed / 'iter_4.pth'))
    _runner(resumed, False, 6, resume=True, method=method).train()
    for part in ('state_dict', 'optimizer', 'param_schedulers'):
        _assert_equal(_final_state(resumed)[part], _final_state(whole)[part], part)


@pytest.fixture(scope='module')
def chain(tmp_path_factory):
    """A fitted chain, and its checkpoint with stages by number and in the config as a list."""
    pytest.importorskip('infomap')
    cfg = config(num_clusters=8)
    cfg.model.postprocessors = copy.deepcopy(STAGES)
    torch.manual_seed(0)
    model = MODELS.build(dict(cfg.model, data_preprocessor=None)).eval()
    with torch.no_grad():
        for parameter in model.backbone.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3 + (parameter.ndim == 1))
    model.backbone._awaits_weights = False
    images = torch.randn(12, 3, 32, 32).clamp(-2, 2)
    features = model.backbone.forward_dense(images, cls_attention=True)
    model.fit([FeatureBatch(features, None, [str(index) for index in range(len(images))], [(0, 4, 0, 4)] * 12)])
    numbers = dict(foreground='0', clusters='1', communities='2')
    state = OrderedDict()
    for key, value in model.state_dict().items():
        parts = key.split('.')
        if parts[0] == 'postprocessors':
            parts[1] = numbers[parts[1]]
        state['.'.join(parts)] = value
    for key in [key for key in state if key.endswith('fit_info')]:
        info = json.loads(bytes(state[key].tolist()))['info']
        record = dict(settings=SETTINGS[key], info=info) if key in SETTINGS else info
        state[key] = torch.tensor(list(json.dumps(record).encode()), dtype=torch.uint8)
    file = tmp_path_factory.mktemp('chain') / 'fitted.pth'
    save_fitted_checkpoint(model, file, cfg, state=state)
    return model, file


def test_a_fitted_chain_with_stages_by_number_predicts_the_same(chain, tmp_path):
    model, file = chain
    saved = torch.load(file, weights_only=False)
    assert 'postprocessors.1.centroids' in saved['state_dict']
    stages = Config.fromstring(saved['meta']['cfg'], '.py').model.postprocessors
    assert isinstance(stages, list)
    loaded = LeopartInferencer(str(file), device='cpu').model
    assert loaded.is_fitted
    assert loaded.state_dict().keys() == model.state_dict().keys()
    for name, value in model.state_dict().items():
        assert name.endswith('fit_info') or torch.equal(loaded.state_dict()[name], value), name
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    samples = [SegDataSample(metainfo=dict(ori_shape=(32, 32), img_shape=(32, 32))) for _ in images]
    ours, theirs = (net.predict(images, copy.deepcopy(samples)) for net in (loaded, model))
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.equal(mine.pred_sem_seg.data, other.pred_sem_seg.data)
    assert len(torch.cat([sample.pred_sem_seg.data for sample in theirs]).unique()) > 1


def test_an_output_folder_of_a_chain_stays_its_models(chain, tmp_path):
    """The older tool named the model by the numbers of all buffers under their old keys, and kept no journal."""
    import hashlib
    _, file = chain
    images = write_images(tmp_path / 'in', ['1.png', '2.png'])
    assert len(images) == 2
    inferencer = LeopartInferencer(str(file), device='cpu')
    first = FolderRun(inferencer, tmp_path / 'first')
    first.run(str(tmp_path / 'in'))
    digest = hashlib.blake2b(digest_size=12)
    for key, value in torch.load(file, weights_only=False)['state_dict'].items():
        digest.update(key.encode())
        digest.update(value.float().numpy().tobytes())
    old = tmp_path / 'old'
    shutil.copytree(tmp_path / 'first' / 'labels', old / 'labels')
    (old / 'labels' / '.outputs.jsonl').unlink()
    stamp = dict(model=digest.hexdigest(), tile_size=None, overlap=inferencer.overlap, max_side=2048)
    (old / 'labels' / '.model.json').write_text(json.dumps(stamp))
    (old / 'names.yaml').write_text('clusters:\n  0: {"name": "sky", "colour": "#ec5151", "share": "10.00 %"}\n')
    again = FolderRun(LeopartInferencer(str(file), device='cpu'), old, read_names=True)
    report = again.run(str(tmp_path / 'in'))
    assert report.num_replaced == 2
    assert again.inferencer.names.names[0] == 'sky'
    assert '"sky"' in (old / 'names.yaml').read_text()
    for name in ('1', '2'):
        assert (old / 'labels' / f'{name}.png').read_bytes() == (tmp_path / 'first/labels' / f'{name}.png').read_bytes()


def test_a_retrieval_memory_of_before_loads():
    """Keys and settings of the memory as tools/test.py --save-fitted wrote them."""
    head = dict(type='leopart_mm.RetrievalHead', num_classes=3, k=2)
    model = MODELS.build(dict(
        type='leopart_mm.RetrievalSegmentor', decode_head=head,
        backbone=dict(type='leopart_mm.DenseViT', arch='vit_tiny_patch16_224', model_kwargs=TINY)))
    record = json.dumps(dict(settings=dict(num_classes=3), info=dict(images=1, rows=3, channels=32))).encode()
    state = {
        **{f'backbone.{name}': value for name, value in model.backbone.state_dict().items()},
        'decode_head.keys': torch.eye(3, model.backbone.embed_dims),
        'decode_head.counts': torch.tensor([[64, 0, 0], [0, 64, 0], [0, 0, 64]], dtype=torch.uint8),
        'decode_head.fitted': torch.tensor(True),
        'decode_head.fit_info': torch.tensor(list(record), dtype=torch.uint8)}
    model.load_state_dict(state, strict=False)
    assert model.is_fitted
    maps = torch.zeros(1, model.backbone.embed_dims, 1, 3)
    maps[0, :3, 0] = torch.tensor([[0., 0, 1], [0, 1, 0], [1, 0, 0]])
    assert np.array_equal(model.decode_head([maps]).argmax(1)[0, 0], [2, 1, 0])


BASE = dict(type='leopart_mm.LeopartLoss', num_prototypes=300, mask='fg', queue=dict(length=8192, counting='shared'))


@pytest.mark.parametrize(('held', 'expected'), [
    (dict(queue=dict(length=64)), dict(BASE, queue=dict(length=64, counting='shared'))),
    (dict(queue=dict(_delete_=True, length=64)), dict(BASE, queue=dict(length=64))),
    (dict(queue=None), dict(BASE, queue=None)),
    (dict(_delete_=True, type='leopart_mm.LeopartLoss', kernel=3),
     dict(type='leopart_mm.LeopartLoss', num_prototypes=300, kernel=3)),
])
def test_a_users_loss_in_a_head_merges_as_it_did(held, expected):
    given = dict(BASE, loss=held)
    kept = copy.deepcopy(given)
    assert loss_config(given) == expected
    assert given == kept
