"""Segments for other programs: COCO JSON, CVAT, Label Studio, GeoJSON, GeoTIFF."""

from leopart_mm.exports.earlier import remove_exports
from leopart_mm.exports.export_folder import FORMATS, ExportReport, export_folder, refresh_exports

__all__ = ['FORMATS', 'ExportReport', 'export_folder', 'refresh_exports', 'remove_exports']
