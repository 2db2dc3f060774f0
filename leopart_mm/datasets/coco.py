"""COCO's super-categories as segmentation data sets: 15 of stuff, 12 of things, 27 of both."""

from typing import Any

from leopart_mm.datasets.coco_categories import STUFF_SUPERCATEGORIES, THING_SUPERCATEGORIES
from leopart_mm.datasets.label_tables import COCO_STUFF27
from leopart_mm.datasets.paired_folders import PairedFolders
from leopart_mm.palette import distinct_colours, pascal_colours
from leopart_mm.registry import DATASETS

CURATED_LIST = 'Coco164kFull_Stuff_Coarse_7.txt'


class _COCOSuperCategories(PairedFolders):
    """``images/<split>/<id>.jpg`` and converted masks ``annotations/<FOLDER>/<split>/<id>.png``."""

    FOLDER = ''

    def __init__(self, data_root: str = 'data/coco', split: str = 'val2017', data_prefix: dict | None = None,
                 **kwargs: Any) -> None:
        prefix = dict(img_path=f'images/{split}', seg_map_path=f'annotations/{self.FOLDER}/{split}')
        prefix.update(data_prefix or {})
        super().__init__(data_root=data_root, data_prefix=prefix, img_suffix='.jpg', seg_map_suffix='.png',
                         hint=f'Make it with tools/dataset_converters/coco_{self.FOLDER}.py.', **kwargs)


@DATASETS.register_module()
class COCOStuff15(_COCOSuperCategories):
    """COCO-Stuff merged to 15 super-categories; things and 'other' are ignored (docs/methods/leopart.md §12).

    Masks come from ``tools/dataset_converters/coco_stuff15.py``::

        data_root
        ├── images/val2017/000000000139.jpg
        └── annotations/stuff15/val2017/000000000139.png

    Args:
        data_root: COCO's folder.
        split: 'train2017' or 'val2017'.
        data_prefix: Other folders for ``img_path`` and ``seg_map_path``.
        **kwargs: Arguments of PairedFolders (``num_samples``, ``subset_seed``, ``pipeline``, ...).
    """

    FOLDER = 'stuff15'
    METAINFO = dict(classes=tuple(STUFF_SUPERCATEGORIES),
                    palette=distinct_colours(len(STUFF_SUPERCATEGORIES)).tolist())


@DATASETS.register_module()
class COCOThings12(_COCOSuperCategories):
    """COCO's thing classes merged to 12 super-categories; stuff is ignored (docs/methods/leopart.md §12).

    Masks come from ``tools/dataset_converters/coco_things12.py``, in ``annotations/things12/<split>``. Arguments as in
    COCOStuff15.
    """

    FOLDER = 'things12'
    METAINFO = dict(classes=tuple(THING_SUPERCATEGORIES),
                    palette=distinct_colours(len(THING_SUPERCATEGORIES)).tolist())


@DATASETS.register_module()
class COCOStuff27(_COCOSuperCategories):
    """COCO's things and stuff merged to 27 super-categories, on the curated list (docs/methods/primaps.md §12).

    Masks come from ``tools/dataset_converters/coco_stuff27.py``::

        data_root
        ├── images/val2017/000000000139.jpg
        ├── annotations/stuff27/val2017/000000000139.png
        └── curated/val2017/Coco164kFull_Stuff_Coarse_7.txt     000000000139, one id per line

    Args:
        data_root: COCO's folder.
        split: 'train2017' (49,629 images of the list) or 'val2017' (2,175).
        data_prefix: Other folders for ``img_path`` and ``seg_map_path``.
        ann_file: Another list, relative to `data_root`; '' takes all masks. Defaults to PriMaPs' list; STEGO trains on
            ``Coco164kFull_Stuff_Coarse.txt``.
        **kwargs: Arguments of PairedFolders (``num_samples``, ``subset_seed``, ``pipeline``, ...).
    """

    FOLDER = 'stuff27'
    METAINFO = dict(classes=tuple(COCO_STUFF27), palette=pascal_colours(len(COCO_STUFF27)).tolist())
    CHECK_IDS = True

    def __init__(self, data_root: str = 'data/coco', split: str = 'val2017', data_prefix: dict | None = None,
                 ann_file: str | None = None, **kwargs: Any) -> None:
        ann_file = f'curated/{split}/{CURATED_LIST}' if ann_file is None else ann_file
        super().__init__(data_root, split, data_prefix, ann_file=ann_file, **kwargs)
