"""Label maps of georeferenced rasters as GeoTIFFs, strip by strip."""

from pathlib import Path

import numpy as np

from leopart_mm.datasets.raster_windows import import_rasterio, open_raster
from leopart_mm.evaluation.label_writer import no_data_label
from leopart_mm.exports.georeference import Georeference, read_georeference
from leopart_mm.exports.job import ExportJob, NothingToExportError
from leopart_mm.exports.segmented_folder import SegmentedImage
from leopart_mm.files import write_whole
from leopart_mm.progress import progress

SIDE = 256  # of a tile, in pixels


def export_geotiff(job: ExportJob, folder: Path) -> None:
    """Write ``geotiff/<name>.tif`` of every image that has coordinates.

    Pixels hold cluster numbers as in the label maps, of merged clusters that of the first; what is hidden, left out or
    without data is the nodata value. CRS and transform are the image's, names and colours are in the file.

    Raises:
        ImportError: If rasterio is not installed.
        OSError: If a file cannot be written.
        NothingToExportError: If no image has coordinates.
    """
    bare, without_crs, turned = [], [], []
    for image in progress(job.folder, 'Exporting GeoTIFF', len(job.folder), time_left=True):
        place = read_georeference(image.path)
        if place is None or not place.is_placed:
            bare.append(image.name)
            continue
        file = folder / 'geotiff' / f'{image.name}.tif'
        if not _write(job, image, place, file):
            turned.append(image.name)
            continue
        if place.crs is None:
            without_crs.append(image.name)
    if len(bare) == len(job.folder):
        raise NothingToExportError(
            f'None of the {len(job.folder)} images is georeferenced (GeoTIFF, or a world file beside it): '
            'take another format, such as coco.')
    job.note(bare, 'No GeoTIFF of images without coordinates')
    job.note(without_crs, 'GeoTIFFs without a CRS, since their images have a transform only')
    job.note(turned, 'No GeoTIFF of images that their EXIF orientation turns')


def _write(job: ExportJob, image: SegmentedImage, place: Georeference, file: Path) -> bool:
    """Write a GeoTIFF; False if the label map does not fit the raster."""
    rasterio = import_rasterio()
    number = job.folder.num_clusters
    nodata = no_data_label(number)
    values = np.full(2**16, nodata, np.uint8 if nodata < 256 else np.uint16)
    for category in job.categories.entries:
        values[list(category.clusters)] = category.first
    with open_raster(image.file) as labels:
        if labels.shape != place.size:
            return False
        height, width = labels.shape
        profile = dict(driver='GTiff', width=width, height=height, count=1, dtype=values.dtype, nodata=nodata,
                       crs=None if place.gcps else place.crs, tiled=True, blockxsize=SIDE, blockysize=SIDE,
                       compress='deflate', BIGTIFF='IF_SAFER')
        if not place.gcps:
            profile['transform'] = place.transform
        with write_whole(file) as temporary, rasterio.open(temporary, 'w', **profile) as target:
            if place.gcps:
                target.gcps = (list(place.gcps), place.crs)
            target.write_colormap(1, {category.first: category.colour for category in job.categories.entries})
            target.update_tags(1, **{f'CLUSTER_{category.first}': category.name for category in job.categories.entries})
            for top in range(0, height, SIDE):
                window = rasterio.windows.Window(0, top, width, min(SIDE, height - top))
                strip = labels.read(1, window=window)
                job.folder.check(strip, image)
                target.write(values[strip], 1, window=window)
    return True
