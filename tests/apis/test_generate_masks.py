"""Proposals of many images: resumed, refused, counted; the same by any batch and any number of workers."""

import json
import os

import cv2
import numpy as np
import pytest
import torch

from leopart_mm.apis import generate_masks as module
from leopart_mm.folder_lock import FolderInUseError
from leopart_mm.masks import ProposalImage
from tests.apis.proposal_sources import (
    PIPELINE,
    SQUARE,
    Bands,
    Quadrants,
    network_of,
    proposal_config,
    propose,
)


@pytest.fixture
def pictures(tmp_path):
    """Nine images of three sizes, one of them black."""
    generator = np.random.default_rng(0)
    sizes = [(30, 40), (40, 30), (32, 32)] * 3
    for number, size in enumerate(sizes):
        folder = tmp_path / 'in' / ('a' if number < 4 else '')
        folder.mkdir(parents=True, exist_ok=True)
        image = cv2.resize(generator.integers(60, 255, (4, 4, 3), np.uint8), size[::-1])
        cv2.imwrite(str(folder / f'{number}.png'), image * (number != 5))
    return tmp_path / 'in'


def content(out):
    """Name -> bytes of the files."""
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob('*'))
            if path.is_file() and not path.name.startswith('.')}


def test_every_image_gets_a_file_and_the_empty_ones_are_named(tmp_path, pictures):
    (pictures / 'cut.png').write_bytes(b'\x89PNG')
    run, report = propose(pictures, tmp_path / 'out')
    assert report.num_done == 9
    assert [path for path, _ in report.corrupt] == [str(pictures / 'cut.png')]
    assert report.empty == ['5']
    assert report.summary().startswith('9 images done; 16 masks (1.8 per image, at most 2); 1 images have no mask (5); '
                                       '1 images could not be read: ')
    labels = cv2.imread(str(tmp_path / 'out' / 'proposals' / 'a' / '0.png'), cv2.IMREAD_UNCHANGED)
    assert labels.shape == (24, 24)
    assert set(np.unique(labels)) == {1, 2}
    # by hand: the map of the network for this picture
    item = run.images[[os.path.basename(path) for path in run.images.paths].index('0.png')]
    inputs = run.network(['0'], [item.inputs], module.Requests(maps=True))
    image = run.network.image('0', item.inputs, item.original_size)
    assert np.array_equal(labels, Bands()(inputs, [image])[0].labels)
    assert image.original_size == (30, 40)
    assert (image.mean, image.std) == ((round(120 / 255, 9), ) * 3, (round(60 / 255, 9), ) * 3)
    written = json.loads((tmp_path / 'out' / 'report.json').read_text())
    assert written['masks'] == 16
    assert written['without_masks'] == ['5']
    assert written['settings']['source'] == dict(type='Bands', dark=40)


def test_pixels_are_those_of_the_file_as_rgb(tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), np.full((24, 24, 3), (10, 20, 30), np.uint8))
    config = proposal_config(tmp_path)
    images = module.build_images(config)
    image = network_of(config).image('a', images[0].inputs, (24, 24))
    assert image.pixels.dtype == np.uint8
    assert image.pixels[3, 4].tolist() == [30, 20, 10]


@pytest.mark.parametrize(('pipeline', 'options'), [
    (SQUARE, dict(batch_size=5)), (SQUARE, dict(workers=2)), (SQUARE, dict(readers=1)), (PIPELINE, dict(batch_size=4)),
    (PIPELINE, dict(batch_size=1, workers=1))])
def test_neither_batches_nor_processes_change_a_byte(tmp_path, pictures, pipeline, options):
    propose(pictures, tmp_path / 'one', pipeline=pipeline)
    propose(pictures, tmp_path / 'other', pipeline=pipeline, **options)
    assert content(tmp_path / 'one') == content(tmp_path / 'other')
    assert len(content(tmp_path / 'one')) == 10


def test_a_killed_run_resumes_to_the_same_bytes(tmp_path, pictures):
    propose(pictures, tmp_path / 'whole')

    class Dies(Bands):

        def refine(self, draft, image):
            if len(self.refined) == 4:
                raise KeyboardInterrupt
            return super().refine(draft, image)

    Dies.__name__ = 'Bands'
    with pytest.raises(KeyboardInterrupt):
        propose(pictures, tmp_path / 'out', Dies())
    assert len(content(tmp_path / 'out')) == 4
    half = tmp_path / 'out' / 'proposals' / '.4.png.1-ab.tmp'  # as a kill leaves it
    half.write_bytes(b'\x89PNG')
    journal = tmp_path / 'out' / 'proposals' / '.outputs.jsonl'
    journal.write_bytes(journal.read_bytes()[:-20])  # the last line was cut off
    source = Bands()
    _, report = propose(pictures, tmp_path / 'out', source)
    assert (report.num_done, report.num_present) == (6, 3)
    assert len(source.refined) == 6
    assert content(tmp_path / 'out') == content(tmp_path / 'whole')
    assert not half.exists()
    assert propose(pictures, tmp_path / 'out')[1].num_present == 9


@pytest.mark.parametrize(('change', 'words'), [
    (dict(source=Bands(dark=41)), r'source\.dark was 40 and is 41'),
    (dict(seed=1), r'backbone\.weights was \w+ and is \w+'),
    (dict(pipeline=PIPELINE), r'images\.pipeline was .*CentreCrop.* and is'),
])
def test_other_settings_are_refused_then_take_over(tmp_path, pictures, change, words):
    propose(pictures, tmp_path / 'out')
    before = content(tmp_path / 'out')
    with pytest.raises(ValueError, match=f'holds proposals that were made otherwise: {words}.*--overwrite'):
        propose(pictures, tmp_path / 'out', **change)
    assert content(tmp_path / 'out') == before
    _, report = propose(pictures, tmp_path / 'out', **change, overwrite=True)
    assert report.num_replaced == 9
    assert content(tmp_path / 'out') != before


def test_changed_images_and_files_are_made_again(tmp_path, pictures):
    propose(pictures, tmp_path / 'out')
    cv2.imwrite(str(pictures / '7.png'), np.full((30, 40, 3), 9, np.uint8))
    (tmp_path / 'out' / 'proposals' / '6.png').write_bytes(b'half')
    (tmp_path / 'out' / 'proposals' / 'a' / '1.png').unlink()
    (pictures / '8.png').write_bytes(b'\x89PNG')
    source = Bands()
    _, report = propose(pictures, tmp_path / 'out', source)
    assert sorted(source.refined) == ['6', '7', 'a/1']
    assert report.empty == ['5', '7']
    assert not (tmp_path / 'out' / 'proposals' / '8.png').exists()
    assert 'could not be read' in report.summary()


def test_a_copied_data_set_and_cache_are_current(tmp_path, pictures):
    propose(pictures, tmp_path / 'out')
    pictures.rename(tmp_path / 'moved')
    (tmp_path / 'out').rename(tmp_path / 'cache')
    source = Bands()
    assert propose(tmp_path / 'moved' / '..' / 'moved', tmp_path / 'cache', source)[1].num_present == 9
    assert source.refined == []


def test_pictures_are_drawn_of_all_images_once(tmp_path, pictures):
    propose(pictures, tmp_path / 'out')
    source = Bands()
    propose(pictures, tmp_path / 'out', source, show_dir=tmp_path / 'show')
    drawn = sorted((tmp_path / 'show').rglob('*.jpg'))
    assert len(drawn) == 9
    assert source.refined == []
    picture = cv2.imread(str(drawn[0]))
    assert picture.shape == (24 + 18, 2 * 24 + 4, 3)
    times = [path.stat().st_mtime_ns for path in drawn]
    propose(pictures, tmp_path / 'out', show_dir=tmp_path / 'show')
    assert [path.stat().st_mtime_ns for path in drawn] == times
    propose(pictures, tmp_path / 'out', overwrite=True, show_dir=tmp_path / 'show')
    assert all(path.stat().st_mtime_ns > time for path, time in zip(drawn, times, strict=True))


def test_overlapping_instances_are_joined_in_one_json(tmp_path, pictures):
    _, report = propose(pictures, tmp_path / 'out', Quadrants(), pipeline=PIPELINE, workers=1,
                        show_dir=tmp_path / 'show')
    assert set(report.masks.values()) == {2}
    joint = json.loads((tmp_path / 'out' / 'annotations.json').read_text())
    assert [entry['file_name'] for entry in joint['images']] == [
        *(f'{number}.png' for number in range(4, 9)), *(f'a/{number}.png' for number in range(4))]
    first = [(entry['image_id'], entry['score']) for entry in joint['annotations'][:3]]
    assert first == [(1, 0.5), (1, 0.25), (2, 0.5)]
    assert joint['annotations'][0]['bbox'] == [0, 0, 15, 40]  # 4.png is 40 x 30


def test_what_a_run_wrote_is_no_image_for_the_next(tmp_path, pictures):
    for _ in range(2):
        _, report = propose(pictures, pictures / 'out', show_dir=pictures / 'show')
        assert len(report.masks) == 9


@pytest.mark.parametrize('step', [dict(type='RandomFlip', prob=0.5), dict(type='leopart_mm.SegRandomFlip')])
def test_random_pipelines_are_refused(tmp_path, pictures, step):
    with pytest.raises(ValueError, match=r'draws at random \((Seg)?RandomFlip\)'):
        module.build_images(proposal_config(pictures, [SQUARE[0], step, SQUARE[2]]))


def test_a_fault_names_the_image_and_a_second_run_waits(tmp_path, pictures, monkeypatch):

    class Fails(Bands):

        def refine(self, draft, image: ProposalImage):
            raise ValueError('features are NaN')

    with pytest.raises(ValueError, match=r'^4: features are NaN'):
        propose(pictures, tmp_path / 'out', Fails())
    monkeypatch.setattr(module, 'lock_folder', lambda folder: (_ for _ in ()).throw(FolderInUseError('in use')))
    with pytest.raises(FolderInUseError):
        propose(pictures, tmp_path / 'out')


def test_a_folder_of_something_else_is_not_touched(tmp_path, pictures):
    (tmp_path / 'out' / 'proposals').mkdir(parents=True)
    (tmp_path / 'out' / 'proposals' / 'mine.png').write_text('mine')
    with pytest.raises(ValueError, match='holds files that this tool did not write'):
        propose(pictures, tmp_path / 'out', overwrite=True)
    assert (tmp_path / 'out' / 'proposals' / 'mine.png').read_text() == 'mine'
    for name, folders in (('report.json', dict(out=tmp_path / 'mine')),
                          ('8.jpg', dict(out=tmp_path / 'new', show_dir=tmp_path / 'mine'))):
        mine = tmp_path / 'mine' / name
        mine.parent.mkdir(exist_ok=True)
        mine.write_text('mine')
        for _ in range(2):
            with pytest.raises(ValueError, match=f'{name} would be replaced, but no run wrote it there'):
                propose(pictures, **folders)
        assert mine.read_text() == 'mine'


def test_what_a_config_must_say(tmp_path, pictures):
    config = proposal_config(pictures)
    with pytest.raises(KeyError, match='has no proposals, the source of masks'):
        module.generate_masks(config, tmp_path / 'out')
    config.proposals = dict(type='leopart_mm.MaskFiles', folder=str(pictures))
    with pytest.raises(TypeError, match='is no source of proposals'):
        module.generate_masks(config, tmp_path / 'out')
    config.pop('proposal_dataloader')
    with pytest.raises(KeyError, match='has no proposal_dataloader'):
        module.generate_masks(config, tmp_path / 'out')


def test_a_neck_is_left_out_unless_asked_for(tmp_path):
    config = proposal_config(tmp_path)
    config.model.neck = dict(type='leopart_mm.CodeHead', in_channels=32, out_channels=5)
    assert network_of(config).neck is None
    config.proposal_features = 'neck'
    network = network_of(config)
    inputs = network(['a'], [torch.zeros(3, 24, 24, dtype=torch.uint8)], module.Requests(maps=True))
    assert inputs.features.shape == (1, 5, 3, 3)
    assert network.settings()['neck']['type'] == 'CodeHead'
    config.proposal_features = 'both'
    with pytest.raises(ValueError, match="must be 'backbone' or 'neck'"):
        network_of(config)
    config = proposal_config(tmp_path)
    config.proposal_features = 'neck'
    with pytest.raises(KeyError, match=r'no model\.neck'):
        network_of(config)


def test_one_thread_refines_in_any_process(tmp_path):
    from leopart_mm.worker_processes import Workers
    for number in (0, 2):
        with Workers(threads_and_square, number) as workers:
            assert list(workers.map(range(20))) == [(1, value**2) for value in range(20)]


def threads_and_square(value):
    return torch.get_num_threads(), value**2


def test_a_worker_that_is_ended_is_named():
    from leopart_mm.worker_processes import Workers
    with Workers(os._exit, 1) as workers, pytest.raises(RuntimeError, match='ended from outside'):
        list(workers.map([3]))
