"""Taking segments to other programs: folders that do not fit, rasters without a place, odd names."""

import json

import numpy as np

from leopart_mm.exports import export_folder
from tests.exports.builders import LABELS, segment, segmented, write_names, write_picture
from tests.odd_inputs.case import case, error_of

EXPORTS = 'Taking segments to other programs'
COMMAND = 'tools/export_segments.py DIR --to {}'


def write_raster(path, crs):
    """A raster of three bands with a transform."""
    import rasterio
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, 'w', driver='GTiff', width=6, height=4, count=3, dtype='uint8', crs=crs,
                       transform=rasterio.Affine(10, 0, 500000, 0, -10, 5300000)) as raster:
        raster.write(np.repeat(LABELS[None].astype(np.uint8), 3, axis=0))


@case(EXPORTS, 'A folder that `tools/segment_folder.py` did not write', COMMAND.format('coco'))
def foreign(folder):
    write_picture(folder / 'out' / 'labels' / '1.png', LABELS)
    return error_of(lambda: export_folder(folder / 'out', ['coco']), ValueError, 'holds no label maps')


@case(EXPORTS, 'A run that was stopped', COMMAND.format('coco'))
def stopped(folder):
    out = segmented(folder)
    (out / 'report.json').unlink()
    return error_of(lambda: export_folder(out, ['coco']), ValueError, 'the same command end it first')


@case(EXPORTS, 'Label maps of which one image is gone and one has changed', COMMAND.format('coco'))
def without_images(folder):
    out = segmented(folder, {'1.png': LABELS, '2.png': LABELS, '3.png': LABELS})
    (folder / 'in' / '1.png').unlink()
    write_picture(folder / 'in' / '2.png', LABELS + 1)
    report = export_folder(out, ['coco'])
    content = json.loads((out / 'exports' / 'coco.json').read_text())
    assert [image['file_name'] for image in content['images']] == ['3.png']
    return 'Says: ' + report.summary().splitlines()[-1]


@case(EXPORTS, 'A label that is none of the clusters', COMMAND.format('coco'))
def beyond(folder):
    out = segmented(folder)
    (out / 'report.json').write_text(json.dumps(dict(shares=[0.3, 0.3, 0.4])))
    (out / 'names.yaml').unlink()
    return error_of(lambda: export_folder(out, ['coco']), ValueError, 'holds the label 3')


@case(EXPORTS, 'A naming file of more clusters', COMMAND.format('coco'))
def more_names(folder):
    out = segmented(folder)
    write_names(out, '{7: sky}')
    return error_of(lambda: export_folder(out, ['coco']), ValueError, 'names cluster 7')


@case(EXPORTS, 'Pictures without a place on Earth', COMMAND.format('geotiff'))
def no_place(folder):
    out = segmented(folder)
    return error_of(lambda: export_folder(out, ['geotiff']), ValueError, 'None of the 2 images is georeferenced')


@case(EXPORTS, 'A raster with a transform, but without a CRS', COMMAND.format('geotiff geojson'))
def no_crs(folder):
    write_raster(folder / 'in' / '1.tif', None)
    write_raster(folder / 'in' / '2.tif', 'EPSG:32632')
    report = export_folder(segment(folder / 'in', folder / 'out'), ['geotiff', 'geojson'])
    assert [file.name for file in report.files['geotiff']] == ['1.tif', '2.tif']
    return 'Says: ' + ' '.join(report.notes)


@case(EXPORTS, "A file of the user's own in the place of an export", COMMAND.format('coco'))
def in_the_way(folder):
    out = segmented(folder)
    (out / 'exports').mkdir()
    (out / 'exports' / 'coco.json').write_text('mine')
    return error_of(lambda: export_folder(out, ['coco']), ValueError, 'would be replaced, but no run wrote it')
