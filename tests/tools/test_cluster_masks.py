"""tools/cluster_masks.py as a user runs it: on masks of a plain folder, twice, and with faults."""

import json

import cv2
import torch

from tests.apis.builders import write_images
from tests.apis.proposal_sources import Quadrants, network_of, proposal_config, propose
from tests.tools.running import run_tool

TEXT = '''
_base_ = 'base.py'
custom_imports = dict(imports=['leopart_mm'], allow_failed_imports=False)
mask_clusters = dict(num_clusters=2)
'''


def test_masks_of_a_plain_folder_twice_and_faults(tmp_path, monkeypatch, capsys):
    images, masks, out = tmp_path / 'in', tmp_path / 'masks', tmp_path / 'out.json'
    write_images(images, ['a/1.png', '2.png', '3.png'], size=(40, 56))
    config = proposal_config(images)
    propose(images, masks, Quadrants())
    config.dump(str(tmp_path / 'base.py'))
    (tmp_path / 'mine.py').write_text(TEXT)
    torch.save(network_of(config).backbone.state_dict(), tmp_path / 'vit.pth')

    def cluster(*arguments, checkpoint='vit.pth', out=out):
        return run_tool(monkeypatch, capsys, 'cluster_masks.py', masks, '--out', out, '--config', tmp_path / 'mine.py',
                        '--checkpoint', tmp_path / checkpoint, *arguments)

    status, printed, error = cluster('--images', images, '--show', tmp_path / 'show.png')
    assert status == 0, error
    assert '6 masks in 2 clusters of ' in printed
    assert 'features of 6 computed, of 0 there already. Categories are the ids of clusters' in printed
    first = out.read_bytes()
    height, width, _ = cv2.imread(str(tmp_path / 'show.png')).shape
    assert (height, width > 300) == (2 * 64 + 4, True)  # a line per cluster
    assert {entry['category_id'] for entry in json.loads(first)['annotations']} == {0, 1}
    status, printed, error = cluster('--cfg-options', f'mask_clusters.data_root={images}', '--workers', 0)
    assert status == 0, error
    assert 'features of 0 computed, of 6 there already' in printed
    assert out.read_bytes() == first
    status, printed, error = cluster('--images', images, '--num-clusters', 3, '--show', tmp_path / 'show.png')
    assert status == 0, error
    assert 'in 3 clusters' in printed
    assert cv2.imread(str(tmp_path / 'show.png')).shape[0] > height
    user = tmp_path / 'user.png'
    user.write_bytes(b'mine')
    joint = masks / 'annotations.json'
    before = joint.read_bytes()
    for arguments, path, words in ((['--show', user], out, 'user.png would be replaced, but no run wrote it there'),
                                   (['--show', images / '2.png'], out, '2.png would be replaced'),
                                   ([], user, 'user.png would be replaced, but no run wrote it'),
                                   ([], joint, 'annotations.json would be replaced')):
        status, printed, error = cluster('--images', images, *arguments, out=path)
        assert status == 1
        assert words in error.splitlines()[-1]
    assert (user.read_bytes(), joint.read_bytes()) == (b'mine', before)
    for arguments, words in ((['--images', tmp_path], '3 of the 3 images of'),
                             (['--images', images, '--num-clusters', 7], '6 masks cannot form 7 clusters'),
                             (['--images', images, '--gt', tmp_path / 'no.json'], 'no.json'),
                             (['--images', images, '--cfg-options', 'mask_clusters.seeds=3'], 'has no seeds')):
        status, printed, error = cluster(*arguments, out=tmp_path / 'never.json')
        assert status == 1
        assert words in error.splitlines()[-1]
    status, printed, error = cluster('--images', images, checkpoint='no.pth', out=tmp_path / 'never.json')
    assert status == 1
    assert 'no.pth' in error.splitlines()[-1]
    assert not (tmp_path / 'never.json').exists()
