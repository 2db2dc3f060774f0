"""Freed memory is reused without page faults once the allocator is tuned."""

import platform
import subprocess
import sys

import pytest
import torch

COUNT_FAULTS = """
import resource, torch
from leopart_mm.compat import tune_cpu_allocator
tuned = tune_cpu_allocator()
x = torch.ones(4_000_000)
x + 1
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(60):
    x + 1
print(tuned, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(**environment):
    run = subprocess.run([sys.executable, '-c', COUNT_FAULTS], capture_output=True, text=True, check=True,
                         env={'PATH': '', 'OMP_NUM_THREADS': '1', **environment})
    tuned, faults = run.stdout.split()
    return tuned == 'True', int(faults)


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='only glibc is tuned')
@pytest.mark.skipif(torch.cuda.is_available(), reason='the allocator is left alone where a GPU is used')
def test_tuned_allocator_reuses_memory():
    tuned, faults = page_faults()
    assert tuned
    # Fresh pages each time would be 60 x 16 MB / 4 kB = 234,000. A few new places are taken until one is free whose
    # borders suit torch's alignment.
    assert faults < 60_000


def test_opt_out():
    tuned, _ = page_faults(LEOPART_MM_TUNE_ALLOCATOR='0')
    assert not tuned
