from leopart_mm.models.postprocessors.base import BasePostprocessor

__all__ = ['BasePostprocessor']
