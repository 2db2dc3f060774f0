"""Small sources of proposals, and a run over a folder."""

import numpy as np
import torch
from mmengine.config import Config

from leopart_mm.apis.generate_masks import ProposalRun
from leopart_mm.apis.proposal_images import build_images
from leopart_mm.apis.proposal_network import ProposalNetwork
from leopart_mm.geometry.patch_grid import upsample_labels
from leopart_mm.masks import InstanceFiles, InstanceProposals, LabelMapFiles, LabelProposals, ProposalSource
from tests.models.backbones.builders import TINY


class Bands(ProposalSource):
    """Mask 1 where the first feature is below its mean, else 2; none where the image is dark."""

    format = LabelMapFiles()

    def __init__(self, dark: int = 40) -> None:
        self.dark = dark
        self.refined = []

    @property
    def requests(self):
        return dict(maps=True)

    def settings(self):
        return dict(dark=self.dark)

    def propose(self, inputs):
        first = inputs.features[:, 0]
        return list((first > first.mean((1, 2), keepdim=True)).byte().cpu())

    def refine(self, draft, image):
        self.refined.append(image.name)
        labels = upsample_labels(draft, image.size).numpy() + 1
        return LabelProposals(np.where(image.pixels.max(2) < self.dark, 255, labels).astype(np.uint8))


class Quadrants(ProposalSource):
    """Two overlapping scored masks at the size of the file."""

    format = InstanceFiles()

    def settings(self):
        return {}

    def propose(self, inputs):
        return [None] * len(inputs)

    def refine(self, draft, image):
        height, width = image.original_size
        left, top = np.zeros((2, height, width), bool)
        left[:, :width // 2] = top[:height // 2] = True
        return InstanceProposals.from_masks([top, left], [0.25, 0.5])


PIPELINE = [dict(type='LoadImageFromFile'), dict(type='leopart_mm.ResizeShorterSide', size=24),
            dict(type='PackSegInputs')]
SQUARE = [*PIPELINE[:2], dict(type='leopart_mm.CentreCrop', size=24), PIPELINE[2]]


def proposal_config(root, pipeline=SQUARE, **dataset):
    return Config(dict(
        default_scope='mmseg',
        model=dict(backbone=dict(type='leopart_mm.DenseViT', arch='vit_tiny_patch16_224', model_kwargs=TINY),
                   data_preprocessor=dict(type='SegDataPreProcessor', mean=[120.] * 3, std=[60.] * 3, bgr_to_rgb=True)),
        proposal_dataloader=dict(batch_size=2, dataset=dict(
            type='leopart_mm.UnlabelledImages', data_root=str(root), pipeline=pipeline, **dataset))))


def network_of(config, seed=0):
    torch.manual_seed(seed)
    return ProposalNetwork.from_config(config)


def propose(root, out, source=None, seed=0, pipeline=SQUARE, dataset=None, **options):
    """A run; returns it and its report."""
    config = proposal_config(root, pipeline, **dataset or {})
    run = ProposalRun(network_of(config, seed), source or Bands(), build_images(config), out,
                      **dict(dict(batch_size=2), **options))
    return run, run.run()
