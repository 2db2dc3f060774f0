"""Pages: everything is escaped, every picture is inside."""

import base64
import re

import cv2
import numpy as np
import pytest

from leopart_mm.files import write_image_whole
from leopart_mm.visualization import html


def decoded(markup):
    data, = re.findall('base64,([^"]+)"', markup)
    return cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def test_a_page(tmp_path):
    html.write_page(tmp_path / 'a.html', '1 < 2', 'plain <text>', html.heading('a & b'), html.bullets(['x', '<y>']),
                    html.details('more', 'key: <value>'), html.swatch([255, 0, 16]))
    text = (tmp_path / 'a.html').read_text()
    for part in ('<title>1 &lt; 2</title>', '<h1>1 &lt; 2</h1>', '<p>plain &lt;text&gt;</p>', '<h2>a &amp; b</h2>',
                 '<ul><li>x</li><li>&lt;y&gt;</li></ul>', '<pre>key: &lt;value&gt;</pre>', 'background:#ff0010'):
        assert part in text
    assert 'http' not in text
    assert text.endswith('</body></html>\n')


def test_pictures_are_inside(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    assert np.array_equal(decoded(html.image(noise, lossless=True)), noise)
    assert np.array_equal(decoded(html.figure(noise, '"a"')), noise)
    assert 'alt="&quot;a&quot;"' in html.figure(noise, '"a"')
    write_image_whole(tmp_path / 'flat.png', np.full((8, 8, 3), (200, 100, 50), np.uint8))
    found = html.image(tmp_path / 'flat.png')
    assert found.startswith('<img src="data:image/jpeg;')
    assert np.abs(decoded(found).astype(int) - (200, 100, 50)).max() <= 2


def test_no_picture():
    with pytest.raises(ValueError, match=r'shape \(2, 2, 2\)'):
        html.image(np.zeros((2, 2, 2), np.uint8))
