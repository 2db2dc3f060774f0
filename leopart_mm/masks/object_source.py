"""The mask of the object that the class token sees, as a source of proposals."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
from mmengine.logging import print_log
from torch import Tensor

from leopart_mm.geometry.patch_grid import Extent, upsample_labels
from leopart_mm.masks.coco_masks import object_annotation, resize_object
from leopart_mm.masks.object_seed import ObjectSeedSettings, grow_mask
from leopart_mm.masks.proposal_formats import InstanceFiles, InstanceProposals
from leopart_mm.masks.proposals import ProposalFormat, ProposalImage, ProposalSource
from leopart_mm.masks.sources import MaskInputs

SHAPES = ('rle', 'polygons')


@dataclass(frozen=True)
class ObjectDraft:
    """The mask of an image on its cells.

    Args:
        mask: (h, w) bool, on the CPU; all False if there is no object.
        extent: Where the image lies on these cells.
    """

    mask: Tensor
    extent: Extent


class ObjectSeedProposals(ProposalSource):
    """At most one mask per image: what is like the patches that the class token looks at (`grow_mask`).

    MaskDistill: Discovering object masks with transformers for unsupervised semantic segmentation
    (https://arxiv.org/abs/2206.06363). Source: docs/methods/maskdistill.md §3, §4.

    An image without an object (a key that is 0 or not finite, no pixel left after resizing, no polygon left) has no
    annotation. The pipeline must keep the image's proportions and must not crop it.

    Args:
        heads: Number of first heads in the scores, 5 as published; a network with fewer gives all of its heads.
        topk: See `ObjectSeedSettings`.
        mass: See there.
        block: Block of the network whose queries and keys are used; may be negative, -1 as published.
        center_keys: Subtract the mean patch key before the affinity. Needed, with an earlier block, for networks whose
            keys point to one side everywhere, such as supervised ones: else the mask is the whole image.
        softmax: Score by softmax attention instead of raw dot products.
        compat: The published rules where scores are negative, and the whole image where there is no object.
        threshold: Pixels whose value (0..255) after resizing to the file's size is above it are object: 0 as published,
            127 is the middle.
        shape: 'rle' (compressed run lengths) or 'polygons' as published: filled holes, details below 2 pixels lost.
        first_id: The first id of images and annotations in the joint file; 0 as published, which pycocotools takes for
            "no annotation".

    Raises:
        ValueError: If an option is out of its range.
    """

    when_filled: ClassVar[str] = ('The keys of this network do not point to opposite sides for object and background. '
                                  'Try an earlier block, centred keys and softmax scores: proposals.block=5 '
                                  'proposals.center_keys=True proposals.softmax=True.')

    def __init__(self, heads: int = 5, topk: float = 0.4, mass: float = 0.5, block: int = -1,
                 center_keys: bool = False, softmax: bool = False, compat: bool = False, threshold: int = 0,
                 shape: str = 'rle', first_id: int = 1) -> None:
        if shape not in SHAPES:
            raise ValueError(f'ObjectSeedProposals: shape={shape!r} must be one of {", ".join(SHAPES)}.')
        if not 0 <= threshold < 255 or first_id < 0:
            raise ValueError(f'ObjectSeedProposals: threshold={threshold} must lie in 0..254, and first_id={first_id} '
                             'must not be negative.')
        self.seed = ObjectSeedSettings(heads, topk, mass, softmax, center_keys, compat)
        self.block, self.threshold, self.shape = block, threshold, shape
        self.format: ProposalFormat = InstanceFiles(first_id=first_id)
        self._clamped = False

    @property
    def requests(self) -> dict[str, Any]:
        """The class token's query and the keys of the block."""
        return dict(class_query=self.block)

    def settings(self) -> dict[str, Any]:
        """How masks are grown, resized and written."""
        return asdict(self.seed) | dict(block=self.block, threshold=self.threshold, shape=self.shape)

    def propose(self, inputs: MaskInputs) -> list[ObjectDraft]:
        """The mask of each image on its own cells.

        Raises:
            ValueError: If there are no queries and keys.
        """
        if inputs.class_q is None or inputs.token_k is None:
            raise ValueError("ObjectSeedProposals needs the class token's query and the keys of a block, but the batch "
                             'holds none: extract it with what `requests` names.')
        self._say_clamped(inputs.token_k.shape[1])
        return [self._draft(inputs, index) for index in range(len(inputs))]

    def _say_clamped(self, heads: int) -> None:
        if heads < self.seed.heads and not self._clamped:
            print_log(f'ObjectSeedProposals: the network has {heads} heads, so the scores are of all of them instead '
                      f'of the first {self.seed.heads}.', logger='current')
            self._clamped = True

    def _draft(self, inputs: MaskInputs, index: int) -> ObjectDraft:
        rows, columns, extent = inputs.content(index)
        keys = inputs.token_k[index]
        width = columns.stop - columns.start
        if (rows.stop - rows.start, width) != tuple(inputs.grid):
            patches = keys[:, 1:].unflatten(1, inputs.grid)[:, rows, columns].flatten(1, 2)
            keys = torch.cat([keys[:, :1], patches], dim=1)
        return ObjectDraft(grow_mask(inputs.class_q[index], keys, width, self.seed).mask.cpu(), extent)

    def refine(self, draft: ObjectDraft, image: ProposalImage) -> InstanceProposals:
        """The mask at the size of the file, as an annotation.

        Raises:
            ValueError: If the image's proportions are not those of its file.
        """
        (height, width), (full_height, full_width) = image.size, image.original_size
        if abs(height * full_width - width * full_height) > full_height + full_width:  # more than rounding does
            raise ValueError(f'ObjectSeedProposals needs the whole image in its proportions, but the pipeline made '
                             f'{width}x{height} pixels of {full_width}x{full_height}: leave out crops and resizing '
                             'that does not keep the ratio.')
        pixels = upsample_labels(draft.mask, image.size, draft.extent).numpy()
        entry = object_annotation(resize_object(pixels, image.original_size, self.threshold), shape=self.shape)
        return InstanceProposals(tuple(map(int, image.original_size)), [] if entry is None else [entry])
