"""The version of leopart_mm, read by setup.py and the doctor."""

__version__ = '0.1.0'
