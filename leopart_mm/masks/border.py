"""Foreground masks of what is unlike the border of the image: for networks whose attention tells nothing of objects."""

from typing import Any

import torch
import torch.nn.functional as F
from skimage.filters import threshold_otsu
from torch import Tensor

from leopart_mm.devices import move
from leopart_mm.masks.attention import drop_small_components
from leopart_mm.masks.sources import MaskInputs, MaskSource


@torch.no_grad()
def border_contrast(features: Tensor, share: float = 0.2) -> Tensor:
    """How unlike its most similar border patches each patch is.

    What fills a frame is mostly background (the boundary prior of saliency: Wei et al., Geodesic Saliency Using
    Background Priors, ECCV 2012).

    Args:
        features: (N, C, h, w).
        share: The similarity of a patch to the border is the mean of its cosines with this share of the border's
            patches, the most similar ones, in (0, 1]; at least one.

    Returns:
        (N, h, w) float32, 1 minus that similarity, in [0, 2].
    """
    cells = F.normalize(features.float(), dim=1)
    edge = torch.ones(cells.shape[-2:], dtype=torch.bool, device=cells.device)
    edge[1:-1, 1:-1] = False
    similarity = torch.einsum('nchw,ncb->nhwb', cells, cells[:, :, edge])
    count = max(1, round(share * similarity.shape[-1]))
    return 1 - similarity.topk(count, dim=-1).values.mean(-1)


class BorderContrastMasks(MaskSource):
    """The cells that are unlike the border of their image, cut by Otsu's threshold; see `border_contrast`.

    It reads the backbone's last map, no attention, so it serves networks without a class token too, and small ones,
    whose attention is nearly even. An object that lies along much of the border is missed, and an image without object
    gets some cells all the same: a stage such as CBFE averages over images.

    Args:
        share: See `border_contrast`.
        min_component: Smallest number of cells of a component (8-neighbourhood) that is kept.

    Raises:
        ValueError: If `share` is out of range.
    """

    def __init__(self, share: float = 0.2, min_component: int = 3) -> None:
        if not 0 < share <= 1:
            raise ValueError(f'BorderContrastMasks: share={share} must lie in (0, 1].')
        self.share = share
        self.min_component = min_component

    @property
    def requests(self) -> dict[str, Any]:
        """Features."""
        return dict(maps=True)

    def __call__(self, inputs: MaskInputs) -> Tensor:
        """Masks on the patch grid, see `MaskInputs.cut`; an even image has no foreground.

        Raises:
            ValueError: If there are no features.
        """
        if inputs.features is None:
            raise ValueError('The batch holds no features, of which BorderContrastMasks makes masks.')
        return inputs.cut(inputs.features, self._cut)

    def _cut(self, features: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, 1, h, w)."""
        contrast = border_contrast(features, self.share)
        cuts = [threshold_otsu(image) if image.max() > image.min() else float('inf')
                for image in contrast.cpu().numpy()]
        marked = contrast > move(torch.tensor(cuts, dtype=contrast.dtype), contrast.device)[:, None, None]
        return drop_small_components(marked.float()[:, None], self.min_component)
