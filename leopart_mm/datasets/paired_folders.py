"""Images in one folder tree, masks of the same names in another."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mmseg.datasets import BaseSegDataset

from leopart_mm.datasets.file_lists import check_complete, others_in, read_lines, readings, say_what_counts
from leopart_mm.datasets.mask_reading import warn_of_odd_masks
from leopart_mm.datasets.readers import with_our_readers
from leopart_mm.datasets.subset import take_subset
from leopart_mm.datasets.value_range import HasValueRange, Range
from leopart_mm.registry import DATASETS


@DATASETS.register_module()
class PairedFolders(HasValueRange, BaseSegDataset):
    """Every mask below ``data_prefix['seg_map_path']`` with the image of the same name.

    ::

        data_root
        ├── images/val/a.jpg         data_prefix = dict(img_path='images/val',
        └── annotations/val/a.png                       seg_map_path='annotations/val')

    mmseg's BaseSegDataset lists the images and finds out in the middle of an epoch that a mask is missing; this one
    lists the masks and checks both at the start.

    Args:
        data_root: Folder that the prefixes are relative to.
        data_prefix: ``dict(img_path=..., seg_map_path=...)``.
        ann_file: Optional list of names, one per line, with or without suffix; by default all masks, sorted.
        num_samples: Maximum number of samples.
        subset_seed: None takes the first `num_samples` samples, a number a random choice.
        hint: Sentence that the error for a missing folder of masks adds, e.g. which converter makes it.
        value_range: (low, high) that become 0 and 255 in images of more than 8 bits; None: measured
            (`measure_value_range`), and shared with the other data sets of a run (`ValueRangeHook`); 'measure':
            measured on these images in any case.
        nodata: Number of missing pixels in such images, beside NaN, infinity and GDAL's tag.
        pipeline: Transforms; ``LoadImageFromFile`` and ``LoadAnnotations`` read as `LoadImage` and `LoadMask` do.
        **kwargs: As in mmseg's BaseSegDataset (``test_mode``, ``metainfo``, ...).

    Raises:
        FileNotFoundError: If a folder, the list, or an image or mask of the list is missing.
        ValueError: If there is no mask.
    """

    CHECK_IDS = False  # whether `LoadMask` refuses ids that are no class

    def __init__(self,
                 data_root: str,
                 data_prefix: dict,
                 ann_file: str = '',
                 num_samples: int | None = None,
                 subset_seed: int | None = None,
                 hint: str = '',
                 value_range: Range | str | None = None,
                 nodata: float | None = None,
                 pipeline: Sequence[dict | Callable] = (),
                 **kwargs: Any) -> None:
        self.num_samples = num_samples
        self.subset_seed = subset_seed
        self.hint = hint
        self.keep_value_range(value_range, nodata)
        super().__init__(data_root=str(Path(data_root).expanduser()), data_prefix=dict(data_prefix), ann_file=ann_file,
                         pipeline=with_our_readers(pipeline), **kwargs)

    def load_data_list(self) -> list[dict]:
        """One dict per mask, with its image and what mmseg's loading needs."""
        images, masks = (Path(self.data_prefix[key]) for key in ('img_path', 'seg_map_path'))
        for folder, what, hint in ((images, 'images', ''), (masks, 'masks', self.hint)):
            if not folder.is_dir():
                raise FileNotFoundError(f'The folder of {what}, {folder}, is missing. {hint} Set data_root (now '
                                        f'{self.data_root}) or data_prefix.'.replace('  ', ' '))
        names = take_subset(self._names(masks), self.num_samples, self.subset_seed)
        image_of = self._finder(images)
        samples = [
            dict(img_path=str(image_of(name)),
                 seg_map_path=str(masks / (name + self.seg_map_suffix)),
                 label_map=self.label_map, reduce_zero_label=self.reduce_zero_label, seg_fields=[],
                 **(dict(num_classes=len(self.metainfo['classes'])) if self.CHECK_IDS else {})) for name in names
        ]
        for key, what, folder in (('img_path', 'images', images), ('seg_map_path', 'masks', masks)):
            check_complete([sample[key] for sample in samples], what, folder, 'Add them, or take them off the list.')
        warn_of_odd_masks([sample['seg_map_path'] for sample in samples], self.ignore_index)
        say_what_counts(len(samples), others_in(images, [sample['img_path'] for sample in samples]), images, {},
                        'with a mask')
        self.measure_range(samples)
        return samples

    def _finder(self, images: Path) -> Callable[[str], Path]:
        """A function from a name to the file of its image, which may be missing."""
        return lambda name: images / (name + self.img_suffix)

    def _names(self, masks: Path) -> list[str]:
        suffix = self.seg_map_suffix
        if self.ann_file:
            file = Path(self.ann_file)
            if not file.is_file():
                raise FileNotFoundError(f'The list {file} is missing. Without ann_file all masks are taken.')
            names = [self._listed(masks, line) for line in read_lines(file)]
        else:
            names = sorted(path.relative_to(masks).as_posix()[:-len(suffix)] for path in masks.rglob(f'*{suffix}'))
        if not names:
            raise ValueError(f'There is no mask *{suffix} in {masks}. {self.hint}'.rstrip())
        return names

    def _listed(self, masks: Path, line: str) -> str:
        """The name, without suffix, of the sample that a line of the list means."""
        names = [name.removesuffix(self.seg_map_suffix).removesuffix(self.img_suffix) for name, _ in readings(line)]
        return next((name for name in names if (masks / (name + self.seg_map_suffix)).is_file()), names[0])
