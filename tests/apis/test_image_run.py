"""ImageRun with outputs that are no label maps: any result, any suffix, one journal."""

import json

import numpy as np
import pytest

from leopart_mm.apis.image_inputs import list_images
from leopart_mm.apis.image_run import ImageRun, Report, process_images
from leopart_mm.datasets.image_reading import ImageReadError, read_image
from leopart_mm.files import temporary_path, write_text_whole
from tests.apis.builders import write_images


def boxes(path, name):
    """A result of another kind: as a mask source gives several boxes per image."""
    return dict(name=name, boxes=[list(read_image(path).shape[:2])])


def write(file, result):
    write_text_whole(file, json.dumps(result))


def read(path, name, file):
    return json.loads(file.read_text()) | dict(read_back=True)


def run(folder, out, settings, **options):
    job = ImageRun(out, settings, '.json', **options)
    return job, [result for result in job.run(list_images(folder), boxes, write, read) if result is not None]


def test_results_of_any_kind_are_kept_and_read_back(tmp_path):
    write_images(tmp_path / 'in', ['a/1.png', '2.png'], size=(6, 9))
    (tmp_path / 'in' / 'cut.png').write_bytes(b'\x89PNG')
    job, results = run(tmp_path / 'in', tmp_path / 'out', dict(threshold=.5))
    assert results == [dict(name='2', boxes=[[6, 9]]), dict(name='a/1', boxes=[[6, 9]])]
    assert [path for path, _ in job.report.corrupt] == [str(tmp_path / 'in' / 'cut.png')]
    assert json.loads((tmp_path / 'out' / 'a' / '1.json').read_text()) == results[1]
    job, again = run(tmp_path / 'in', tmp_path / 'out', dict(threshold=.5))
    assert again == [result | dict(read_back=True) for result in results]
    assert (job.report.num_done, job.report.num_present) == (0, 2)
    with pytest.raises(ValueError, match='overwrite'):
        run(tmp_path / 'in', tmp_path / 'out', dict(threshold=.6))
    job, changed = run(tmp_path / 'in', tmp_path / 'out', dict(threshold=.6), overwrite=True)
    assert changed == results
    assert job.took_over
    assert job.report.num_replaced == 2


def test_a_consumer_that_stops_early_loses_nothing(tmp_path):
    write_images(tmp_path / 'in', [f'{number}.png' for number in range(4)])
    job = ImageRun(tmp_path / 'out', {}, '.json')
    results = job.run(list_images(tmp_path / 'in'), boxes, write, read)
    assert [next(results)['name'] for _ in range(2)] == ['0', '1']
    results.close()
    job, _ = run(tmp_path / 'in', tmp_path / 'out', {})
    assert (job.report.num_done, job.report.num_present) == (2, 2)


def test_a_kill_in_the_middle_of_a_file_leaves_nothing_for_ever(tmp_path):
    """Also where it came before the first file: the folder is still this tool's."""
    write_images(tmp_path / 'in', ['a/1.png'])
    for name in ('.model.json', 'a/1.json'):
        left = temporary_path(tmp_path / 'out' / name)
        left.parent.mkdir(parents=True, exist_ok=True)
        left.touch()
        job, _ = run(tmp_path / 'in', tmp_path / 'out', {})
        assert not left.exists()
    assert job.report.num_present == 1


def test_only_unreadable_images_are_skipped(tmp_path):
    write_images(tmp_path, ['1.png', '2.png', '3.png'])

    def process(path, name):
        if name == '2':
            raise ImageReadError(path, 'spoilt')
        if name == '3':
            raise RuntimeError('a fault of the program')
        return np.float32(1)

    report = Report()
    results = process_images(list_images(tmp_path), process, report)
    assert [next(results), next(results)] == [1, None]
    with pytest.raises(RuntimeError, match='a fault'):
        next(results)
    assert report.corrupt == [(str(tmp_path / '2.png'), 'spoilt')]
