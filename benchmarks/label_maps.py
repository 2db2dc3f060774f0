"""Label maps of detected instances: ours, beside the published test for overlaps that indexes the map by a mask."""

from typing import Any

import numpy as np

from benchmarks.base import Benchmark, benchmark


@benchmark('label-maps')
class LabelMaps(Benchmark):
    """Label maps of 20 images of 375 x 500 with 5 instances each, from run lengths, by the published overlap rule."""

    expected = 25.
    threads = 1
    clock = 'cpu'
    repeats = 1
    compared = 'every pixel of every map'

    def setup(self, quick: bool) -> None:
        """Ellipses as compressed run lengths."""
        from pycocotools import mask as coco_mask
        self.size = (48, 64) if quick else (375, 500)
        generator = np.random.default_rng(0)
        rows, columns = np.ogrid[:self.size[0], :self.size[1]]
        self.images = []
        for _ in range(2 if quick else 20):
            entries = []
            for _ in range(5):
                centre, radius = generator.random(2) * self.size, (0.1 + 0.3 * generator.random(2)) * self.size
                mask = ((rows - centre[0]) / radius[0])**2 + ((columns - centre[1]) / radius[1])**2 <= 1
                entries.append(dict(category_id=int(generator.integers(20)), segmentation=coco_mask.encode(
                    np.asfortranarray(mask.astype(np.uint8)))))
            self.images.append(entries)

    def ours(self) -> Any:
        """Two rows of the map are looked at."""
        from leopart_mm.masks.instance_shapes import instance_mask
        from leopart_mm.masks.merging import merge_instances
        return [merge_instances((instance_mask(entry, self.size) for entry in entries),
                                [entry['category_id'] for entry in entries], self.size, 'published')
                for entries in self.images]

    def baseline(self) -> Any:
        """An array (H, W, W) for each instance."""
        from pycocotools import mask as coco_mask
        maps = []
        for entries in self.images:
            labels = np.zeros(self.size, np.uint8)
            for entry in entries:
                mask = coco_mask.decode(entry['segmentation'])
                if not (labels[mask] > 0).any():
                    labels[mask.astype(bool)] = entry['category_id'] + 1
            maps.append(labels)
        return maps

    def same(self, ours: Any, baseline: Any) -> bool:
        """Equal maps, not empty."""
        return all(np.array_equal(*pair) and pair[0].any() for pair in zip(ours, baseline, strict=True))
