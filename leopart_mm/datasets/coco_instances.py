"""Images with instances of a COCO JSON, for detectors: masks of MaskDistill with clusters as categories, or labels."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from leopart_mm.datasets.coco_json import read_coco
from leopart_mm.datasets.file_lists import check_complete, find_files
from leopart_mm.datasets.image_reading import IMAGE_SUFFIXES, ImageReadError, image_size
from leopart_mm.datasets.output_marks import without_outputs
from leopart_mm.datasets.readers import with_our_readers
from leopart_mm.datasets.skipping import SkipsUnreadable
from leopart_mm.datasets.value_range import HasValueRange, Range
from leopart_mm.files import printable
from leopart_mm.registry import DATASETS

BACKGROUND = 'background'  # the last category of published files, which no annotation has


@DATASETS.register_module()
class CocoInstances(HasValueRange, SkipsUnreadable):
    """Images and their instances, from a COCO JSON; without one, all images of a folder, to predict on.

    The label of a category is its place among the file's categories in ascending order of their ids, so that raw
    cluster ids 0..K-1 stay as they are. A category called background that no annotation has does not count
    (docs/methods/maskdistill.md §5: published files end with one).

    A sample is ``dict(img_path, img_id, height, width, instances)`` in MMDetection's form; `LoadInstances` reads the
    masks. `metainfo` holds ``classes`` and ``category_ids``, by which predictions find back to the file's categories;
    of a folder it holds nothing, see `Detectron2CheckpointHook`.

    Args:
        data_root: Folder that the names of images are relative to.
        ann_file: The JSON, as given or relative to `data_root`. '' takes all images below the folder, without
            instances; their ids are their names relative to it.
        data_prefix: ``dict(img_path=...)``, a folder below `data_root` that holds the images.
        num_classes: Number of classes of the model; None: not checked.
        keep_empty: Whether images without an instance are kept for training; they are always kept with `test_mode`.
        test_mode: Whether the data set is predicted on.
        on_corrupt: ``'skip'`` (default) or ``'raise'``: what becomes of images that cannot be read, see
            `SkipsUnreadable`.
        value_range: See `UnlabelledImages`.
        nodata: See `UnlabelledImages`.
        pipeline: Transforms.
        serialize_data: As in MMEngine's BaseDataset.
        lazy_init: As in MMEngine's BaseDataset.

    Raises:
        FileNotFoundError: If the JSON, the folder or an image that the JSON lists is missing.
        ValueError: If the JSON is damaged, has more categories than the model has classes, or an instance without a
            mask, or if no image is left.
        ImageReadError: If a file cannot be read and ``on_corrupt='raise'``.
    """

    def __init__(self,
                 data_root: str,
                 ann_file: str = '',
                 data_prefix: dict | None = None,
                 num_classes: int | None = None,
                 keep_empty: bool = False,
                 test_mode: bool = False,
                 on_corrupt: str = 'skip',
                 value_range: Range | str | None = None,
                 nodata: float | None = None,
                 pipeline: Sequence[dict | Callable] = (),
                 serialize_data: bool = True,
                 lazy_init: bool = False) -> None:
        self.check_options(data_root, on_corrupt)
        self.num_classes, self.keep_empty, self.on_corrupt = num_classes, keep_empty, on_corrupt
        self.image_folder = (data_prefix or {}).get('img_path', '')
        self.keep_value_range(value_range, nodata)
        super().__init__(ann_file='', data_root=os.path.expanduser(data_root), data_prefix=dict(),
                         pipeline=with_our_readers(pipeline), test_mode=test_mode, serialize_data=serialize_data,
                         lazy_init=True)
        self.ann_file = os.path.expanduser(ann_file)
        if not lazy_init:
            self.full_init()

    def load_data_list(self) -> list[dict]:
        """The samples, in the order of the file (of a folder: sorted)."""
        root = self.existing_folder(self.image_folder)
        samples = self._from_json(root) if self.ann_file else self._from_folder(root)
        if not samples:
            raise ValueError(f'{printable(self.ann_file or root)} leaves no image to {self._use()}.')
        self.measure_range(samples)
        return samples

    def _use(self) -> str:
        return 'predict on' if self.test_mode else 'train on (an image without an instance counts with keep_empty=True)'

    def _from_folder(self, root: Path) -> list[dict]:
        images = sorted(path for path in find_files(root) if path.lower().endswith(IMAGE_SUFFIXES))
        files = without_outputs(images, root)
        return [dict(img_path=path, img_id=Path(path).relative_to(root).as_posix(), height=None, width=None,
                     instances=[]) for path in files]

    def _from_json(self, root: Path) -> list[dict]:
        file = self._find()
        found = read_coco(file)
        self._keep_categories(file, found.categories, {entry['category_id'] for entry in found.annotations})
        labels = {number: label for label, number in enumerate(self._metainfo['category_ids'])}
        check_complete([root / image['file_name'] for image in found.images], 'images', root,
                       f'They are those of {printable(file)}; data_root names another folder.')
        instances = found.by_image()
        samples = [dict(img_path=str(root / image['file_name']), img_id=image['id'], height=image.get('height'),
                        width=image.get('width'),
                        instances=[_instance(file, entry, labels) for entry in instances[image['id']]])
                   for image in found.images]
        kept = [sample for sample in samples if sample['instances'] or self.test_mode or self.keep_empty]
        if not self.test_mode:
            empty = len(samples) - len(kept)
            left_out = f'; {empty} images without an instance are left out (see keep_empty)' if empty else ''
            print_log(f'{printable(file)}: {len(kept)} images with {len(found.annotations)} instances of '
                      f'{len(labels)} categories{left_out}.', logger='current')
        return kept

    def _find(self) -> Path:
        for path in (Path(self.ann_file), Path(self.data_root) / self.ann_file):
            if path.is_file():
                return path
        raise FileNotFoundError(f'There is no file of annotations {printable(self.ann_file)}, neither as given nor in '
                                f'{printable(self.data_root)}. tools/generate_masks.py and tools/cluster_masks.py make '
                                'one: --cfg-options ann_file=FILE.')

    def _keep_categories(self, file: Path, categories: Sequence[Mapping[str, Any]], used: set[int]) -> None:
        kept = sorted((entry for entry in categories if entry['name'] != BACKGROUND or entry['id'] in used),
                      key=lambda entry: entry['id'])
        if self.num_classes is not None and len(kept) > self.num_classes:
            raise ValueError(f'{printable(file)} has {len(kept)} categories, up to id {kept[-1]["id"]} '
                             f'({kept[-1]["name"]!r}), but the model has {self.num_classes} classes: --cfg-options '
                             f'num_classes={len(kept)}.')
        self._metainfo.update(classes=tuple(str(entry['name'] or entry['id']) for entry in kept),
                              category_ids=tuple(entry['id'] for entry in kept))


def _instance(file: Path, entry: Mapping[str, Any], labels: Mapping[int, int]) -> dict[str, Any]:
    """An annotation in MMDetection's form; crowds are regions to ignore."""
    if not entry.get('segmentation') or 'bbox' not in entry:
        raise ValueError(f'{printable(file)}: annotation {entry.get("id")} of image {entry["image_id"]!r} has no mask '
                         'or no box (segmentation, bbox), which Mask R-CNN learns from.')
    x, y, width, height = entry['bbox']
    return dict(bbox=[x, y, x + width, y + height], bbox_label=labels[entry['category_id']],
                ignore_flag=int(bool(entry.get('iscrowd', 0))), mask=entry['segmentation'])


def check_size(path: str, sample: Mapping[str, Any], size: tuple[int, int]) -> None:
    """Compare the size of an image with the one that its annotations were made for.

    Args:
        path: The image.
        sample: ``height`` and ``width`` of the file of annotations; None: not known.
        size: (H, W) of the image as it was read.

    Raises:
        ImageReadError: If they differ.
    """
    stated = sample.get('height'), sample.get('width')
    if None not in stated and stated != tuple(size):
        on_disk = image_size(path)
        turned = '' if on_disk in (None, tuple(size)) else f' (the file says {on_disk[0]} x {on_disk[1]})'
        raise ImageReadError(path, f'it has {size[0]} x {size[1]} pixels{turned}, but its annotations are for '
                             f'{stated[0]} x {stated[1]} (height x width)')
