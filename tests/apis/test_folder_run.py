"""A folder in, a folder out; going on where it stopped."""

import json

import cv2
import numpy as np
import pytest
import torch

from leopart_mm.apis import LeopartInferencer
from leopart_mm.apis.folder_run import FolderRun, model_digest
from leopart_mm.evaluation.label_writer import read_labels
from leopart_mm.visualization.cluster_names import ClusterNames
from tests.apis.builders import stub_config, write_images


def stub(names=None, **kwargs):
    return LeopartInferencer(dict(state_dict={}), stub_config(**kwargs), names=names)


def run(inputs, out, names=None, **kwargs):
    job = FolderRun(stub(names, step=0.5), out, **kwargs)
    report = job.run(inputs)
    return job, report


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob('*')
                  if path.is_file() and not path.name.startswith('.'))


def test_everything_is_written_under_the_images_names(tmp_path):
    one, two = write_images(tmp_path / 'in', ['a/1.png', 'b/1.png'])
    (tmp_path / 'in' / 'b' / 'cut.jpg').write_bytes(b'\xff\xd8\xff')
    (tmp_path / 'in' / 'notes.txt').write_text('')
    _, report = run(tmp_path / 'in', tmp_path / 'out', overlays=True, sheet=True)
    assert files(tmp_path / 'out') == [
        'labels/a/1.png', 'labels/b/1.png', 'legend.png', 'names.yaml', 'overlays/a/1.jpg', 'overlays/b/1.jpg',
        'report.json', 'sheet.html', 'sheet.png']
    for name, image in (('a', one), ('b', two)):
        stored = cv2.imread(str(tmp_path / 'out' / 'labels' / name / '1.png'), cv2.IMREAD_UNCHANGED)
        assert stored.dtype == np.uint16  # 512 clusters
        assert np.array_equal(stored, image[..., 0].astype(int) * 2)
    written = json.loads((tmp_path / 'out' / 'report.json').read_text())
    assert (written['segmented'], written['present'], written['skipped']) == (2, 0, 1)
    assert [entry['path'] for entry in written['corrupt']] == [str(tmp_path / 'in' / 'b' / 'cut.jpg')]
    values = np.concatenate([one[..., 0].ravel(), two[..., 0].ravel()]).astype(int) * 2
    assert np.allclose(written['shares'], np.bincount(values, minlength=512) / len(values), atol=1e-6)
    assert report.num_done == 2


def test_a_second_run_does_only_what_is_missing(tmp_path):
    write_images(tmp_path / 'in', ['1.png', '2.png'])
    run(tmp_path / 'in', tmp_path / 'out')
    before = {name: (tmp_path / 'out' / name).stat().st_mtime_ns for name in ('labels/1.png', 'labels/2.png')}
    write_images(tmp_path / 'in', ['3.png'], seed=1)
    job, report = run(tmp_path / 'in', tmp_path / 'out', overlays=True, sheet=True)
    assert (report.num_done, job.num_present) == (1, 2)
    assert job.inferencer.model.sizes == [(24, 40)]
    assert {name: (tmp_path / 'out' / name).stat().st_mtime_ns for name in before} == before
    assert [name for name in files(tmp_path / 'out') if name.startswith('overlays')] == [
        'overlays/1.jpg', 'overlays/2.jpg', 'overlays/3.jpg']
    assert job.sheet.num_images == 3
    job, report = run(tmp_path / 'in', tmp_path / 'out', overwrite=True)
    assert (report.num_done, job.num_present) == (3, 0)


def test_pictures_follow_the_names_without_segmenting_again(tmp_path):
    image = np.zeros((20, 20, 3), np.uint8)
    image[:, 10:] = 100
    (tmp_path / 'in').mkdir()
    cv2.imwrite(str(tmp_path / 'in' / '1.png'), image)
    run(tmp_path / 'in', tmp_path / 'out', overlays=True)
    text = (tmp_path / 'out' / 'names.yaml').read_text()
    lines = [('  0: {name: wheel, colour: "#0000ff"}' if line.startswith('  0:') else
              '  200: wheel' if line.startswith('  200:') else line) for line in text.splitlines()]
    (tmp_path / 'out' / 'names.yaml').write_text('\n'.join(lines))
    names = ClusterNames.load(tmp_path / 'out' / 'names.yaml', 512)
    before = cv2.imread(str(tmp_path / 'out' / 'legend.png')).shape
    job, _ = run(tmp_path / 'in', tmp_path / 'out', names, overlays=True)
    assert job.inferencer.model.sizes == []
    assert cv2.imread(str(tmp_path / 'out' / 'legend.png')).shape[0] == before[0] - 26  # two lines became one
    found = cv2.imread(str(tmp_path / 'out' / 'overlays' / '1.jpg')).astype(int)
    assert found[10, 3, 0] > found[10, 3, 2] + 50  # blue
    assert '  0: {name: wheel' in (tmp_path / 'out' / 'names.yaml').read_text()  # what was edited stays


def test_label_maps_of_two_models_do_not_mix(tmp_path):
    write_images(tmp_path / 'in', ['1.png'])
    run(tmp_path / 'in', tmp_path / 'out')
    other = stub(step=0.5)
    other.tile_size = 16
    with pytest.raises(ValueError, match='holds label maps of another model'):
        FolderRun(other, tmp_path / 'out')
    FolderRun(other, tmp_path / 'out', overwrite=True)
    model = stub().model
    before = model_digest(model)
    model.register_buffer('centroids', torch.ones(3))
    assert model_digest(model) != before


def test_an_output_folder_among_the_images_is_not_segmented(tmp_path):
    write_images(tmp_path, ['1.png'])
    run(tmp_path, tmp_path / 'out', overlays=True)
    _, report = run(tmp_path, tmp_path / 'out', overlays=True)
    assert (report.num_done, report.num_skipped) == (0, 0)
    assert files(tmp_path / 'out' / 'labels') == ['1.png']


def test_a_stop_leaves_no_half_file_and_the_next_run_goes_on(tmp_path, monkeypatch):
    write_images(tmp_path / 'in', ['1.png', '2.png', '3.png'])
    job = FolderRun(stub(step=0.5), tmp_path / 'out')
    segment = job.inferencer.segment

    def stop(image, name):
        if name == '2':
            raise KeyboardInterrupt
        return segment(image, name)

    monkeypatch.setattr(job.inferencer, 'segment', stop)
    with pytest.raises(KeyboardInterrupt):
        job.run(tmp_path / 'in')
    assert files(tmp_path / 'out' / 'labels') == ['1.png']
    job, report = run(tmp_path / 'in', tmp_path / 'out')
    assert (report.num_done, job.num_present) == (2, 1)
    assert read_labels(tmp_path / 'out' / 'labels' / '3.png').shape == (24, 40)
