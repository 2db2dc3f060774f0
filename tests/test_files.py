"""Whole files: nothing half is left, errors name the file and the cause, any name will do."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from leopart_mm import files
from leopart_mm.files import (
    encode_image,
    printable,
    remove_temporary,
    safetensors_bytes,
    save_torch_whole,
    shorten,
    write_bytes_whole,
    write_image_whole,
    write_text_whole,
    write_whole,
)

BIG = 400_000


@contextmanager
def full_disk(size: int = 100_000) -> Iterator[None]:
    """No file can grow beyond `size` bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


WRITERS = dict(
    bytes=lambda path: write_bytes_whole(path, b'\1' * BIG),
    text=lambda path: write_text_whole(path, 'é' * BIG),
    torch=lambda path: save_torch_whole(dict(a=torch.ones(BIG)), path),
    image=lambda path: write_image_whole(path.with_suffix('.png'),
                                         np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)))


@pytest.mark.parametrize('name', WRITERS)
def test_a_full_disk_is_named_and_leaves_the_old_file(name, tmp_path):
    path = tmp_path / 'file.png'
    path.write_bytes(b'old')
    with full_disk(), pytest.raises(OSError, match=r'file\.png cannot be written: File too large'):
        WRITERS[name](path)
    assert [file.name for file in tmp_path.iterdir()] == ['file.png']
    assert path.read_bytes() == b'old'
    WRITERS[name](path)
    assert path.stat().st_size > 3
    assert len(list(tmp_path.iterdir())) == 1


def test_how_much_is_free_is_said_where_the_disk_is_full(tmp_path):
    with (pytest.raises(OSError, match=r'x cannot be written: No space left on device \(\d+ MiB are free there\)'),
          write_whole(tmp_path / 'x')):
        raise OSError(28, 'No space left on device')


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / 'new folder/a.txt'
    write_text_whole(path, 'one')
    with write_whole(path, flush=True) as temporary:
        assert path.read_text() == 'one'
        assert temporary.parent == path.parent
        temporary.write_text('two')
        assert path.read_text() == 'one'
    assert path.read_text() == 'two'
    assert os.listdir(path.parent) == ['a.txt']


@pytest.mark.parametrize('error', [ValueError, KeyboardInterrupt])
def test_a_failed_block_leaves_nothing(error, tmp_path):

    def fail_halfway() -> None:
        with write_whole(tmp_path / 'a') as temporary:
            temporary.write_text('half')
            raise error

    with pytest.raises(error):
        fail_halfway()
    assert not list(tmp_path.iterdir())


def test_errors_about_other_files_keep_their_own_words(tmp_path):
    with pytest.raises(FileNotFoundError, match='source') as caught, write_whole(tmp_path / 'target') as temporary:
        temporary.write_bytes((tmp_path / 'source').read_bytes())
    assert 'target' not in str(caught.value)


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / 'a').write_text('')
    with pytest.raises(OSError, match=r'a/b cannot be written: (File exists|Not a directory)'):
        write_text_whole(tmp_path / 'a/b', '')


def test_any_name_will_do(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    for name in ('Ä und ß', 'a b,c', os.fsdecode(b'caf\xe9'), 'x' * 250, '日' * 80):
        path = Path(f'{tmp_path}/{name}.png')
        write_image_whole(path, image)
        content = np.frombuffer(path.read_bytes(), np.uint8)
        assert np.array_equal(cv2.imdecode(content, cv2.IMREAD_COLOR)[..., ::-1], image)
    assert len(os.listdir(tmp_path)) == 5


def test_pictures_and_label_maps_keep_their_values(tmp_path):
    labels = np.arange(300 * 300).reshape(300, 300).astype(np.uint16)
    write_image_whole(tmp_path / 'labels.png', labels)
    assert np.array_equal(cv2.imread(str(tmp_path / 'labels.png'), cv2.IMREAD_UNCHANGED), labels)
    flat = np.full((32, 32, 3), (200, 100, 50), np.uint8)
    write_image_whole(tmp_path / 'flat.jpg', flat)
    assert abs(cv2.imread(str(tmp_path / 'flat.jpg'))[..., ::-1].astype(int) - flat).max() <= 2
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    assert len(encode_image(noise, '.jpg', 20)) < len(encode_image(noise, '.jpg', 95)) / 2


@pytest.mark.parametrize(('array', 'suffix'), [(np.zeros((2, 2, 2), np.uint8), '.png'), (np.zeros((2, 2)), '.what'),
                                               (np.zeros(3, object), '.png')])
def test_what_no_format_holds_is_refused(array, suffix):
    with pytest.raises(ValueError, match=f'of shape .* cannot be written as .{suffix}'):
        encode_image(array, suffix)


def test_text_is_utf8_and_keeps_odd_bytes(tmp_path):
    write_text_whole(tmp_path / 'a', 'ü ' + os.fsdecode(b'\xff'))
    assert (tmp_path / 'a').read_bytes() == 'ü '.encode() + b'\xff'


def test_leftovers_of_killed_runs_are_removed(tmp_path):
    kept = tmp_path / 'iter_1.pth'
    kept.touch()
    files.temporary_path(kept).touch()
    (tmp_path / 'notes.tmp').touch()
    (tmp_path / 'below').mkdir()
    files.temporary_path(tmp_path / 'below' / 'a.png').touch()
    remove_temporary(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ['below', 'iter_1.pth', 'notes.tmp']
    assert len(os.listdir(tmp_path / 'below')) == 1
    remove_temporary(tmp_path, recursive=True)
    assert not os.listdir(tmp_path / 'below')


def test_lists_in_messages():
    assert shorten([]) == ''
    assert shorten([1, 2]) == '1, 2'
    assert shorten(iter('abcdefg')) == 'a, b, c, d, e, ...'
    assert printable(Path('ä/b')) == 'ä/b'


def test_a_safetensors_file_has_the_same_bytes_whatever_order_its_metadata_came_in():
    from safetensors.numpy import load
    tensors = dict(b=np.arange(5, dtype=np.float16), a=np.eye(3, dtype=np.float32))
    metadata = dict(size='24 40', name='ä\\xe9 "b".png', other='1')
    content = {safetensors_bytes(tensors, dict(order))
               for order in (list(metadata.items()), list(metadata.items())[::-1])
               for _ in range(8)}  # the library alone would give several of the six orders
    assert len(content) == 1
    content = content.pop()
    assert int.from_bytes(content[:8], 'little') % 8 == 0
    assert {name: array.tolist() for name, array in load(content).items()} == {
        'a': np.eye(3).tolist(), 'b': [0, 1, 2, 3, 4]}
    assert content.index(b'"name"') < content.index(b'"other"') < content.index(b'"size"')


def test_metadata_of_a_safetensors_file_are_read_back(tmp_path):
    from safetensors import safe_open
    metadata = dict(size='24 40', name='ä\\xe9 "b".png')
    write_bytes_whole(tmp_path / 'a.safetensors', safetensors_bytes(dict(a=np.zeros(3)), metadata))
    with safe_open(tmp_path / 'a.safetensors', 'np') as content:
        assert content.metadata() == metadata
        assert content.get_tensor('a').tolist() == [0, 0, 0]
