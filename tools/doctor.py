#!/usr/bin/env python
"""Say what is wrong with the installation and how to repair it; works even where leopart_mm cannot be imported."""

import runpy
from pathlib import Path

if __name__ == '__main__':
    runpy.run_path(str(Path(__file__).resolve().parent.parent / 'leopart_mm' / 'doctor.py'), run_name='__main__')
