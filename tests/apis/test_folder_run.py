"""A folder in, a folder out; going on where it stopped."""

import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from leopart_mm.apis import LeopartInferencer
from leopart_mm.apis.folder_run import FolderRun
from leopart_mm.apis.inferencer import model_digest
from leopart_mm.datasets.output_marks import mark_outputs
from leopart_mm.evaluation.label_writer import read_labels
from leopart_mm.folder_lock import FolderInUseError
from leopart_mm.visualization.cluster_names import ClusterNames
from leopart_mm.visualization.cluster_sheet import legend
from tests.apis.builders import fitted_checkpoint, stub_config, write_images
from tests.test_files import full_disk
from tests.test_folder_lock import held_by_another_process


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
        'clusters.html', 'labels/a/1.png', 'labels/b/1.png', 'legend.png', 'names.yaml', 'overlays/a/1.jpg',
        'overlays/b/1.jpg', 'report.json', 'sheet.png']
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


def test_a_legend_without_a_cluster_to_show_says_so(tmp_path):
    (tmp_path / 'in').mkdir()
    cv2.imwrite(str(tmp_path / 'in' / '1.png'), np.full((20, 20, 3), 100, np.uint8))  # cluster 200
    names = ClusterNames.default(512)
    names.hidden[200] = True  # the only one that occurs; 0 is not hidden, but nowhere
    run(tmp_path / 'in', tmp_path / 'out', names, overlays=True)
    hidden = ClusterNames(['x'], np.zeros((1, 3), np.uint8), hidden=[True])
    found = cv2.imread(str(tmp_path / 'out' / 'legend.png'))[..., ::-1]
    assert np.array_equal(found, legend(hidden, [0]))  # 'every cluster is hidden'


def labels_of(folder, name):
    return read_labels(folder / 'labels' / f'{name}.png').astype(int)


def test_label_maps_of_two_models_do_not_mix(tmp_path):
    write_images(tmp_path / 'in', ['1.png'])
    run(tmp_path / 'in', tmp_path / 'out')
    other = stub(step=0.5)
    other.tile_size = 16
    with pytest.raises(ValueError, match='holds label maps of another model'):
        FolderRun(other, tmp_path / 'out')
    with pytest.raises(ValueError, match='holds label maps of another model'):
        FolderRun(stub(step=1), tmp_path / 'out')  # the same weights (none), another config
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


def test_a_stop_leaves_no_half_file_and_the_next_run_goes_on(tmp_path):
    write_images(tmp_path / 'in', ['1.png', '2.png', '3.png'])
    interrupted(FolderRun(stub(step=0.5), tmp_path / 'out'), tmp_path / 'in', '2')
    assert files(tmp_path / 'out' / 'labels') == ['1.png']
    job, report = run(tmp_path / 'in', tmp_path / 'out')
    assert (report.num_done, job.num_present) == (2, 1)
    assert read_labels(tmp_path / 'out' / 'labels' / '3.png').shape == (24, 40)


def interrupted(job, folder, at):
    """Run until the image `at` is about to be segmented."""
    segment = job.inferencer.segment

    def stop(image, name):
        if name == at:
            raise KeyboardInterrupt
        return segment(image, name)

    job.inferencer.segment = stop
    with pytest.raises(KeyboardInterrupt):
        job.run(folder)


def test_an_interrupted_overwrite_goes_on_to_the_end(tmp_path):
    """Two models, the second stopped in the middle: the next run without --overwrite leaves maps of the second only."""
    images = write_images(tmp_path / 'in', ['1.png', '2.png', '3.png', '4.png'])
    run(tmp_path / 'in', tmp_path / 'out', overlays=True)
    interrupted(FolderRun(stub(step=1), tmp_path / 'out', overwrite=True), tmp_path / 'in', '3')
    assert files(tmp_path / 'out' / 'labels') == ['1.png', '2.png']  # none of the first model
    with pytest.raises(ValueError, match='another model'):  # the first model has lost the folder
        FolderRun(stub(step=0.5), tmp_path / 'out')
    job = FolderRun(stub(step=1), tmp_path / 'out')
    report = job.run(tmp_path / 'in')
    assert (report.num_done, report.num_replaced, job.num_present) == (2, 0, 2)
    for name, image in enumerate(images, 1):
        assert np.array_equal(labels_of(tmp_path / 'out', name), image[..., 0])
    assert not list((tmp_path / 'out').rglob('*.jpg'))  # overlays of the first model


def test_a_kill_between_file_and_note_is_seen(tmp_path):
    write_images(tmp_path / 'in', ['1.png', '2.png'])
    run(tmp_path / 'in', tmp_path / 'out')
    journal = tmp_path / 'out' / 'labels' / '.outputs.jsonl'
    journal.write_text(journal.read_text()[:-30])  # a line cut off
    job, report = run(tmp_path / 'in', tmp_path / 'out')
    assert (report.num_done, job.num_present) == (1, 1)
    job, report = run(tmp_path / 'in', tmp_path / 'out')
    assert (report.num_done, job.num_present) == (0, 2)
    (tmp_path / 'out' / 'labels' / '2.png').unlink()
    job, report = run(tmp_path / 'in', tmp_path / 'out')
    assert (report.num_done, job.num_present) == (1, 1)


@pytest.mark.parametrize('same_time', [False, True])
def test_a_replaced_image_gets_a_new_map(tmp_path, same_time):
    path = tmp_path / 'in' / '1.bmp'  # equal sizes of files
    write_images(tmp_path / 'in', ['1.bmp', '2.bmp'])
    run(tmp_path / 'in', tmp_path / 'out', overlays=True)
    before = path.stat()
    new, = write_images(tmp_path / 'in', ['1.bmp'], seed=7)
    if same_time:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    job, report = run(tmp_path / 'in', tmp_path / 'out')
    assert (report.num_done, report.num_replaced, job.num_present) == (1, 1, 1)
    assert np.array_equal(labels_of(tmp_path / 'out', '1'), new[..., 0].astype(int) * 2)
    assert files(tmp_path / 'out' / 'overlays') == ['2.jpg']  # the old one of image 1 is gone
    assert '1 images segmented (1 of them again' in report.summary()


def test_a_copied_or_touched_image_is_not_segmented_again(tmp_path):
    write_images(tmp_path / 'in', ['1.png'])
    run(tmp_path / 'in', tmp_path / 'out')
    shutil.copytree(tmp_path / 'in', tmp_path / 'copy')
    os.utime(tmp_path / 'in' / '1.png')
    for folder in ('in', 'copy'):
        job, report = run(tmp_path / folder, tmp_path / 'out')
        assert (report.num_done, job.num_present) == (0, 1)


def test_a_new_image_that_takes_a_name_does_not_take_the_map(tmp_path):
    old, = write_images(tmp_path / 'in', ['cat_jpg.png'])
    run(tmp_path / 'in', tmp_path / 'out', overlays=True)
    images = write_images(tmp_path / 'in', ['cat.jpg', 'cat.png'], seed=3)
    images[0] = cv2.imread(str(tmp_path / 'in' / 'cat.jpg'))
    run(tmp_path / 'in', tmp_path / 'out', overlays=True)
    assert len(files(tmp_path / 'out' / 'overlays')) == 3
    found = {name: read_labels(tmp_path / 'out' / 'labels' / name) for name in files(tmp_path / 'out' / 'labels')}
    assert len(found) == 3
    for image in (old, *images):
        assert sum(np.array_equal(labels, image[..., 0].astype(int) * 2) for labels in found.values()) == 1


def test_names_of_another_model_are_kept_but_not_used(tmp_path):
    write_images(tmp_path / 'in', ['1.png'])
    run(tmp_path / 'in', tmp_path / 'out')
    file = tmp_path / 'out' / 'names.yaml'
    file.write_text(file.read_text().replace('cluster 300', 'cat'))
    job = FolderRun(stub(step=0.5), tmp_path / 'out', read_names=True)
    assert job.inferencer.names.names[300] == 'cat'
    other = stub(step=1)
    other.model.register_buffer('centroids', torch.ones(3))
    other.num_clusters = 256  # fewer: the old file names clusters that do not exist
    other.names = ClusterNames.default(256)
    job = FolderRun(other, tmp_path / 'out', overwrite=True, read_names=True)
    job.run(tmp_path / 'in')
    assert job.inferencer.names.names[255] == 'cluster 255'
    assert len(ClusterNames.load(file, 256).names) == 256
    kept, = (tmp_path / 'out').glob('names.*.yaml')
    assert ClusterNames.load(kept, 512).names[300] == 'cat'
    job = FolderRun(stub(step=0.5), tmp_path / 'out', overwrite=True, read_names=True)  # back to the first model
    assert job.inferencer.names.names[300] == 'cat'


def test_names_of_an_older_version_are_known_by_the_folders_stamp(tmp_path):
    (tmp_path / 'out' / 'labels').mkdir(parents=True)
    (tmp_path / 'out' / 'labels' / '.model.json').write_text(
        '{"model": "00112233445566", "tile_size": null, "overlap": 112, "max_side": 2048}')
    (tmp_path / 'out' / 'names.yaml').write_text('clusters: {511: cat}')
    FolderRun(stub(step=0.5), tmp_path / 'out', overwrite=True, read_names=True)
    assert (tmp_path / 'out' / 'names.00112233.yaml').is_file()
    (tmp_path / 'out' / 'names.yaml').write_text('clusters: {511: dog}')  # written by hand for this model
    job = FolderRun(stub(step=0.5), tmp_path / 'out', read_names=True)
    assert job.inferencer.names.names[511] == 'dog'


@pytest.mark.parametrize('place', ['in/out', 'in', '.'])
def test_an_output_folder_in_equal_to_or_above_the_images(tmp_path, place):
    write_images(tmp_path / 'in', ['a/1.png', '2.png'])
    for _ in range(2):
        _, report = run(tmp_path / 'in', tmp_path / place, overlays=True, sheet=True)
        assert files(tmp_path / place / 'labels') == ['2.png', 'a/1.png']
        assert not report.corrupt
    run(tmp_path / 'in', tmp_path / 'in' / 'second', overlays=True, sheet=True)
    assert files(tmp_path / 'in' / 'second' / 'labels') == ['2.png', 'a/1.png']


def test_overlays_never_replace_the_images(tmp_path):
    write_images(tmp_path / 'overlays', ['a.jpg'])
    before = (tmp_path / 'overlays' / 'a.jpg').read_bytes()
    with pytest.raises(ValueError, match='overlays would be replaced, but no run wrote it there'):
        run(tmp_path / 'overlays', tmp_path, overlays=True)
    mark_outputs(tmp_path, ['overlays'])  # of a run before
    with pytest.raises(ValueError, match=r'would replace or hide the image .*overlays/a\.jpg: choose a folder'):
        run(tmp_path / 'overlays', tmp_path, overlays=True)
    assert (tmp_path / 'overlays' / 'a.jpg').read_bytes() == before


def test_files_of_somebody_else_are_not_touched(tmp_path):
    write_images(tmp_path, ['JPEGImages/1.png', 'labels/1.png'])
    before = (tmp_path / 'labels' / '1.png').read_bytes()
    for overwrite in (False, True):
        with pytest.raises(ValueError, match='holds files that this tool did not write'):
            run(tmp_path / 'JPEGImages', tmp_path, overwrite=overwrite)
    assert (tmp_path / 'labels' / '1.png').read_bytes() == before
    for name, options in (('report.json', {}), ('legend.png', dict(overlays=True)),
                          ('clusters.html', dict(sheet=True))):
        mine = tmp_path / name.split('.')[0] / name
        mine.parent.mkdir()
        mine.write_text('mine')
        with pytest.raises(ValueError, match=f'{name} would be replaced, but no run wrote it there'):
            run(tmp_path / 'JPEGImages', mine.parent, **options)
        assert mine.read_text() == 'mine'


def test_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    write_images(tmp_path / 'in', ['1.png'])
    run('~/in', '~/out')
    assert files(tmp_path / 'out' / 'labels') == ['1.png']


def test_a_full_disk_is_named_and_the_next_run_goes_on(tmp_path):
    write_images(tmp_path / 'in', ['1.png', '2.png'], size=(200, 200))
    write_images(tmp_path / 'in', ['0.png'], size=(4, 4))
    with full_disk(10_000), pytest.raises(OSError, match=r'labels/1\.png cannot be written: File too large'):
        run(tmp_path / 'in', tmp_path / 'out')
    assert files(tmp_path / 'out') == ['labels/0.png']
    job, report = run(tmp_path / 'in', tmp_path / 'out')
    assert (report.num_done, job.num_present) == (2, 1)


def test_names_that_are_no_utf8(tmp_path):
    write_images(tmp_path / 'in', ['1.png'])
    os.rename(tmp_path / 'in' / '1.png', os.fsencode(tmp_path / 'in') + b'/caf\xe9.png')
    (tmp_path / 'in' / os.fsdecode(b'b\xff.jpg')).write_bytes(b'no image')
    for expected in ((1, 0), (0, 1)):
        job, report = run(tmp_path / 'in', tmp_path / 'out', overlays=True, sheet=True)
        assert (report.num_done, job.num_present) == expected
        assert 'in/b\\xff.jpg (' in report.summary()
    assert b'caf\xe9.png' in os.listdir(os.fsencode(tmp_path / 'out' / 'labels'))
    assert b'caf\xe9.jpg' in os.listdir(os.fsencode(tmp_path / 'out' / 'overlays'))
    assert os.fsdecode(b'b\xff.jpg') in json.loads((tmp_path / 'out' / 'report.json').read_text())['corrupt'][0]['path']


def test_arrays_are_known_by_their_content(tmp_path):
    image = np.zeros((4, 4, 3), np.uint8)
    for value, expected in ((1, 1), (1, 0), (2, 1)):
        _, report = run([image + np.uint8(value)], tmp_path / 'out')
        assert report.num_done == expected
    assert (labels_of(tmp_path / 'out', 'image_0') == 4).all()


def test_a_kill_while_another_models_maps_are_removed_leaves_the_folder_to_it(tmp_path, monkeypatch):
    write_images(tmp_path / 'in', ['1.png', '2.png', '3.png'])
    run(tmp_path / 'in', tmp_path / 'out', sheet=True)
    unlink, removed = Path.unlink, []

    def kill(path, *args, **kwargs):
        if path.parent.name == 'labels' and path.suffix == '.png':
            removed.append(path)
            if len(removed) == 2:
                raise KeyboardInterrupt
        unlink(path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Path, 'unlink', kill)
        with pytest.raises(KeyboardInterrupt):
            FolderRun(stub(step=1), tmp_path / 'out', overwrite=True)
    job, report = run(tmp_path / 'in', tmp_path / 'out')
    assert (report.num_done, job.num_present) == (1, 2)


def test_a_takeover_leaves_no_map_of_images_that_are_gone(tmp_path):
    write_images(tmp_path / 'in', ['1.png', '2.png', '3.png'])
    run(tmp_path / 'in', tmp_path / 'out', overlays=True)
    (tmp_path / 'in' / '3.png').unlink()
    FolderRun(stub(step=1), tmp_path / 'out', overwrite=True).run(tmp_path / 'in')
    assert files(tmp_path / 'out') == ['labels/1.png', 'labels/2.png', 'names.yaml', 'report.json']


def test_maps_of_other_images_are_told(tmp_path):
    write_images(tmp_path / 'in', ['1.png', '2.png'])
    run(tmp_path / 'in', tmp_path / 'out')
    (tmp_path / 'in' / '2.png').unlink()
    job, report = run(tmp_path / 'in', tmp_path / 'out')
    assert (report.num_done, job.num_present, report.others) == (0, 1, ['2'])
    assert '1 label maps of earlier runs are of none of these images (2).' in report.summary()
    assert json.loads((tmp_path / 'out' / 'report.json').read_text())['others'] == ['2']


def test_no_sheet_or_report_outlives_its_maps(tmp_path):
    write_images(tmp_path / 'in', ['1.png', '2.png'])
    run(tmp_path / 'in', tmp_path / 'out', overlays=True, sheet=True)
    write_images(tmp_path / 'in', ['2.png', '3.png'], seed=5)
    interrupted(FolderRun(stub(step=0.5), tmp_path / 'out'), tmp_path / 'in', '3')
    assert [name for name in files(tmp_path / 'out') if '/' not in name] == ['names.yaml']
    run(tmp_path / 'in', tmp_path / 'out')
    assert [name for name in files(tmp_path / 'out') if '/' not in name] == ['names.yaml', 'report.json']


def test_a_map_cut_off_by_a_power_cut_is_made_again(tmp_path):
    write_images(tmp_path / 'in', ['1.png', '2.png'])
    run(tmp_path / 'in', tmp_path / 'out')
    (tmp_path / 'out' / 'labels' / '2.png').write_bytes(b'')
    job, report = run(tmp_path / 'in', tmp_path / 'out', sheet=True)
    assert (report.num_done, job.num_present) == (1, 1)
    assert read_labels(tmp_path / 'out' / 'labels' / '2.png').shape == (24, 40)


def test_two_runs_at_once_do_not_share_a_folder(tmp_path):
    write_images(tmp_path / 'in', ['1.png'])
    job = FolderRun(stub(step=0.5), tmp_path / 'out')
    with held_by_another_process(tmp_path / 'out' / '.leopart_mm-lock') as process:
        for use in (lambda: job.run(tmp_path / 'in'), lambda: FolderRun(stub(step=0.5), tmp_path / 'out')):
            with pytest.raises(FolderInUseError, match=rf'out is in use by another run \(process {process.pid} on'):
                use()
    assert job.run(tmp_path / 'in').num_done == 1  # free again after a kill
    FolderRun(stub(step=1), tmp_path / 'out', overwrite=True)
    with pytest.raises(ValueError, match='taken over by another run'):
        job.run(tmp_path / 'in')


def test_ranges_and_missing_values_are_known_again(tmp_path):
    """A tuple is read back as a list, and NaN is unequal to itself."""
    write_images(tmp_path / 'in', ['1.png'])
    for present in (0, 1):
        model = stub(step=0.5)
        model.value_range, model.nodata = (0, 4000.5), float('nan')
        job = FolderRun(model, tmp_path / 'out')
        job.run(tmp_path / 'in')
        assert job.num_present == present
    model.value_range = (0, 4001)
    with pytest.raises(ValueError, match='another model'):
        FolderRun(model, tmp_path / 'out')


def test_a_value_range_ties_the_folder_and_pixels_without_data_come_back(tmp_path):
    checkpoint = torch.load(fitted_checkpoint(tmp_path / 'fitted.pth'), weights_only=True)
    checkpoint['meta']['dataset_meta'].update(value_range=(0., 4000.), nodata=7)
    array = np.linspace(10, 4000, 32 * 48).reshape(32, 48).astype(np.uint16)
    array[:8] = 7
    (tmp_path / 'in').mkdir()
    cv2.imwrite(str(tmp_path / 'in/a.tif'), array)
    first = FolderRun(LeopartInferencer(checkpoint), tmp_path / 'out', overlays=True, sheet=True)
    first.run(tmp_path / 'in')
    shares = json.loads((tmp_path / 'out/report.json').read_text())['shares']
    again = FolderRun(LeopartInferencer(checkpoint), tmp_path / 'out', overlays=True, sheet=True)
    again.run(tmp_path / 'in')
    assert again.num_present == 1
    assert (read_labels(tmp_path / 'out/labels/a.png')[:8] == 255).all()
    assert json.loads((tmp_path / 'out/report.json').read_text())['shares'] == shares
    assert sum(shares) == pytest.approx(1, abs=1e-5)
    checkpoint['meta']['dataset_meta'].update(value_range=(0., 2000.))
    with pytest.raises(ValueError, match='--overwrite'):
        FolderRun(LeopartInferencer(checkpoint), tmp_path / 'out')
