"""Segments as GeoJSON polygons: longitude and latitude where the image is georeferenced, else pixels."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from leopart_mm.datasets.raster_windows import import_rasterio
from leopart_mm.exports.georeference import Georeference, read_georeference
from leopart_mm.exports.job import ExportJob
from leopart_mm.exports.segments import Segments
from leopart_mm.files import fitting_name, write_whole

WGS84 = 'OGC:CRS84'  # longitude first
SUFFIX = '.geojson'
DECIMALS = 9  # of a degree: a tenth of a millimetre


def export_geojson(job: ExportJob, folder: Path) -> None:
    """Write ``geojson/<name>.geojson`` of every image.

    A file is a FeatureCollection with a polygon per segment, along the edges of its pixels, and the properties
    ``category``, ``category_id`` (as in COCO's form), ``area`` in pixels and ``fill``, the colour. Images with a CRS
    have longitude and latitude (RFC 7946). All others have pixels, x to the right and y downwards from the top left
    corner, and say so by ``"crs": null``.

    Raises:
        ImportError: If rasterio is not installed.
        OSError: If a file cannot be written.
    """
    import_rasterio()
    pixels = []
    for image, segments in job.segments('GeoJSON'):
        place = read_georeference(image.path)
        if place is None or not place.on_earth or place.size != segments.size:
            place = None
            pixels.append(image.name)
        file = folder / geojson_file(image.name)
        with write_whole(file) as temporary, open(temporary, 'w', encoding='utf-8') as stream:
            stream.write('{"type": "FeatureCollection", ')
            stream.write('"crs": null, "coordinates": "pixels, y downwards", ' if place is None else '')
            stream.write('"features": [')
            for number, feature in enumerate(_features(job, segments, place)):
                stream.write(',\n' if number else '\n')
                json.dump(feature, stream)
            stream.write('\n]}\n')
    if len(pixels) < len(job.folder):
        job.note(pixels, 'GeoJSON in pixels of images without a CRS')
    else:
        job.notes.append('No image has a CRS: GeoJSON holds pixels, y downwards.')


def geojson_file(name: str) -> str:
    """The file of an image of this name."""
    return f'geojson/{fitting_name(name, len(SUFFIX))}{SUFFIX}'


def _features(job: ExportJob, segments: Segments, place: Georeference | None) -> Iterator[dict[str, Any]]:
    affine = None if place is None else place.affine()
    for index in range(len(segments)):
        category = job.categories.entries[int(segments.categories[index])]
        geometry = segment_polygons(segments, index)
        if place is not None:
            geometry = _on_earth(geometry, affine, place.crs)
        geometry['coordinates'] = (_wound(geometry['coordinates']) if geometry['type'] == 'Polygon' else
                                   [_wound(rings) for rings in geometry['coordinates']])
        yield dict(type='Feature', id=index, geometry=geometry,
                   properties=dict(category=category.name, category_id=category.first + 1,
                                   area=int(segments.areas[index]), fill=category.hex_colour))


def segment_polygons(segments: Segments, index: int) -> dict[str, Any]:
    """A segment as Polygon, or MultiPolygon where it is not connected, along the edges of its pixels, in pixels."""
    rasterio = import_rasterio()
    x, y, *_ = segments.box(index)
    mask = segments.mask(index)
    found = [shape['coordinates'] for shape, _ in rasterio.features.shapes(
        mask, mask.astype(bool), connectivity=4, transform=rasterio.Affine.translation(x, y))]
    polygons = [[[[int(column), int(row)] for column, row in ring] for ring in rings] for rings in found]
    if len(polygons) == 1:
        return dict(type='Polygon', coordinates=polygons[0])
    return dict(type='MultiPolygon', coordinates=polygons)


def _on_earth(geometry: dict[str, Any], affine: Any, crs: Any) -> dict[str, Any]:
    """A geometry in pixels as longitude and latitude."""
    rasterio = import_rasterio()
    polygons = [geometry['coordinates']] if geometry['type'] == 'Polygon' else geometry['coordinates']
    rings = [np.array(ring, np.float64) for rings in polygons for ring in rings]
    columns, rows = np.concatenate(rings).T
    xs = affine.a * columns + affine.b * rows + affine.c
    ys = affine.d * columns + affine.e * rows + affine.f
    points = np.round(np.column_stack(rasterio.warp.transform(crs, WGS84, xs, ys)), DECIMALS).tolist()
    placed = iter(points)
    found = [[[next(placed) for _ in ring] for ring in rings] for rings in polygons]
    return dict(type=geometry['type'], coordinates=found[0] if geometry['type'] == 'Polygon' else found)


def _wound(rings: list[list[list[float]]]) -> list[list[list[float]]]:
    """Rings of a polygon, the outer one anticlockwise and holes clockwise, as RFC 7946 wants them."""
    return [ring[::-1] if (_signed_area(ring) > 0) == bool(number) else ring for number, ring in enumerate(rings)]


def _signed_area(ring: list[list[float]]) -> float:
    """Twice the area, positive if anticlockwise with y upwards."""
    xs, ys = np.array(ring, np.float64).T
    xs, ys = xs - xs[0], ys - ys[0]
    return float(xs[:-1] @ ys[1:] - xs[1:] @ ys[:-1])
