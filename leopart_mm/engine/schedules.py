"""Values that change over training."""

import math


def cosine_value(start: float, end: float, step: int, total: int) -> float:
    """Half a cosine from `start` at step 0 towards `end` at step `total`, and `end` from then on (Leopart, suppl.)."""
    if step >= total:
        return end
    return end + 0.5 * (start - end) * (1 + math.cos(math.pi * step / total))
