"""Hidden and background clusters of the naming file are left out."""

import json

import numpy as np
import pytest

from leopart_mm.exports import export_folder
from tests.exports.builders import LABELS, segment, segmented
from tests.exports.test_geo import write_raster


def test_hidden_and_background_clusters_are_left_out(tmp_path):
    out = segmented(tmp_path, {'1.png': LABELS, '2.png': np.full((4, 5), 4)})
    (out / 'names.yaml').write_text('background: [0]\nhidden: [4]\nclusters: {1: tree, 3: tree, 2: lamp}\n')
    report = export_folder(out, ['coco'])
    assert report.categories == ['tree', 'lamp']
    content = json.loads((out / 'exports' / 'coco.json').read_text())
    assert [(entry['category_id'], entry['area']) for entry in content['annotations']] == [(2, 12), (3, 1), (3, 3)]
    assert len(content['images']) == 2  # the second one has no object
    assert export_folder(out, ['coco'], background=True).categories == ['cluster 0', 'tree', 'lamp']
    (out / 'names.yaml').write_text('hidden: [0, 1, 2, 3, 4]\nclusters: {}\n')
    with pytest.raises(ValueError, match='hides every cluster'):
        export_folder(out, ['coco'])


def test_a_geotiff_has_no_data_where_clusters_are_hidden(tmp_path):
    rasterio = pytest.importorskip('rasterio')
    write_raster(tmp_path / 'in' / '1.tif', LABELS)
    out = segment(tmp_path / 'in', tmp_path / 'out')
    (out / 'names.yaml').write_text('hidden: [2]\nclusters: {1: tree, 3: tree}\n')
    report = export_folder(out, ['geotiff'])
    with rasterio.open(report.files['geotiff'][0]) as raster:
        assert np.array_equal(raster.read(1), np.where(LABELS == 2, 255, np.where(LABELS == 3, 1, LABELS)))
