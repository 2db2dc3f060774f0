"""A sheet of crops in groups: a line per group with its name."""

from collections.abc import Mapping, Sequence

import numpy as np

from leopart_mm.visualization.panels import row, stack, write_text

NAME_WIDTH = 170


def crop_sheet(groups: Mapping[str, Sequence[np.ndarray]], side: int = 64, widest: float = 2.) -> np.ndarray:
    """Put the crops of each group side by side, behind its name.

    Args:
        groups: Name -> crops (h, w, 3) uint8 RGB of any size; there may be none.
        side: Height of a line in pixels.
        widest: Crops that are wider than so many times their height are cut to that.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ValueError: If there is no group.
    """
    lines = []
    for name, crops in groups.items():
        title = np.full((side, NAME_WIDTH, 3), 255, np.uint8)
        write_text(title, name, (2, side // 2 + 4))
        cut = (crop[:, :max(round(widest * len(crop)), 1)] for crop in crops)
        lines.append(row({'': title} | {str(number): crop for number, crop in enumerate(cut)}, titles=False))
    return stack(lines)
