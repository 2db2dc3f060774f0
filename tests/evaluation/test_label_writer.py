import os

import numpy as np
import pytest
from PIL import Image

from leopart_mm.datasets.image_reading import read_image
from leopart_mm.evaluation.label_writer import LabelMapWriter, read_labels, unique_names, write_labels
from leopart_mm.folder_lock import LOCK, FolderInUseError
from tests.test_folder_lock import held_by_another_process


def test_names():
    assert unique_names(['a/1.jpg', 'b/1.jpg', 'b/2.jpg']) == ['a_1', 'b_1', '2']
    assert unique_names(['x/a/1.jpg', 'y/a/1.jpg', 'x/b/1.jpg']) == ['x_a_1', 'y_a_1', 'b_1']
    assert unique_names(['a/1.jpg', 'a/1.png', 'a/1.jpg']) == ['a_1_jpg', 'a_1_png', 'a_1_jpg']
    assert unique_names([]) == []


@pytest.mark.parametrize(('number', 'depth'), [(2, 'uint8'), (256, 'uint8'), (257, 'uint16'), (500, 'uint16')])
def test_labels_survive_the_file(tmp_path, number, depth):
    import cv2
    labels = np.arange(number).repeat(2).reshape(2, -1)
    write_labels(tmp_path / 'map.png', labels, number)
    assert cv2.imread(str(tmp_path / 'map.png'), cv2.IMREAD_UNCHANGED).dtype == depth
    np.testing.assert_array_equal(read_labels(tmp_path / 'map.png'), labels)


def test_writer_keeps_images_of_one_name_apart(tmp_path):
    writer = LabelMapWriter(tmp_path / 'new')
    for value, path in enumerate(['a/1.jpg', 'b/1.jpg', 'b/2.jpg']):
        writer.add(path, np.full((2, 3), value), 300)
    files = writer.finish()
    assert maps(tmp_path / 'new') == ['2.png', 'a_1.png', 'b_1.png']
    assert read_labels(files['b/1.jpg']).max() == 1


def test_bad_labels_and_folders(tmp_path):
    with pytest.raises(ValueError, match=r'only 0..2 exist'):
        write_labels(tmp_path / 'map.png', np.array([[3]]), 3)
    with pytest.raises(ValueError, match='16-bit'):
        write_labels(tmp_path / 'map.png', np.array([[3]]), 70000)
    (tmp_path / 'file').touch()
    with pytest.raises(OSError, match=r'file/map\.png cannot be written'):
        write_labels(tmp_path / 'file' / 'map.png', np.array([[0]]), 3)
    for content in (b'', b'no picture'):
        (tmp_path / 'map.png').write_bytes(content)
        with pytest.raises(OSError, match=r'map\.png is no label map'):
            read_labels(tmp_path / 'map.png')


def test_names_that_are_no_utf8(tmp_path):
    name = os.fsdecode(b'caf\xe9')
    writer = LabelMapWriter(tmp_path / 'out')
    writer.add(f'{tmp_path}/{name}.jpg', np.full((2, 3), 7), 300)
    file, = writer.finish().values()
    assert os.fsencode(file.name) == b'caf\xe9.png'
    assert (read_labels(file) == 7).all()


@pytest.mark.parametrize('turned', [False, True])
def test_maps_have_the_size_of_the_image_file(tmp_path, turned):
    """A metric may compare at another size, and a photo may be turned by EXIF."""
    exif = Image.Exif()
    exif[0x0112] = 6 if turned else 1
    Image.new('RGB', (6, 4)).save(tmp_path / 'a.jpg', exif=exif)
    writer = LabelMapWriter(tmp_path / 'out')
    writer.add(str(tmp_path / 'a.jpg'), np.array([[1, 2], [3, 4]]), 5)
    labels = read_labels(writer.finish()[str(tmp_path / 'a.jpg')])
    size = (6, 4) if turned else (4, 6)
    assert np.array_equal(labels, np.kron([[1, 2], [3, 4]], np.ones((size[0] // 2, size[1] // 2), int)))
    assert read_image(tmp_path / 'a.jpg').shape[:2] == size


def test_maps_of_a_part_lie_where_it_was_cut_out(tmp_path):
    Image.new('RGB', (12, 4)).save(tmp_path / 'a.png')
    writer = LabelMapWriter(tmp_path / 'out')
    writer.add(str(tmp_path / 'a.png'), np.array([[1, 2], [3, 4]]), 5, part=(0., 1., 1 / 3, 2 / 3))
    labels = read_labels(writer.finish()[str(tmp_path / 'a.png')])
    square = np.kron([[1, 2], [3, 4]], np.ones((2, 2), int))
    assert np.array_equal(labels, np.pad(square, ((0, 0), (4, 4)), constant_values=255))


def test_masks_that_no_run_wrote_are_never_replaced(tmp_path):
    """--out into the folder of the true masks."""
    write_labels(tmp_path / 'a.png', np.array([[7, 7]]), 300)
    writer = LabelMapWriter(tmp_path)
    with pytest.raises(ValueError, match=r'a\.png would be replaced, but no run wrote it there: choose another folder'):
        writer.add('images/a.jpg', np.array([[1, 2]]), 300)
    assert (read_labels(tmp_path / 'a.png') == 7).all()
    writer = LabelMapWriter(tmp_path)  # a later one is found at the end
    writer.add('images/b.jpg', np.array([[1, 2]]), 300)
    writer.add('images/a.jpg', np.array([[1, 2]]), 300)
    with pytest.raises(ValueError, match=r'a\.png would be replaced'):
        writer.finish()
    assert (read_labels(tmp_path / 'a.png') == 7).all()
    assert not (tmp_path / 'b.png').exists()


def test_maps_of_classes(tmp_path):
    writer = LabelMapWriter(tmp_path)
    writer.add('a.jpg', np.array([[0, 1, 2]]), 3)
    writer.finish(np.array([5, 0, 5]), 6)
    assert read_labels(tmp_path / 'classes' / 'a.png').tolist() == [[5, 0, 5]]


def maps(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob('*.png'))


def write(folder, values, classes=True):
    writer = LabelMapWriter(folder)
    for path, value in values.items():
        writer.add(path, np.full((2, 3), value), 3)
    writer.finish(np.array([0, 1, 1]) if classes else None, 2)


def test_no_map_of_an_earlier_run_stays(tmp_path):
    """Fewer images, no maps of classes: what the run before wrote is gone, what others put there stays."""
    (tmp_path / 'classes').mkdir()
    for name in ('mine.png', 'classes/mine.png'):
        (tmp_path / name).write_text('')
    write(tmp_path, {'a.jpg': 0, 'b.jpg': 1})
    assert maps(tmp_path) == ['a.png', 'b.png', 'classes/a.png', 'classes/b.png', 'classes/mine.png', 'mine.png']
    write(tmp_path, {'b.jpg': 2}, classes=False)
    assert maps(tmp_path) == ['b.png', 'classes/mine.png', 'mine.png']
    assert (read_labels(tmp_path / 'b.png') == 2).all()


def test_a_kill_while_maps_get_their_names_leaves_no_mixture(tmp_path, monkeypatch):
    write(tmp_path, {'a.jpg': 0, 'b.jpg': 0, 'c.jpg': 0}, classes=False)
    rename, renamed = os.replace, []

    def kill(source, target):
        if target.suffix == '.png' and not target.name.startswith('.'):
            renamed.append(target)
            if len(renamed) == 2:
                raise KeyboardInterrupt
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, 'replace', kill)
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path, {'a.jpg': 1, 'b.jpg': 1, 'c.jpg': 1}, classes=False)
    visible = [name for name in maps(tmp_path) if not name.startswith('.')]
    assert visible == ['a.png']
    assert (read_labels(tmp_path / 'a.png') == 1).all()
    write(tmp_path, {'c.jpg': 2}, classes=False)
    assert maps(tmp_path) == ['c.png']  # also no hidden ones of the killed run


def test_two_evaluations_do_not_write_into_one_folder(tmp_path):
    with held_by_another_process(tmp_path / LOCK), pytest.raises(FolderInUseError, match='in use by another run'):
        LabelMapWriter(tmp_path)


def test_an_image_that_is_called_as_another_would_be_by_its_suffix():
    paths = ['a/1.jpg', 'a/1.png', 'b/a_1_jpg.png']
    assert len(set(unique_names(paths))) == 3
