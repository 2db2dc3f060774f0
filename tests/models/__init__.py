import leopart_mm  # noqa: F401  (its compat must be in place before mmseg is imported)
