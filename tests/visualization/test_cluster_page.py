"""The naming page as a file: what it holds, how large it becomes, what it refuses."""

import base64
import json
import re

import cv2
import numpy as np
import pytest

from leopart_mm.visualization.cluster_names import ClusterNames
from leopart_mm.visualization.cluster_page import ClusterPage, _preview
from tests.visualization.test_cluster_names import ODD_NAMES


def content(file):
    """The data of a page."""
    return json.loads(re.search('<script type="application/json" id="data">(.*?)</script>', file.read_text('utf-8'),
                                re.DOTALL)[1])


def stripes(*labels, size=48):
    return np.repeat(np.repeat(np.array([labels]), size, 0), size // len(labels), 1)


def filled(num_clusters, maps, **kwargs):
    page = ClusterPage(num_clusters, **kwargs)
    for number, labels in enumerate(maps):
        page.add(np.full((*labels.shape, 3), 2 * number, np.uint8), labels)
    return page


def test_what_the_page_knows(tmp_path):
    names = ClusterNames(['sky', 'grass', 'sky', 'cluster 3'], np.arange(12, dtype=np.uint8).reshape(4, 3),
                         hidden=[0, 1, 0, 0])
    page = filled(4, [stripes(0, 1), stripes(1, 1, 1, 2)], names=names, communities=['a', 'b', 'b', 'b'])
    page.write(tmp_path / 'clusters.html', background=0, model='0123')
    found = content(tmp_path / 'clusters.html')
    assert found['model'] == '0123'
    assert found['order'] == [1, 2, 0]  # community b first, of 75 %
    clusters = found['clusters']
    assert [entry['name'] for entry in clusters] == names.names
    assert [entry['colour'] for entry in clusters] == ['#000102', '#030405', '#000102', '#090a0b']  # the first sky's
    assert [entry['hidden'] for entry in clusters] == [False, True, False, False]
    assert [entry['background'] for entry in clusters] == [True, False, False, False]
    assert [entry['share'] for entry in clusters] == [0.25, 0.625, 0.125, 0]
    assert [entry.get('images') for entry in clusters] == [1, 2, 1, None]
    assert 'examples' not in clusters[3]
    strip = cv2.imdecode(np.frombuffer(base64.b64decode(clusters[1]['examples'].split(',')[1]), np.uint8), 1)
    assert strip.shape == (112, 2 * 112 + 6, 3)
    assert '2 images, 3 clusters (1 more occur in none of them).' in (tmp_path / 'clusters.html').read_text('utf-8')


def test_previews_are_spread_over_all_images_and_hold_their_labels():
    maps = [stripes(number % 5, 5, 6, 7) for number in range(100)]
    page = filled(8, maps, previews=4)
    kept = [int(image.max()) // 2 for image, _ in page._spread()]
    assert len(page._kept) <= 8
    assert len(kept) == 4
    assert kept[0] == 0
    assert max(np.diff([*kept, 100])) <= 40  # of 100 images
    image, labels = page._kept[1]
    found = _preview(image, labels)
    pairs = np.frombuffer(base64.b64decode(found['runs']), '<u2').reshape(-1, 2)
    assert np.array_equal(np.repeat(pairs[:, 0], pairs[:, 1]).reshape(labels.shape), labels)
    large = np.zeros((300, 400), np.uint16)  # one run of 120,000
    pairs = np.frombuffer(base64.b64decode(_preview(np.zeros((300, 400, 3), np.uint8), large)['runs']), '<u2')
    assert pairs.tolist() == [0, 65535, 0, 54465]


def test_missing_pixels_count_for_nothing():
    page = ClusterPage(3)
    page.add(np.zeros((48, 48, 3), np.uint8), stripes(0, 255), stripes(False, True))
    assert page.shares.tolist() == [1, 0, 0]
    assert np.unique(page._kept[0][1]).tolist() == [0, 3]  # 3: no cluster


def test_names_cannot_leave_their_place(tmp_path):
    names = ClusterNames(list(ODD_NAMES), np.zeros((len(ODD_NAMES), 3), np.uint8))
    page = filled(len(ODD_NAMES), [stripes(*range(len(ODD_NAMES)))], names=names, communities=ODD_NAMES)
    page.write(tmp_path / 'clusters.html', title='<i>@data@</i>')
    assert [entry['name'] for entry in content(tmp_path / 'clusters.html')['clusters']] == ODD_NAMES
    text = (tmp_path / 'clusters.html').read_text('utf-8')
    assert '<b>bold' not in text
    assert text.count('</script>') == 2
    assert '<h1>&lt;i&gt;@data@&lt;/i&gt;</h1>' in text
    assert 'http' not in text.replace('http-equiv', '')  # nothing is fetched


def test_a_page_of_500_clusters_stays_small(tmp_path):
    generator = np.random.default_rng(0)
    page = ClusterPage(500)
    for _ in range(8):
        image = cv2.resize(generator.integers(0, 256, (60, 80, 3), np.uint8), (320, 240))
        cells = np.arange(500).reshape(20, 25)
        page.add(image, np.repeat(np.repeat(generator.permuted(cells), 12, 0), 12, 1))
    page.write(tmp_path / 'clusters.html')
    assert len(content(tmp_path / 'clusters.html')['order']) == 500
    assert (tmp_path / 'clusters.html').stat().st_size < 10e6


def test_lists_of_another_length_are_refused(tmp_path):
    page = filled(3, [stripes(0, 1, 2)])
    for what, given in (('names', dict(names=ClusterNames.default(2))), ('shares', dict(shares=[1])),
                        ('communities', dict(communities=[0, 1]))):
        with pytest.raises(ValueError, match=rf'A page of 3 clusters got \d {what}\.'):
            page.write(tmp_path / 'clusters.html', **given)
