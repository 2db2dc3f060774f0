import numpy as np
import pytest

from leopart_mm.evaluation.label_writer import LabelMapWriter, read_labels, unique_names, write_labels


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
    assert sorted(path.name for path in (tmp_path / 'new').iterdir()) == ['2.png', 'a_1.png', 'b_1.png']
    assert read_labels(files['b/1.jpg']).max() == 1


def test_bad_labels_and_folders(tmp_path):
    with pytest.raises(ValueError, match=r'only 0..2 exist'):
        write_labels(tmp_path / 'map.png', np.array([[3]]), 3)
    with pytest.raises(ValueError, match='16-bit'):
        write_labels(tmp_path / 'map.png', np.array([[3]]), 70000)
    with pytest.raises(OSError, match='could not be written'):
        write_labels(tmp_path / 'missing' / 'map.png', np.array([[0]]), 3)
    with pytest.raises(OSError, match='could not be read'):
        read_labels(tmp_path / 'map.png')
