"""The streaming cluster sheet: shares, examples and their order by hand."""

import base64
import re
import weakref

import cv2
import numpy as np
import pytest

from leopart_mm.visualization.cluster_names import ClusterNames
from leopart_mm.visualization.cluster_sheet import ClusterSheet, legend


def picture(value, labels):
    return np.full((*labels.shape, 3), value, np.uint8)


def label_map(*columns, size=30):
    """Vertical stripes: (label, width) each."""
    return np.concatenate([np.full((size, width), label) for label, width in columns], axis=1).astype(np.uint16)


MAPS = [label_map((0, 20), (1, 10)), label_map((0, 5), (3, 25)), label_map((0, 30)), label_map((1, 15), (3, 15))]


def filled(**kwargs):
    sheet = ClusterSheet(5, examples=2, side=16, **kwargs)
    for number, labels in enumerate(MAPS):
        sheet.add(picture(50 * (number + 1), labels), labels)
    return sheet


def test_shares_and_order():
    sheet = filled()
    assert np.allclose(sheet.shares, np.array([55, 25, 0, 40, 0]) / 120)
    assert sheet.order() == [0, 3, 1]
    assert sheet.order(2) == [0, 3]
    assert filled(communities=[1, 2, 2, 2, 1]).order() == [3, 1, 0]


def test_the_best_examples_are_kept_one_an_image():
    sheet = filled()
    assert [patch.shape for patch in sheet.patches(0)] == [(16, 16, 3)] * 2
    assert [int(patch.max()) for patch in sheet.patches(0)] == [150, 50]  # 30 of 30 columns, then 20
    assert [int(patch.max()) for patch in sheet.patches(3)] == [100, 200]
    assert sheet.patches(2) == []


def test_memory_is_the_examples_whatever_the_number_of_images():
    sheet = ClusterSheet(1, examples=2, side=8)
    patches = []
    for value in range(20):
        sheet.add(picture(value, MAPS[2]), np.zeros_like(MAPS[2]))
        patches += [weakref.ref(patch) for patch in sheet.patches(0)]
        assert len({id(patch()) for patch in patches if patch() is not None}) <= 2


def test_equal_examples_are_kept_in_order():
    sheet = ClusterSheet(1, examples=2, side=8)
    for value in (10, 20, 30):
        sheet.add(picture(value, MAPS[2]), np.zeros_like(MAPS[2]))
    assert [int(patch.max()) for patch in sheet.patches(0)] == [10, 20]


def test_the_page_holds_everything(tmp_path):
    names = ClusterNames.default(5)
    names.names[3] = 'wheel <left>'
    sheet = filled(names=names, communities=['a', 'a', 'b', 'b', 'b'])
    sheet.save_html(tmp_path / 'sheet.html')
    page = (tmp_path / 'sheet.html').read_text()
    assert '4 images, 3 clusters; 2 do not occur' in page
    assert 'wheel &lt;left&gt;' in page
    assert '45.83 %' in page
    assert 'http' not in page  # nothing is fetched
    assert page.count('</span>wheel &lt;left&gt;</td><td>3</td><td>b</td><td>33.33 %</td><td>2</td>') == 1
    pictures = re.findall(r'base64,([^"]+)', page)
    assert len(pictures) == 3
    strip = cv2.imdecode(np.frombuffer(base64.b64decode(pictures[0]), np.uint8), cv2.IMREAD_COLOR)
    assert strip.shape == (16, 2 * 20, 3)


def test_the_picture():
    found = filled().picture()
    assert found.shape == (3 * 16 + 2 * 4, 190 + 2 * 20, 3)
    assert filled().picture(1).shape[0] == 16
    with pytest.raises(ValueError, match='no labelled image'):
        ClusterSheet(5).picture()


def test_labels_beyond_the_sheet_and_lists_of_another_length():
    with pytest.raises(ValueError, match='Labels reach to 3, but the sheet has the clusters 0 to 2'):
        ClusterSheet(3).add(picture(0, MAPS[1]), MAPS[1])
    with pytest.raises(ValueError, match='needs 5 names'):
        ClusterSheet(5, ClusterNames.default(4))


def test_legend():
    names = ClusterNames.default(3)
    found = legend(names, [2, 0], np.array([0.25, 0.5, 0.25]))
    assert found.shape == (2 * 22 + 4, 260, 3)
    assert found[10, 10].tolist() == names.colours[2].tolist()
    assert found[36, 10].tolist() == names.colours[0].tolist()
