"""Where on Earth the pixels of a raster are, read by rasterio (the extra [geo])."""

import os
from dataclasses import dataclass
from typing import Any

from leopart_mm.datasets.raster_windows import import_rasterio, open_raster


@dataclass(frozen=True)
class Georeference:
    """Of a raster.

    Args:
        crs: The coordinate reference system (rasterio's CRS); None: unknown.
        transform: The Affine from (column, row) to coordinates of the CRS; the identity: unknown.
        gcps: Ground control points, in their own `crs`, where a raster has these instead of a transform.
        size: (height, width).
    """

    crs: Any
    transform: Any
    gcps: tuple
    size: tuple[int, int]

    @property
    def is_placed(self) -> bool:
        """Whether pixels have coordinates, of whatever system."""
        return bool(self.gcps) or not self.transform.is_identity

    @property
    def on_earth(self) -> bool:
        """Whether it is known where they are on Earth."""
        return self.crs is not None and self.is_placed

    def affine(self) -> Any:
        """The transform; that which fits the control points best, if there are such."""
        if not self.gcps:
            return self.transform
        return import_rasterio().transform.from_gcps(self.gcps)


def read_georeference(path: str | os.PathLike) -> Georeference | None:
    """The georeference of an image file; None if rasterio cannot open it."""
    rasterio = import_rasterio()
    try:
        with open_raster(path) as raster:
            gcps, crs = raster.gcps
            has_gcps = raster.transform.is_identity and bool(gcps)
            return Georeference(crs if has_gcps else raster.crs, raster.transform, tuple(gcps) if has_gcps else (),
                                raster.shape)
    except (rasterio.errors.RasterioError, UnicodeError):  # rasterio takes no name that is not UTF-8
        return None
