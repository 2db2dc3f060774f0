"""One example patch for every cluster, found while images pass by."""

import numpy as np

from leopart_mm.visualization.overlay import resize


class ExamplePatches:
    """Keeps for each cluster the window in which it covers most, of all images seen.

    Memory: one small patch a cluster, whatever the number of images.

    Args:
        num_clusters: K.
        side: Of a patch in pixels.
        share: A window's side as a share of the image's shorter side.
    """

    def __init__(self, num_clusters: int, side: int = 48, share: float = 0.3) -> None:
        self.side = side
        self.share = share
        self.best = np.zeros(num_clusters)
        self.patches: dict[int, np.ndarray] = {}

    def update(self, image: np.ndarray, labels: np.ndarray) -> None:
        """Look at an image (H, W, 3) uint8 RGB and its label map (h, w)."""
        image = np.asarray(image)
        window = [max(1, round(self.share * min(image.shape[:2]) * labels.shape[axis] / image.shape[axis]))
                  for axis in (0, 1)]
        for cluster in np.unique(labels):
            sums = np.pad((labels == cluster).astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
            inside = (sums[window[0]:, window[1]:] - sums[:-window[0], window[1]:] - sums[window[0]:, :-window[1]]
                      + sums[:-window[0], :-window[1]]) / (window[0] * window[1])
            if inside.size and inside.max() > self.best[cluster]:
                self.best[cluster] = inside.max()
                top, left = np.unravel_index(int(inside.argmax()), inside.shape)
                self.patches[int(cluster)] = self._cut(image, labels.shape, top, left, window)

    def _cut(self, image: np.ndarray, grid: tuple[int, int], top: int, left: int, window: list[int]) -> np.ndarray:
        scale_y, scale_x = image.shape[0] / grid[0], image.shape[1] / grid[1]
        cut = image[int(top * scale_y):max(int((top + window[0]) * scale_y), 1),
                    int(left * scale_x):max(int((left + window[1]) * scale_x), 1)]
        return resize(cut, (self.side, self.side))
