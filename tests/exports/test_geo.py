"""GeoTIFF and GeoJSON of georeferenced rasters, opened by rasterio."""

import json

import numpy as np
import pytest

from leopart_mm.apis.folder_run import FolderRun
from leopart_mm.datasets import raster_windows
from leopart_mm.evaluation.label_writer import read_labels
from leopart_mm.exports import export_folder
from leopart_mm.exports.geojson import segment_polygons
from leopart_mm.exports.segments import find_segments
from tests.exports.builders import LABELS, random_map, segment, segmented, segmenter, write_names

rasterio = pytest.importorskip('rasterio')
UTM = 'EPSG:32632'
TRANSFORM = rasterio.Affine(10, 0, 500000, 0, -10, 5300000)  # 10 m, on the central meridian at 9 degrees east


def write_raster(path, labels, crs=UTM, transform=TRANSFORM, **kwargs):
    """A raster of three bands whose values are labels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = labels.shape
    with rasterio.open(path, 'w', driver='GTiff', width=width, height=height, count=3, dtype='uint8', crs=crs,
                       transform=transform, **kwargs) as target:
        target.write(np.repeat(labels[None].astype(np.uint8), 3, axis=0))


@pytest.mark.parametrize('num_clusters', [5, 300])
def test_a_geotiff_has_the_place_of_its_image(tmp_path, num_clusters):
    labels = random_map(0, (300, 270))
    write_raster(tmp_path / 'in' / 'x' / 'field.tif', labels, tiled=True, blockxsize=128, blockysize=128)
    write_raster(tmp_path / 'in' / 'y.tif', LABELS)
    out = segment(tmp_path / 'in', tmp_path / 'out', num_clusters)
    write_names(out, '{0: {name: sky, colour: "#00a0ff"}, 2: sky}')
    report = export_folder(out, ['geotiff'])
    assert [file.relative_to(out).as_posix() for file in report.files['geotiff']] == [
        'exports/geotiff/x/field.tif', 'exports/geotiff/y.tif']
    assert report.notes == []
    with rasterio.open(report.files['geotiff'][0]) as raster:
        assert raster.crs == rasterio.CRS.from_user_input(UTM)
        assert raster.transform == TRANSFORM
        assert raster.dtypes == ('uint8' if num_clusters == 5 else 'uint16', )
        assert raster.nodata == (255 if num_clusters == 5 else 65535)
        assert np.array_equal(raster.read(1), np.where(labels == 2, 0, labels))
        assert raster.colormap(1)[0] == (0, 160, 255, 255)
        assert raster.tags(1)['CLUSTER_0'] == 'sky'
        assert raster.tags(1)['CLUSTER_1'] == 'cluster 1'
        assert 'CLUSTER_2' not in raster.tags(1)


def test_rasters_without_a_crs_and_pictures_are_said(tmp_path):
    write_raster(tmp_path / 'in' / 'bare.tif', LABELS, crs=None)
    write_raster(tmp_path / 'in' / 'placed.tif', LABELS)
    write_raster(tmp_path / 'in' / 'picture.tif', LABELS, crs=None, transform=None)
    out = segment(tmp_path / 'in', tmp_path / 'out')
    report = export_folder(out, ['geotiff', 'geojson'])
    assert [file.name for file in report.files['geotiff']] == ['bare.tif', 'placed.tif']
    assert report.notes == [
        'No GeoTIFF of images without coordinates (1: picture).',
        'GeoTIFFs without a CRS, since their images have a transform only (1: bare).',
        'GeoJSON in pixels of images without a CRS (2: bare, picture).']
    with rasterio.open(report.files['geotiff'][0]) as raster:
        assert raster.crs is None
        assert raster.transform == TRANSFORM
    other = segmented(tmp_path / 'plain')
    with pytest.raises(ValueError, match='None of the 2 images is georeferenced'):
        export_folder(other, ['geotiff'])
    report = export_folder(other, ['geotiff', 'coco'])  # the other format is not lost
    assert list(report.files) == ['coco']
    assert report.files['coco'][0].is_file()
    assert 'geotiff: None of the 2 images is georeferenced' in report.summary()


def test_control_points_are_kept(tmp_path):
    points = [rasterio.control.GroundControlPoint(row, column, 500000 + 10 * column, 5300000 - 10 * row, 0)
              for row, column in ((0, 0), (0, 6), (4, 0), (4, 6))]
    write_raster(tmp_path / 'in' / '1.tif', LABELS, crs=None, transform=None)
    with rasterio.open(tmp_path / 'in' / '1.tif', 'r+') as raster:
        raster.gcps = (points, rasterio.CRS.from_user_input(UTM))
    out = segment(tmp_path / 'in', tmp_path / 'out')
    report = export_folder(out, ['geotiff', 'geojson'])
    with rasterio.open(report.files['geotiff'][0]) as raster:
        found, crs = raster.gcps
        assert crs == rasterio.CRS.from_user_input(UTM)
        assert [(point.row, point.col, point.x, point.y) for point in found] == [
            (point.row, point.col, point.x, point.y) for point in points]
    features = json.loads(report.files['geojson'][0].read_text())['features']
    assert np.allclose(np.array(features[0]['geometry']['coordinates'][0]).min(0), [9, 47.8532], atol=1e-3)


def rings_area(polygon):
    """Signed area of each ring."""
    found = []
    for ring in polygon:
        xs, ys = np.array(ring, float).T
        found.append(float((xs[:-1] * ys[1:] - xs[1:] * ys[:-1]).sum() / 2))
    return found


def test_polygons_cover_their_segments_exactly():
    labels = random_map(1, (40, 50), 3, cell=2).astype(np.uint8)
    labels[5:20, 5:20] = 1
    labels[8:12, 8:12] = 2  # a hole
    for whole in (False, True):
        segments = find_segments(labels, np.arange(2**16, dtype=np.int32), whole)
        painted = np.full(labels.shape, 255, np.uint8)
        for index in range(len(segments)):
            geometry = segment_polygons(segments, index)
            assert geometry['type'] == 'Polygon' or whole
            mask = rasterio.features.rasterize([geometry], labels.shape, dtype='uint8')
            assert mask.sum() == segments.areas[index]
            painted[mask == 1] = segments.categories[index]
        assert np.array_equal(painted, labels)


def test_geojson_is_in_longitude_and_latitude(tmp_path):
    write_raster(tmp_path / 'in' / '1.tif', LABELS)
    out = segment(tmp_path / 'in', tmp_path / 'out')
    write_names(out, '{1: {name: lake, colour: "#00a0ff"}}')
    report = export_folder(out, ['geojson'], min_area=3)
    content = json.loads(report.files['geojson'][0].read_text())
    assert 'crs' not in content
    assert content['type'] == 'FeatureCollection'
    assert [feature['properties']['area'] for feature in content['features']] == [4, 4, 8, 3, 3]
    lake = content['features'][2]
    assert lake['properties'] == dict(category='lake', category_id=2, area=8, fill='#00a0ff')
    areas = rings_area(lake['geometry']['coordinates'])
    assert len(areas) == 2
    assert areas[0] > 0 > areas[1]
    points = np.array(lake['geometry']['coordinates'][0])
    xs, ys = rasterio.warp.transform('EPSG:4326', UTM, *points.T)
    columns, rows = (np.array(xs) - 500000) / 10, (5300000 - np.array(ys)) / 10
    assert np.allclose(columns, np.round(columns), atol=1e-3)
    assert np.allclose(rows, np.round(rows), atol=1e-3)
    assert {(round(c), round(r)) for c, r in zip(columns, rows, strict=True)} == {(2, 0), (5, 0), (5, 3), (2, 3)}


def test_geojson_of_pictures_is_in_pixels(tmp_path):
    out = segmented(tmp_path, {'1.png': LABELS})
    report = export_folder(out, ['geojson'])
    assert report.notes == ['No image has a CRS: GeoJSON holds pixels, y downwards.']
    content = json.loads(report.files['geojson'][0].read_text())
    assert content['crs'] is None
    assert content['coordinates'] == 'pixels, y downwards'
    first = content['features'][0]['geometry']
    assert first['type'] == 'Polygon'
    assert rings_area(first['coordinates']) == [4.0]
    assert sorted(map(tuple, first['coordinates'][0][:-1])) == [(0, 0), (0, 2), (2, 0), (2, 2)]


def test_without_rasterio_the_cure_is_said(tmp_path, monkeypatch):
    import sys
    out = segmented(tmp_path)
    monkeypatch.setitem(sys.modules, 'rasterio', None)
    with pytest.raises(ImportError, match=r"pip install 'leopart_mm\[geo\]'"):
        export_folder(out, ['geojson'])
    export_folder(out, ['coco'])


def test_label_maps_of_exported_rasters_are_untouched(tmp_path):
    write_raster(tmp_path / 'in' / '1.tif', LABELS)
    out = segment(tmp_path / 'in', tmp_path / 'out')
    export_folder(out, ['geotiff', 'geojson', 'coco'])
    assert np.array_equal(read_labels(out / 'labels' / '1.png'), LABELS)
    segment(tmp_path, tmp_path / 'out')  # the GeoTIFFs are outputs, no images
    assert len(list((out / 'labels').rglob('*.png'))) == 1


def test_a_large_raster_is_never_in_memory_as_a_whole(tmp_path, monkeypatch):
    labels = random_map(2, (90, 110), cell=10)
    write_raster(tmp_path / 'in' / '1.tif', labels, tiled=True, blockxsize=16, blockysize=16)
    monkeypatch.setattr(raster_windows, 'WHOLE_PIXELS', 1000)
    monkeypatch.setattr(raster_windows, 'ROWS_AT_ONCE', 8)
    read, sizes = raster_windows.RasterWindows._read, []

    def counted(self, top, bottom, left, right):
        sizes.append((bottom - top) * (right - left))
        return read(self, top, bottom, left, right)

    monkeypatch.setattr(raster_windows.RasterWindows, '_read', counted)
    run = FolderRun(segmenter(tile_size=32, overlap=8), tmp_path / 'out', overlays=True, sheet=True)
    assert run.run(tmp_path / 'in').num_done == 1
    assert np.array_equal(read_labels(tmp_path / 'out' / 'labels' / '1.png'), labels)
    assert max(sizes) <= 8 * 110
    report = export_folder(tmp_path / 'out', ['geotiff'])
    with rasterio.open(report.files['geotiff'][0]) as raster:
        assert np.array_equal(raster.read(1), labels)
        assert raster.transform == TRANSFORM
