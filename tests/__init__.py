"""Tests mirror leopart_mm/; it is imported first, because mmseg.models needs its stand-in for mmcv ops."""

import leopart_mm  # noqa: F401
