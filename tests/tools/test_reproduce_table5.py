"""tools/reproduce_table5.py, tools/search_communities.py and the whole chain in tools/test.py."""

import json
import os
import runpy
import shutil
from collections import Counter

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from leopart_mm.datasets.sample import write_sample
from tests.paths import REPO
from tests.tools.running import run_tool
from tests.tools.unsupervised import make

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp('chain')
    return folder, *make(folder)


def table5(monkeypatch, capsys, place, *extra):
    folder, config, weights, data = place
    return run_tool(monkeypatch, capsys, 'reproduce_table5.py', '--data-root', data, '--config', config, '--seeds', 2,
                    '--out', folder / 'table5', '--samples', 2, '--checkpoints', f'dino={weights}',
                    f'leopart={weights}', *extra)


def test_all_rows_then_resume(monkeypatch, capsys, place, passes):
    out = place[0] / 'table5'
    status, printed, errors = table5(monkeypatch, capsys, place, '--rows', 'dino', 'cbfe')
    assert status == 0, errors
    assert 'not asked for' in printed
    assert Counter(passes.values()) == {1: 16}  # one network under two names: one pass over train and val
    passes.clear()
    status, printed, errors = table5(monkeypatch, capsys, place)
    assert set(passes.values()) == {1}
    assert len(passes) == 16
    assert status == 0, errors
    assert printed.count('(from an earlier run)') == 2
    record = json.loads((out / 'table5.json').read_text())
    assert list(record['rows']) == ['k150', 'dino', 'leopart', 'cbfe', 'cd']
    for row in record['rows'].values():
        assert len(row['per_seed']) == 2
        assert row['miou'] == pytest.approx(np.mean(row['per_seed']))
        assert row['miou_std'] == pytest.approx(np.std(row['per_seed']))
    # one network under two names: the same score
    assert record['rows']['dino']['per_seed'] == record['rows']['leopart']['per_seed']
    text = (out / 'table5.md').read_text()
    assert '| + CD | ' in text
    assert '| 41.7 | 35.2 | 2 |' in text
    page = (out / 'table5.html').read_text()
    assert page.count('<img ') == 6  # a sheet a row and the network
    assert 'src="data:image/jpeg;base64,' in page
    status, printed, _ = table5(monkeypatch, capsys, place, '--rows', 'cd', '--cfg-options',
                                'model.decode_head.num_clusters=20')
    assert status == 0
    assert 'earlier run' not in printed  # other settings are run again


@pytest.fixture(scope='module')
def dino(place):
    """Weights of another network than that of the rows after the first."""
    weights = torch.load(place[2])
    generator = torch.Generator().manual_seed(1)
    path = place[0] / 'dino.pth'
    torch.save({name: value + 0.05 * torch.randn(value.shape, generator=generator)
                for name, value in weights.items()}, path)
    return path


# Images of train and val are fitted on; the row dino, and 'leopart', read the 4 of val. In the published protocol DINO
# gives the noisy masks of train and val too.
@pytest.mark.parametrize(('protocol', 'counts'), [('label-free', {1: 12, 2: 4}), ('published', {2: 16})])
def test_an_image_passes_each_checkpoint_once_for_all_rows(monkeypatch, capsys, place, dino, passes, tmp_path, protocol,
                                                           counts):
    results = {}
    for cache in ('auto', 'none'):
        status, _, errors = table5(monkeypatch, capsys, place, '--cache', cache, '--out', tmp_path / cache,
                                   '--protocol', protocol, '--checkpoints', f'dino={dino}', f'leopart={place[2]}')
        assert status == 0, errors
        if cache == 'auto':
            assert Counter(passes.values()) == counts  # two checkpoints
            assert Counter(passes.by_network.values()) == {1: sum(key * value for key, value in counts.items())}
        rows = json.loads((tmp_path / cache / 'table5.json').read_text())['rows']
        results[cache] = {name: dict(row, seconds=0) for name, row in rows.items()}
    assert len(results['auto']) == 5
    assert results['auto'] == results['none']


def test_a_mask_exchanged_in_place_is_noticed(monkeypatch, capsys, place, tmp_path):
    data = tmp_path / 'data'
    shutil.copytree(place[3], data)
    common = ('--data-root', data, '--rows', 'dino', '--out', tmp_path / 'out')
    assert table5(monkeypatch, capsys, place, *common)[0] == 0
    assert 'earlier run' in table5(monkeypatch, capsys, place, *common)[1]
    name = (data / 'ImageSets/Segmentation/val.txt').read_text().split()[0]
    mask = data / 'SegmentationClass' / f'{name}.png'
    ImageOps.flip(Image.open(mask)).save(mask)
    status, printed, errors = table5(monkeypatch, capsys, place, *common)
    assert status == 0, errors
    assert 'earlier run' not in printed
    moved = tmp_path / 'moved'
    shutil.copytree(data, moved)  # with its times
    assert 'earlier run' in table5(monkeypatch, capsys, place, *common, '--data-root', moved)[1]


@pytest.mark.parametrize(('arguments', 'message'), [
    (['--data-root', 'nowhere'], 'data root nowhere does not exist'),
    (['--checkpoints', 'dino=nowhere.pth'], 'nowhere.pth does not exist'),
    (['--checkpoints', 'mae=x'], 'give dino=FILE and leopart=FILE'),
    (['--rows', 'k200'], 'no row k200; there are: k150, dino'),
    (['--seeds', '0'], 'at least 1'),
    (['--config', REPO / 'configs/sample/overcluster_k50_vit-micro_sample.py'],
     'has no stage foreground and clusters and communities in model.postprocessors'),
])
def test_missing_parts_are_named(monkeypatch, capsys, place, arguments, message):
    status, _, errors = table5(monkeypatch, capsys, place, *arguments)
    assert status == 2
    assert message in errors


def test_a_search_without_communities_is_refused(monkeypatch, capsys, place):
    status, _, errors = run_tool(monkeypatch, capsys, 'search_communities.py',
                                 REPO / 'configs/sample/overcluster_k50_vit-micro_sample.py', place[2])
    assert status == 1
    assert 'has no stage foreground and communities in model.postprocessors' in errors


def test_a_row_without_its_checkpoint(monkeypatch, capsys, place):
    status, _, errors = table5(monkeypatch, capsys, place, '--rows', 'cd', '--checkpoints', f'dino={place[2]}')
    assert status == 2
    assert 'The row cd needs --checkpoints leopart=FILE' in errors


def test_a_data_set_with_missing_parts(monkeypatch, capsys, place, tmp_path):
    (tmp_path / 'JPEGImages').mkdir()
    status, _, errors = table5(monkeypatch, capsys, place, '--data-root', tmp_path)
    assert status == 2
    assert 'The list of the split' in errors or 'is missing' in errors


def test_a_mask_exchanged_under_its_time_and_size_is_noticed(tmp_path):
    """And an image that moves from the tested to the fitted part of the same list."""
    from mmengine.config import Config

    from leopart_mm.apis.table5_run import inspect_data

    def config():
        val, fit = (dict(type='leopart_mm.VOCLayoutDataset', data_root=str(tmp_path), split=split, pipeline=[])
                    for split in ('val', 'train'))
        return Config(dict(default_scope='mmseg', test_dataloader=dict(dataset=val),
                           test_cfg=dict(fit_dataloader=dict(dataset=fit))))

    write_sample(tmp_path, 8, 32, seed=0)
    found = [inspect_data(config()).fingerprint]
    assert inspect_data(config()).fingerprint == found[0]
    mask = tmp_path / 'SegmentationClass' / 'scene_00001.png'
    before, content = mask.stat(), mask.read_bytes()
    mask.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(mask, ns=(before.st_atime_ns, before.st_mtime_ns))
    found.append(inspect_data(config()).fingerprint)
    lists = tmp_path / 'ImageSets' / 'Segmentation'
    val = (lists / 'val.txt').read_text().split()
    (lists / 'val.txt').write_text('\n'.join(val[:-1]))
    (lists / 'train.txt').write_text('\n'.join(val[-1:] + (lists / 'train.txt').read_text().split()))
    found.append(inspect_data(config()).fingerprint)
    assert len(set(found)) == 3


def test_a_search_is_known_by_all_that_decides_a_trial(tmp_path):
    from mmengine.config import Config
    search_key = runpy.run_path(str(REPO / 'tools' / 'search_communities.py'))['search_key']
    weights, masks = tmp_path / 'w.pth', tmp_path / 'dino.pth'

    def key(scale=448, seed=0, root='here', content=b'1'):
        weights.write_bytes(b'1')
        masks.write_bytes(content)
        data = dict(type='X', data_root=root, pipeline=[dict(type='Resize', scale=(scale, scale))])
        cfg = Config(dict(model=dict(postprocessors=dict(foreground=dict(masks=dict(checkpoint=str(masks))))),
                          load_from=str(weights), randomness=dict(seed=seed),
                          test_cfg=dict(fit_dataloader=dict(dataset=data))))
        return search_key(cfg, 'image-information', 20, (100, 100), [])

    assert key() == key(root='elsewhere')
    assert len({key(), key(scale=224), key(seed=1), key(content=b'2')}) == 4


def test_chain_in_one_run_and_fitted_checkpoint_on_new_images(monkeypatch, capsys, place):
    folder, config, weights, data = place
    fitted, pictures = folder / 'fitted.pth', folder / 'pictures'
    status, printed, errors = run_tool(monkeypatch, capsys, 'test.py', config, weights, '--save-fitted', fitted,
                                       '--show-dir', pictures, '--work-dir', folder / 'work', '--out', folder / 'maps')
    assert status == 0, errors
    assert 'Hungarian matching' in printed
    assert 'seeds 0, 1' in printed
    stages = pictures / 'stages'
    assert len(list(stages.glob('scene_*.png'))) == 4
    assert cv2.imread(str(stages / 'sheet.png')) is not None
    network = cv2.imread(str(stages / 'community_network.png'))
    assert network.std() > 5  # something was drawn
    from mmseg.apis import MMSegInferencer
    inferencer = MMSegInferencer(str(config), str(fitted), device='cpu')
    name = sorted((folder / 'maps').glob('scene_*.png'))[0].name
    image = data / 'JPEGImages' / name.replace('.png', '.jpg')
    predicted = inferencer(str(image))['predictions']
    assert (predicted == cv2.imread(str(folder / 'maps' / name), cv2.IMREAD_UNCHANGED)).all()
    new = cv2.imread(str(image))[::-1, :50].copy()
    assert inferencer(new)['predictions'].shape == new.shape[:2]


def test_search_is_resumable_and_label_free(monkeypatch, capsys, place, tmp_path):
    _, config, weights, _ = place
    common = [config, weights, '--storage', tmp_path / 'search.db', '--clusters', 6, 12, 3, '--work-dir', tmp_path,
              '--out', tmp_path / 'best.json']
    results = []
    for trials, criterion in ((3, 'image-information'), (5, 'image-information'), (2, 'ground-truth')):
        status, printed, errors = run_tool(monkeypatch, capsys, 'search_communities.py', *common, '--trials', trials,
                                           '--criterion', criterion)
        assert status == 0, errors
        results.append((printed.count('->'), json.loads((tmp_path / 'best.json').read_text())))
    assert [count for count, _ in results] == [3, 2, 2]
    assert results[1][1]['value'] >= results[0][1]['value']
    assert results[1][1]['num_clusters'] in (6, 9, 12)
    assert 0 <= results[2][1]['value'] <= 1
