"""Map Cityscapes' label ids to 27 classes."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from leopart_mm.datasets.conversion import ConversionError, begin_conversion, convert_masks, read_png, require
from leopart_mm.datasets.label_tables import CITYSCAPES27, IGNORE, UNKNOWN_CHOICES, label_table, map_ids

SOURCE = 'Unpack leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip of cityscapes-dataset.com there.'
SUFFIX = '_gtFine_labelIds.png'
IGNORED = (*range(7), IGNORE)


def map_cityscapes(source: str | Path, splits: Sequence[str], unknown: str = 'error', workers: int = 4) -> None:
    """Write the masks of the 27 classes below gtFine27.

    Args:
        source: Cityscapes' folder, with leftImg8bit/ and gtFine/.
        splits: Such as 'val'.
        unknown: 'error', or 'ignore': ids above 33 become 255 (published).
        workers: Number of threads.

    Raises:
        ConversionError: If something is missing or does not fit; the message names it.
    """
    root = require(source, 'The Cityscapes folder', SOURCE)
    for split in splits:
        require(root / 'leftImg8bit' / split, f'The folder of images of {split}', SOURCE)
        require(root / 'gtFine' / split, f'The folder of labels of {split}', SOURCE)
    table = label_table(CITYSCAPES27, IGNORED, UNKNOWN_CHOICES[unknown])

    def convert(path: Path) -> np.ndarray:
        return map_ids(read_png(path), table, str(path))

    for split in splits:
        folder, target = root / 'gtFine' / split, root / 'gtFine27' / split
        files = sorted(folder.rglob(f'*{SUFFIX}'))
        if not files:
            raise ConversionError(f'{folder} holds no *{SUFFIX}. {SOURCE}')
        targets = {target / path.parent.relative_to(folder) / f'{path.name.removesuffix(SUFFIX)}.png': path
                   for path in files}
        begin_conversion(target, json.dumps(table.tolist()), targets)
        written = convert_masks(targets, convert, f'Cityscapes {split}', workers)
        print(f'{target}: {len(targets)} masks, {written} of them new.')
