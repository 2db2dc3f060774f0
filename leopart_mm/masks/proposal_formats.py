"""Kinds of proposals and their files: a map of mask numbers, or scored masks that may overlap."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np

from leopart_mm.files import printable, write_image_whole, write_text_whole, write_whole
from leopart_mm.masks.coco_masks import object_annotation
from leopart_mm.masks.instance_shapes import segmentation_mask
from leopart_mm.masks.proposals import IGNORE, ProposalFormat, Proposals


@dataclass(frozen=True)
class LabelProposals(Proposals):
    """Masks that do not overlap, as one map of their numbers (docs/methods/primaps.md §6).

    Args:
        labels: (H, W) uint8, mask numbers 1..254; 255 where there is no mask. Numbers may be missing.
    """

    labels: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the map."""
        return self.labels.shape

    def masks(self) -> Iterator[np.ndarray]:
        """One mask per number that occurs, in ascending order."""
        for number in np.unique(self.labels):
            if number != IGNORE:
                yield self.labels == number

    def __len__(self) -> int:
        return int((np.unique(self.labels) != IGNORE).sum())

    def largest_share(self) -> float:
        """Share of the image that its largest mask covers."""
        counts = np.bincount(self.labels.reshape(-1), minlength=IGNORE + 1)
        return float(np.delete(counts, IGNORE).max() / max(self.labels.size, 1))


class LabelMapFiles(ProposalFormat):
    """8-bit grey PNG per image: mask numbers, 255 where there is no mask."""

    name: ClassVar[str] = 'label map'
    suffix: ClassVar[str] = '.png'

    def write(self, file: Path, proposals: LabelProposals) -> None:
        """Write the map.

        Raises:
            OSError: If the file cannot be written.
            ValueError: If it is no (H, W) uint8 array.
        """
        labels = proposals.labels
        if labels.dtype != np.uint8 or labels.ndim != 2:
            raise ValueError(f'{printable(file)}: a map of proposals must be (H, W) uint8, but it is {labels.shape} '
                             f'{labels.dtype}. At most 254 masks of an image fit.')
        write_image_whole(file, labels)

    def read(self, file: Path) -> LabelProposals:
        """Read a map.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is damaged, or no 8-bit grey image.
        """
        content = Path(file).read_bytes()
        labels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED) if content else None
        if labels is None or labels.ndim != 2 or labels.dtype != np.uint8:
            raise ValueError(f'{printable(file)} is no map of proposals (an 8-bit grey PNG): it is damaged or '
                             'something else. Delete it and run tools/generate_masks.py again.')
        return LabelProposals(labels)


@dataclass(frozen=True)
class InstanceProposals(Proposals):
    """Scored masks that may overlap, as annotations of a COCO JSON.

    Args:
        size: (H, W) of the masks, mostly that of the image's file.
        annotations: One dict per mask, as `object_annotation` makes them, the most certain first. Polygons may enclose
            no pixel; such a mask is none.
    """

    size: tuple[int, int]
    annotations: list[dict[str, Any]]

    @classmethod
    def from_masks(cls, masks: Sequence[np.ndarray], scores: Sequence[float],
                   categories: Sequence[int] | None = None, size: tuple[int, int] | None = None) -> 'InstanceProposals':
        """From arrays (H, W) bool; masks without a pixel are left out.

        Args:
            masks: The masks.
            scores: One per mask.
            categories: One per mask; None: 0.
            size: (H, W), needed where there may be no mask.
        """
        categories = [0] * len(masks) if categories is None else categories
        entries = []
        for index in sorted(range(len(masks)), key=lambda index: -scores[index]):
            entry = object_annotation(np.asarray(masks[index], bool), int(categories[index]))
            if entry is not None:
                entries.append(dict(entry, score=float(scores[index])))
        return cls(tuple(masks[0].shape if size is None else size), entries)

    def masks(self) -> Iterator[np.ndarray]:
        """The masks, best score first."""
        for entry in self.annotations:
            mask = segmentation_mask(entry['segmentation'], self.size)
            if mask.any():
                yield mask


class InstanceFiles(ProposalFormat):
    """A JSON per image, and one COCO JSON of all (``annotations.json``), whose ids count in data-set order.

    Args:
        categories: Names of the categories, whose ids count from 0.
        first_id: The first id of images and of annotations. pycocotools takes an annotation 0 for none.
    """

    name: ClassVar[str] = 'instances'
    suffix: ClassVar[str] = '.json'
    joint: ClassVar[str] = 'annotations.json'

    def __init__(self, categories: Sequence[str] = ('object', ), first_id: int = 1) -> None:
        self.categories = list(categories)
        self.first_id = first_id

    def write(self, file: Path, proposals: InstanceProposals) -> None:
        """Write the masks of an image.

        Raises:
            OSError: If the file cannot be written.
        """
        height, width = proposals.size
        write_text_whole(file, json.dumps(dict(height=height, width=width, annotations=proposals.annotations)) + '\n')

    def read(self, file: Path) -> InstanceProposals:
        """Read the masks of an image.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is damaged or something else.
        """
        try:
            content = json.loads(Path(file).read_text(encoding='utf-8'))
            return InstanceProposals((content['height'], content['width']), content['annotations'])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f'{printable(file)} holds no proposals (a JSON with height, width and annotations): it is '
                             'damaged or something else. Delete it and run tools/generate_masks.py again.') from error

    def finish(self, folder: Path, files: Mapping[str, str], out: Path) -> None:
        """Write the joint file, image by image; see the class."""
        categories = [dict(id=number, name=name) for number, name in enumerate(self.categories)]
        with write_whole(out / self.joint) as temporary, open(temporary, 'w', encoding='utf-8') as stream:
            stream.write('{"images": [')
            for number, (name, file_name) in enumerate(files.items()):
                found = self.read(folder / f'{name}{self.suffix}')
                image = dict(id=number + self.first_id, file_name=file_name, height=found.size[0], width=found.size[1])
                stream.write((',\n' if number else '\n') + json.dumps(image))
            stream.write('],\n"annotations": [')
            count = 0
            for number, name in enumerate(files):
                for entry in self.read(folder / f'{name}{self.suffix}').annotations:
                    text = json.dumps(dict(entry, id=count + self.first_id, image_id=number + self.first_id))
                    stream.write((',\n' if count else '\n') + text)
                    count += 1
            stream.write(f'],\n"categories": {json.dumps(categories)}}}\n')
