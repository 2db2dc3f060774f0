"""What tools/segment_folder.py wrote into a folder: its label maps, their images, and the names of their clusters."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from leopart_mm.evaluation.label_writer import no_data_label, read_labels
from leopart_mm.files import printable
from leopart_mm.output_index import OutputIndex
from leopart_mm.visualization.cluster_names import ClusterNames


@dataclass(frozen=True)
class SegmentedImage:
    """An image and its label map.

    Args:
        name: Name of the image in the folder, without suffix.
        path: File of the image.
        file: The label map.
    """

    name: str
    path: str
    file: Path


class SegmentedFolder:
    """Label maps that belong to images as they are now, and what the clusters in them are called.

    Args:
        folder: The output folder of tools/segment_folder.py.
        names: Naming file; None: ``names.yaml`` in the folder, if there is one.

    Attributes:
        num_clusters: K.
        names: A ClusterNames of K clusters.
        images: The images, sorted by name.
        left_out: Name and reason of each label map whose image is gone, has changed, or was no file.

    Raises:
        FileNotFoundError: If there is no such folder or naming file.
        ValueError: If another tool wrote the folder, its run has not ended, or the naming file is wrong.
    """

    def __init__(self, folder: str | os.PathLike, names: str | os.PathLike | None = None) -> None:
        self.folder = Path(folder).expanduser()
        labels = self.folder / 'labels'
        if not self.folder.is_dir():
            raise FileNotFoundError(f'There is no folder {printable(self.folder)}.')
        settings = OutputIndex(labels, {}).claimed()
        if settings is None:
            raise ValueError(f'{printable(self.folder)} holds no label maps of tools/segment_folder.py '
                             '(labels/.model.json is missing): give the folder that was its --out.')
        self.num_clusters = self._count_clusters()
        file = self.folder / 'names.yaml' if names is None else Path(names).expanduser()
        known = names is not None or file.exists()
        self.names = (ClusterNames.load(file, self.num_clusters) if known else ClusterNames.default(self.num_clusters))
        self._index = OutputIndex(labels, settings)
        self._index.load()
        self.images: list[SegmentedImage] = []
        self.left_out: list[tuple[str, str]] = []
        self._find_images(labels)

    def _count_clusters(self) -> int:
        file = self.folder / 'report.json'
        try:
            return len(json.loads(file.read_text(encoding='utf-8'))['shares'])
        except FileNotFoundError:
            raise ValueError(f'{printable(file)} is missing: the run that makes these label maps was stopped, or is at '
                             'work. Let the same command end it first.') from None
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f'{printable(file)} is damaged ({error!r}): run tools/segment_folder.py once more, which '
                             'writes it anew.') from error

    def _find_images(self, labels: Path) -> None:
        for name in sorted(self._index.names_beside(())):
            path = self._index.records[name]['source'].get('path')
            file = labels / f'{name}.png'
            if path is None:
                self.left_out.append((name, 'was an array, no file'))
            elif not os.path.isfile(path):
                self.left_out.append((name, f'its image {printable(path)} is gone'))
            elif not file.is_file():
                self.left_out.append((name, 'its label map is gone'))
            elif not self._index.is_current(name, path, file):
                self.left_out.append((name, 'image or label map has changed since: segment it again'))
            else:
                self.images.append(SegmentedImage(name, path, file))

    @cached_property
    def root(self) -> str:
        """The folder that the images were found in: file names in exports are relative to it."""
        roots = {image.path[:-len(suffix)] for image in self.images
                 if image.path.endswith(suffix := os.path.normpath(f'/{image.name}{Path(image.path).suffix}'))}
        if len(roots) == 1 and all(Path(image.path).is_relative_to(*roots) for image in self.images):
            return roots.pop()
        return os.path.commonpath([os.path.dirname(image.path) for image in self.images])

    def file_name(self, image: SegmentedImage) -> str:
        """The image's file below `root`, with / between folders."""
        return Path(os.path.relpath(image.path, self.root)).as_posix()

    def labels(self, image: SegmentedImage) -> np.ndarray:
        """The label map (H, W) uint8 or uint16, checked.

        Raises:
            OSError: If it cannot be read.
            ValueError: If it holds a label that is none of the clusters.
        """
        labels = read_labels(image.file)
        self.check(labels, image)
        return labels

    def check(self, labels: np.ndarray, image: SegmentedImage) -> None:
        """Refuse labels of no cluster.

        Raises:
            ValueError: If there is one.
        """
        if labels.ndim != 2:
            raise ValueError(f'{printable(image.file)} is no label map: its shape is {labels.shape}.')
        if not labels.size or labels.max() < self.num_clusters:
            return
        found = np.zeros(2**16, bool)
        for line in labels:
            found[line] = True
        found[:self.num_clusters] = found[no_data_label(self.num_clusters)] = False
        if found.any():
            raise ValueError(f'{printable(image.file)} holds the label {found.argmax()}, but there are only the '
                             f'clusters 0 to {self.num_clusters - 1}: the map is not of this run. Segment again '
                             '(--overwrite).')

    def __iter__(self) -> Iterator[SegmentedImage]:
        return iter(self.images)

    def __len__(self) -> int:
        return len(self.images)
