"""Ground-truth objects of files as people have them."""

import numpy as np
import pytest

from leopart_mm.datasets.object_boxes import ImageMatcher, Objects, coco_objects, voc_annotations, voc_objects


def test_class_of_the_object_that_overlaps_most_and_of_none():
    objects = Objects(np.array([[0, 0, 4, 4], [0, 0, 4, 2], [4, 0, 8, 4.]]), np.array([7, 8, 9]), np.zeros(3, bool))
    assert objects.class_at([0, 0, 4, 2.5]) == 8
    assert objects.class_at([2, 0, 4, 4]) == 7  # as much of the last one: the first
    assert objects.class_at([50, 50, 1, 1]) == 7  # overlaps nothing: the first, as published
    assert len(objects.without(np.array([True, False, True]))) == 1
    assert len(coco_objects([])) == 0


@pytest.mark.parametrize('content', [
    b'no xml', b'<annotation><object><name>dog</name></object></annotation>',
    b'<annotation><object><name>unicorn</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox>'
    b'</object></annotation>'])
def test_a_damaged_annotation_is_named(content):
    with pytest.raises(ValueError, match=r'a/1\.xml is no annotation of VOC'):
        voc_objects(content, 'a/1.xml')


def test_an_image_is_found_by_its_name_with_and_without_folder_and_suffix():
    matcher = ImageMatcher(['a/1.jpg', 'b/1.jpg', 'b/2.JPG', '2007_3.x'])
    assert matcher.find('a/1.png') == 'a/1.jpg'
    assert matcher.find('JPEGImages/2.jpg') == 'b/2.JPG'
    assert matcher.find('c/1.jpg') is None  # two have this name
    assert matcher.find('2007_3.x.jpg') == '2007_3.x'
    assert matcher.find('2007_3') is None


def test_the_folder_of_annotations_is_found(tmp_path):
    (tmp_path / 'Annotations').mkdir()
    with pytest.raises(FileNotFoundError, match='holds no annotations of VOC'):
        voc_annotations(tmp_path)
    (tmp_path / 'Annotations' / '1.xml').touch()
    assert voc_annotations(tmp_path) == voc_annotations(tmp_path / 'Annotations') == tmp_path / 'Annotations'
