"""Segments for other programs: COCO JSON, CVAT, Label Studio, GeoJSON, GeoTIFF."""

from leopart_mm.exports.export_folder import FORMATS, ExportReport, export_folder

__all__ = ['FORMATS', 'ExportReport', 'export_folder']
