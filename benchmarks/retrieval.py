"""retrieval: from features of labelled and other images to mIoU, ours beside the published way.

Source: docs/methods/neco.md §8.
"""

from collections.abc import Iterator
from typing import Any, ClassVar

from benchmarks.base import Benchmark, benchmark

CLASSES, PARTS, GRID, PATCH, BATCH = 21, 60, 28, 14, 16
NEIGHBOURS, TEMPERATURE = 30, 0.02


class LabelledScenes:
    """Generated batches of patch features (B, n, C) and label maps (B, H, H) of smooth regions; always the same.

    Stands for backbone and data set on both sides.
    """

    def __init__(self, images: int, channels: int, seed: int) -> None:
        import torch
        self.images, self.channels, self.seed = images, channels, seed
        self.centres = torch.randn(PARTS, channels, generator=torch.Generator().manual_seed(0))

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        import torch
        generator = torch.Generator().manual_seed(self.seed)
        for start in range(0, self.images, BATCH):
            count = min(BATCH, self.images - start)
            parts = torch.randint(0, PARTS, (count, 7, 7), generator=generator)
            fine = parts.repeat_interleave(GRID // 7, 1).repeat_interleave(GRID // 7, 2)
            noise = 2 * torch.randn(count, GRID * GRID, self.channels, generator=generator)
            labels = (fine % CLASSES).repeat_interleave(PATCH, 1).repeat_interleave(PATCH, 2)
            labels = labels.roll((5, 9), (1, 2))  # borders of objects run through patches
            labels[:, ::17] = 255
            yield self.centres[fine.flatten(1)] + noise, labels


@benchmark('retrieval')
class Retrieval(Benchmark):
    """60 labelled and 24 other images of 28 x 28 patches, 384 channels: memory, 30 neighbours, label maps, mIoU."""

    expected: ClassVar[float] = 40.
    rounds: ClassVar[int] = 1
    repeats: ClassVar[int] = 1
    warm_up: ClassVar[bool] = False
    threads: ClassVar[int | None] = 1
    devices: ClassVar[tuple[str, ...]] = ('cpu', 'cuda')  # the other side has an index of faiss, on the CPU
    clock: ClassVar[str] = 'cpu'  # both are bound by one matrix product: other load must not decide
    full_size: ClassVar[str] = '120 labelled and 32 other images'
    compared: ClassVar[str] = 'Hungarian mIoU within 0.01 points, label maps equal but for one pixel in 10,000'

    def setup(self, quick: bool) -> None:
        """Settings; images are generated while they are read. Imports happen here, not in the measured time."""
        import faiss  # noqa: F401
        import mmseg.structures  # noqa: F401

        import leopart_mm.evaluation
        import leopart_mm.models  # noqa: F401
        known, asked, channels = (6, 4, 32) if quick else (120, 32, 384) if self.full else (60, 24, 384)
        self.known, self.asked = LabelledScenes(known, channels, 1), LabelledScenes(asked, channels, 2)

    def ours(self) -> dict:
        """The head and the metric of tools/test.py, with the published rule for void pixels."""
        import torch
        from mmengine.structures import PixelData
        from mmseg.structures import SegDataSample

        from leopart_mm.evaluation import ClusterMetric
        from leopart_mm.geometry.patch_grid import upsample_scores
        from leopart_mm.models.decode_heads import RetrievalHead
        head = RetrievalHead(CLASSES, NEIGHBOURS, TEMPERATURE, void='class0').to(self.device)
        head.fit(_Stream(self.known, self.device))
        metric = ClusterMetric(matching=['hungarian', 'direct'])
        metric.dataset_meta = dict(classes=[str(index) for index in range(CLASSES)])
        maps, number = [], 0
        for batch in _Stream(self.asked, self.device):
            scores = head(batch.features.maps)
            for index, sample in enumerate(batch.data_samples):
                pred = upsample_scores(scores[index], (GRID * PATCH, ) * 2).argmax(0, keepdim=True)
                done = SegDataSample(gt_sem_seg=sample.gt_sem_seg, pred_sem_seg=PixelData(data=pred))
                done.set_metainfo(dict(img_path=str(number)))
                metric.process({}, [done.to_dict()])
                maps.append(pred.byte().cpu())
                number += 1
        return dict(miou=metric.evaluate(number)['mIoU'], maps=torch.cat(maps).numpy())

    def baseline(self) -> dict:
        """The published loop."""
        import torch

        from benchmarks import published_retrieval as published
        memory = published.PublishedMemory(self.known, PATCH, CLASSES)
        predictions, truths = [], []
        for features, labels in self.asked:
            predictions.append(memory.predict(features, NEIGHBOURS, TEMPERATURE, labels.shape[-1]))
            truths.append(labels)
        miou = 100 * published.score(predictions, truths, CLASSES)
        return dict(miou=miou, maps=torch.cat(predictions).byte().numpy())

    def same(self, ours: dict, baseline: dict) -> bool:
        """Score and label maps."""
        return bool(abs(ours['miou'] - baseline['miou']) < 0.01 and (ours['maps'] != baseline['maps']).mean() < 1e-4)


class _Stream:
    """Scenes as batches of features with data samples."""

    def __init__(self, scenes: LabelledScenes, device: str) -> None:
        self.scenes, self.num_images, self.device = scenes, scenes.images, device

    def __iter__(self) -> Iterator[Any]:
        from mmengine.structures import PixelData
        from mmseg.structures import SegDataSample

        from leopart_mm.models.backbones.features import DenseFeatures
        from leopart_mm.models.fitting.feature_batch import FeatureBatch
        number = 0
        for features, labels in self.scenes:
            maps = features.to(self.device).unflatten(1, (GRID, GRID)).permute(0, 3, 1, 2)
            samples = [SegDataSample(gt_sem_seg=PixelData(data=label_map[None])) for label_map in labels]
            names = [str(number + index) for index in range(len(samples))]
            number += len(samples)
            yield FeatureBatch(DenseFeatures((maps, ), (GRID, GRID)), samples, names,
                               [(0, GRID, 0, GRID)] * len(samples))
