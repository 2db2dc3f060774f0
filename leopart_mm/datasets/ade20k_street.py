"""ADE20K's street scenes with the parts of their objects."""

from pathlib import Path
from typing import Any

from leopart_mm.datasets.voc_layout import VOCLayoutDataset
from leopart_mm.palette import distinct_colours
from leopart_mm.registry import DATASETS

NUM_PARTS = 111


@DATASETS.register_module()
class ADE20KStreetParts(VOCLayoutDataset):
    """111 first-level part classes in ADE20K's street scenes; other pixels are ignored (docs/methods/leopart.md §12).

    The folder comes from ``tools/dataset_converters/ade20k_street.py``, which also finds the parts that occur::

        data_root
        ├── JPEGImages/ADE_val_00000001.jpg
        ├── SegmentationClass/ADE_val_00000001.png
        ├── ImageSets/Segmentation/val.txt
        └── meta.json                              names and ids of the parts

    Args:
        data_root: The folder of the layout above.
        split: 'train' or 'val'.
        **kwargs: Arguments of VOCLayoutDataset.

    Raises:
        FileNotFoundError: If the folder, or its ``meta.json``, is missing.
    """

    METAINFO = dict(classes=tuple(f'part {index}' for index in range(NUM_PARTS)),
                    palette=distinct_colours(NUM_PARTS).tolist())

    def __init__(self, data_root: str = 'data/ade20k_street', split: str = 'val', **kwargs: Any) -> None:
        if not (Path(data_root).expanduser() / 'meta.json').is_file():
            raise FileNotFoundError(f'{data_root} is no converted ADE20K-street data set: it has no meta.json. Make it '
                                    f'with tools/dataset_converters/ade20k_street.py ADE20K --out {data_root}.')
        super().__init__(data_root=data_root, split=split, **kwargs)
