#!/usr/bin/env python
"""Say what is wrong with the installation and how to repair it; works even where leopart_mm cannot be imported."""

import importlib.util
import runpy
from pathlib import Path


def find_doctor() -> Path:
    """The doctor's file: beside the tools in a checkout, or in the installed package, which is not imported."""
    checkout = Path(__file__).resolve().parent.parent / 'leopart_mm' / 'doctor.py'
    if checkout.is_file():
        return checkout
    return Path(importlib.util.find_spec('leopart_mm').origin).with_name('doctor.py')


if __name__ == '__main__':
    runpy.run_path(str(find_doctor()), run_name='__main__')
