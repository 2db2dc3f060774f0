"""The streaming cluster sheet: shares, examples and their order by hand."""

import base64
import re
import weakref

import cv2
import numpy as np
import pytest

from leopart_mm.files import write_image_whole, write_palette_whole
from leopart_mm.visualization.cluster_names import ClusterNames
from leopart_mm.visualization.cluster_sheet import ClusterSheet, legend, legend_labels
from leopart_mm.visualization.panels import example_patch


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


def brightness(patches):
    """Of the image that each patch of `filled` is from; pixels around the cluster are changed, its own are not."""
    return [next(value for value in (50, 100, 150, 200) if (patch == value).any()) for patch in patches]


def test_shares_and_order():
    sheet = filled()
    assert np.allclose(sheet.shares, np.array([55, 25, 0, 40, 0]) / 120)
    assert sheet.order() == [0, 3, 1]
    assert sheet.order(2) == [0, 3]
    assert filled(communities=[1, 2, 2, 2, 1]).order() == [3, 1, 0]


def test_the_best_examples_are_kept_one_an_image():
    sheet = filled()
    assert [patch.shape for patch in sheet.patches(0)] == [(16, 16, 3)] * 2
    assert brightness(sheet.patches(0)) == [150, 50]  # 30 of 30 columns, then 20
    assert brightness(sheet.patches(3)) == [100, 200]
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


def test_the_picture_is_small_and_keeps_its_colours(tmp_path):
    rng = np.random.default_rng(0)
    sheet = ClusterSheet(12, examples=6, side=112)
    labels = np.kron(np.arange(12).reshape(3, 4), np.ones((60, 60), int))
    for _ in range(6):
        smooth = cv2.resize(rng.integers(0, 256, (18, 24, 3), np.uint8), (240, 180), interpolation=cv2.INTER_CUBIC)
        sheet.add(smooth, labels)
    found = sheet.picture()
    assert found.shape == (12 * 80 + 11 * 4, 190 + 6 * 84, 3)
    write_palette_whole(tmp_path / 'sheet.png', found)
    write_image_whole(tmp_path / 'true.png', found)
    size, before = ((tmp_path / name).stat().st_size for name in ('sheet.png', 'true.png'))
    assert size < before / 2
    read = cv2.imread(str(tmp_path / 'sheet.png'))[..., ::-1].astype(int)
    for cluster, top in enumerate(range(0, len(found), 84)):  # the bar of each cluster
        assert abs(read[top:top + 80, :10].mean((0, 1)) - sheet.names.colours[cluster]).max() < 6
    blurred, true = (cv2.blur(picture.astype(np.float32), (8, 8)) for picture in (read, found))
    assert abs(blurred - true).mean() < 3
    write_palette_whole(tmp_path / 'few.png', found[:80, :138])  # a bar and a text
    assert np.array_equal(cv2.imread(str(tmp_path / 'few.png'))[..., ::-1], found[:80, :138])


def test_labels_beyond_the_sheet_and_lists_of_another_length():
    with pytest.raises(ValueError, match='Labels reach to 3, but the sheet has the clusters 0 to 2'):
        ClusterSheet(3).add(picture(0, MAPS[1]), MAPS[1])
    with pytest.raises(ValueError, match='needs 5 names'):
        ClusterSheet(5, ClusterNames.default(4))


def test_small_clusters_are_readable():
    image = np.full((90, 120, 3), (200, 100, 30), np.uint8)
    labels = np.zeros((90, 120), np.int64)
    labels[70:78, 100:110] = 1  # 1 % of the image, near its lower right corner
    labels[5:7, 5:7] = 1
    patch = example_patch(image, labels, 1, 60)
    inside = (patch == (200, 100, 30)).all(-1)
    assert 0.2 < inside.mean() < 0.5  # the window fits the larger part: 10 of 18 pixels wide, and not its outline
    rows, columns = inside.nonzero()
    assert 25 < (rows.min() + rows.max()) / 2 < 35  # and stands in the middle
    assert 25 < (columns.min() + columns.max()) / 2 < 35
    around = patch[~inside & ~(patch == 255).all(-1)]
    assert around.min() > 60  # nothing is nearly black
    assert np.ptp(around, axis=1).max() < 30  # nearly grey
    large = np.repeat(np.repeat(image, 12, 0), 12, 1)  # searched at a smaller size
    patch = example_patch(large, labels, 1, 60)
    rows, columns = (patch == (200, 100, 30)).all(-1).nonzero()
    assert 25 < (rows.min() + rows.max()) / 2 < 35
    assert 25 < (columns.min() + columns.max()) / 2 < 35
    whole = example_patch(image, np.zeros_like(labels), 0, 60)
    assert (whole == (200, 100, 30)).all()


def test_legend_of_background_and_hidden():
    names = ClusterNames(['sky', 'a' * 99, 'tree', 'background'], np.full((4, 3), 200, np.uint8),
                         background=[True, False, False, True], hidden=[False, False, True, False])
    found = legend(names, range(4), np.full(4, 0.25))
    assert found.shape[0] == 3 * 26 - 4  # the hidden one is left out
    assert found[10, 10].tolist() == [60] * 3
    assert found[36, 10].tolist() == [200] * 3
    assert found.shape[1] > 400  # wide enough for the long name, which is cut
    assert (found[:, -4:] == 255).all()
    assert legend(names, [2]).shape == (22, 260, 3)
    with pytest.raises(ValueError, match='at least one label'):
        legend(names, [])


def test_what_the_legend_shows_first():
    names = ClusterNames.default(5)
    names.names[1], names.hidden[3] = 'cat', True
    assert legend_labels(names, np.array([0.3, 0.05, 0, 0.5, 0.15]), 2) == [1, 0]
    assert legend_labels(names, np.array([0.3, 0.05, 0, 0.5, 0.15]), 9) == [1, 0, 4]
    names.background[1] = True
    assert legend_labels(names, np.array([0.3, 0.05, 0, 0.5, 0.15]), 9) == [0, 4, 1]


def test_legend():
    names = ClusterNames.default(3)
    found = legend(names, [2, 0], np.array([0.25, 0.5, 0.25]))
    assert found.shape == (2 * 22 + 4, 260, 3)
    assert found[10, 10].tolist() == names.colours[2].tolist()
    assert found[36, 10].tolist() == names.colours[0].tolist()
