"""Benchmarks of our components beside the published way; `tools/benchmark.py` runs them, `base` says how to add one."""
