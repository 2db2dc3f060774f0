"""Segmented folders whose label maps are known."""

import cv2
import numpy as np

from leopart_mm.apis import LeopartInferencer
from leopart_mm.apis.folder_run import FolderRun
from tests.apis.builders import stub_config

LABELS = np.array([[0, 0, 1, 1, 1, 0],
                   [0, 0, 1, 2, 1, 0],
                   [3, 3, 1, 1, 1, 0],
                   [3, 3, 0, 2, 2, 2]])


def segmenter(num_clusters=5, **kwargs):
    """Gives each pixel the value of its first band as label."""
    return LeopartInferencer(dict(state_dict={}), stub_config(num_labels=num_clusters), **kwargs)


def segment(images, out, num_clusters=5, **kwargs):
    """Run FolderRun on a folder."""
    FolderRun(segmenter(num_clusters, **kwargs), out).run(images)
    return out


def write_picture(path, labels):
    """An image whose grey values are labels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.repeat(np.asarray(labels, np.uint8)[..., None], 3, axis=2))


def segmented(folder, maps=None, num_clusters=5):
    """Write pictures of label maps into folder/in, and segment them into folder/out."""
    for name, labels in (maps or {'a/1.png': LABELS, 'a/2.png': LABELS.T}).items():
        write_picture(folder / 'in' / name, labels)
    return segment(folder / 'in', folder / 'out', num_clusters)


def write_names(out, text):
    """Replace the naming file."""
    (out / 'names.yaml').write_text(f'clusters: {text}\n')


def random_map(seed, size=(37, 53), num_clusters=4, cell=3):
    """A map of random cells."""
    rng = np.random.default_rng(seed)
    grid = rng.integers(0, num_clusters, (-(-size[0] // cell), -(-size[1] // cell)))
    return np.kron(grid, np.ones((cell, cell), int))[:size[0], :size[1]]
