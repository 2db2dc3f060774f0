"""Training of PriMaPs-EM: a step on given features, and an epoch, beside the published way."""

from typing import Any, ClassVar

from benchmarks.base import Benchmark, benchmark


def _model(num_prototypes: int, backbone: dict, cache: str | None = None) -> Any:
    from leopart_mm.models.segmentors import PrototypeSegmentor
    return PrototypeSegmentor(
        backbone, dict(type='leopart_mm.PrototypeHead', num_prototypes=num_prototypes),
        dict(type='leopart_mm.PrototypeEM', divisor='all'), cache=cache).eval()


def _start(model: Any, seed: int = 0) -> None:
    import torch
    generator = torch.Generator().manual_seed(seed)
    model.decode_head.set_prototypes(torch.randn(model.decode_head.weight_v.shape[:2], generator=generator))
    model.reset_teacher()


def _blocks(batch: int, side: int, cells: int) -> Any:
    """Mask numbers (B, S, S): blocks of 7 masks, and some in none."""
    import torch
    numbers = torch.randint(0, 8, (batch, cells, cells), generator=torch.Generator().manual_seed(1))
    numbers = numbers.masked_fill(numbers == 0, 255)
    return numbers.repeat_interleave(side // cells, 1).repeat_interleave(side // cells, 2)


class _Training(Benchmark):
    rounds = 2
    repeats = 2
    threads = 1
    clock = 'cpu'
    devices = ('cpu', 'cuda')
    compared = 'losses relative 1e-5, gradients of the prototypes 1e-4 of their largest entry'

    def published(self, model: Any, features: Any, proposals: Any) -> Any:
        """The published loss of a batch."""
        from benchmarks.published_primaps_training import published_step
        return published_step(features, features, proposals, model.teacher.decode_head.prototypes().detach(),
                              model.decode_head.prototypes(), 2.)[0]

    def finish(self, model: Any, losses: list) -> dict:
        """Gradients of the sum."""
        model.zero_grad()
        sum(losses).backward()
        return dict(losses=[loss.item() for loss in losses],
                    gradient=model.decode_head.weight_v.grad.flatten(1).cpu().numpy())

    def same(self, ours: dict, baseline: dict) -> bool:
        """Same losses and gradient."""
        import numpy as np
        expected = baseline['gradient']
        return bool(np.allclose(ours['losses'], baseline['losses'], rtol=1e-5, atol=0)
                    and np.abs(ours['gradient'] - expected).max() <= 1e-4 * np.abs(expected).max())


@benchmark('primaps-train')
class PrimapsTrain(_Training):
    """A step of PriMaPs-EM on given features: logits at pixels and one vote, beside features at pixels and a loop."""

    expected: ClassVar[float] = 20.
    sizes: ClassVar[tuple[int, int, int, int]] = (2, 384, 27, 40)

    def setup(self, quick: bool) -> None:
        """Features of 2 images of 320 x 320, ViT-S/8, 27 classes."""
        import torch
        from mmengine.model import BaseModule

        class Width(BaseModule):
            embed_dims = 8 if quick else self.sizes[1]

        batch, channels, classes, cells = (2, 8, 5, 8) if quick else self.sizes
        self.features = torch.randn(batch, channels, cells, cells, generator=torch.Generator().manual_seed(0))
        self.features = self.features.to(self.device)
        self.proposals = _blocks(batch, cells * 8, cells).to(self.device)
        self.model = _model(classes, Width()).to(self.device)
        _start(self.model)

    def ours(self) -> dict:
        """Forward and backward."""
        loss = self.model.losses(self.features, self.features, self.proposals, None)['loss_prototypes']
        return self.finish(self.model, [loss])

    def baseline(self) -> dict:
        """Forward and backward."""
        return self.finish(self.model, [self.published(self.model, self.features, self.proposals)])


@benchmark('primaps-train-epoch')
class PrimapsTrainEpoch(_Training):
    """A later epoch of PriMaPs-EM without student augmentation: features from the cache, beside a pass per epoch."""

    expected: ClassVar[float] = 35.

    def setup(self, quick: bool) -> None:
        """4 images of 320 x 320 in batches of 2, ViT-S/8 of 12 blocks with random weights, 27 classes."""
        import torch
        side = 32 if quick else 320
        sizes = dict(img_size=side, patch_size=8, **(dict(embed_dim=16, depth=1, num_heads=2) if quick else {}))
        torch.manual_seed(0)
        self.model = _model(5 if quick else 27, dict(
            type='leopart_mm.DenseViT', arch='vit_small_patch16_224', model_kwargs=sizes), cache='memory')
        self.model.to(self.device)
        _start(self.model)
        self.batches = [(torch.randn(2, 3, side, side).to(self.device), _blocks(2, side, side // 8).to(self.device))
                        for _ in range(2)]
        for images, _ in self.batches:  # the first epoch
            self.model.clean_features(images)

    def ours(self) -> dict:
        """Losses of all batches, then the gradient of their sum."""
        features = [(self.model.clean_features(images), proposals) for images, proposals in self.batches]
        losses = [self.model.losses(maps, maps, proposals, None)['loss_prototypes'] for maps, proposals in features]
        return self.finish(self.model, losses)

    def baseline(self) -> dict:
        """The same with a pass of the network."""
        losses = [self.published(self.model, self.model.features(images), proposals)
                  for images, proposals in self.batches]
        return self.finish(self.model, losses)
