"""Multi-crop augmentation per core: our transform and preprocessor beside the published pipeline on PIL."""

import random
from typing import Any

import numpy as np

from benchmarks.base import Benchmark, benchmark

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
NUM_CROPS, SIZES, SCALES = (2, 4), (224, 96), ((0.25, 1.0), (0.05, 0.25))


@benchmark('multicrop')
class MultiCrop(Benchmark):
    """2 + 4 crops with boxes, jitter, grey, blur, normalisation of decoded 500x375 images; CPU seconds of one core."""

    expected = 25.
    threads = 1
    clock = 'cpu'
    devices = ('cpu', 'cuda')  # of the preprocessor; the other side has no path there
    device_crops = False
    compared = ('overlap boxes for the same crops; resize for the same boxes; mean and deviation of the crops over all '
                'draws within 5 standard errors')

    def setup(self, quick: bool) -> None:
        """Textured images, decoded: BGR arrays for us, PIL images for the baseline."""
        import torch
        from PIL import Image

        from benchmarks.textures import textured_image
        generator = torch.Generator().manual_seed(0)
        self.images, self.pictures = [], []
        for _ in range(2 if quick else 16):
            rgb = textured_image(generator)
            self.images.append(np.ascontiguousarray(rgb[..., ::-1]))
            self.pictures.append(Image.fromarray(rgb))
        self.passes = 1 if quick else 4
        self.steps, self.preprocessor = build_ours(self.device_crops)
        self.preprocessor.to(self.device)
        self.pipeline = PILMultiCrop()

    def ours(self) -> dict[str, Any]:
        """Batches of 16 through transform, collate and preprocessor."""
        import torch

        from leopart_mm.compat import tune_cpu_allocator
        from leopart_mm.datasets import multi_crop_collate
        tune_cpu_allocator()  # as tools/train.py does
        np.random.seed(0)
        statistics = []
        with torch.no_grad():
            for _ in range(self.passes):
                samples = []
                for image in self.images:
                    sample = dict(img=image)
                    for step in self.steps:
                        sample = step(sample)
                    samples.append(sample)
                crops = self.preprocessor(multi_crop_collate(samples), True)['inputs']['crops']
                statistics.append(summary(crops))
        return dict(statistics=np.concatenate(statistics), fixed=self.fixed_ours())

    def baseline(self) -> dict[str, Any]:
        """The published pipeline, image by image, and collation."""
        import torch
        from mmengine.dataset import default_collate
        random.seed(0)
        torch.manual_seed(0)
        statistics = []
        for _ in range(self.passes):
            samples = [self.pipeline(picture) for picture in self.pictures]
            statistics.append(summary(default_collate(samples)['crops']))
        return dict(statistics=np.concatenate(statistics), fixed=self.fixed_baseline())

    def same(self, ours: dict, baseline: dict) -> bool:
        """Whether the crops agree as `compared` says."""
        fixed, other = ours['fixed'], baseline['fixed']
        boxes = all(np.allclose(fixed[key], other[key], atol=1e-4) for key in ('gc_boxes', 'all_boxes'))
        # on the scale 0..255: only the rounding of the weights differs
        pixels = all(np.abs(a - b).mean() < 0.25 and np.abs(a - b).max() <= 1
                     for a, b in zip(fixed['crops'], other['crops'], strict=True))
        a, b = ours['statistics'], baseline['statistics']  # (samples, numbers)
        error = np.sqrt(a.var(0) / len(a) + b.var(0) / len(b))
        return bool(boxes and pixels and (np.abs(a.mean(0) - b.mean(0)) < 5 * error + 1e-3).all())

    def fixed_ours(self) -> dict[str, Any]:
        """Overlaps and resized crops of the first image for given boxes, our way."""
        from leopart_mm.datasets.transforms.resizing import as_planes, resize_planes
        from leopart_mm.geometry.crop_boxes import crop_boxes
        gc_boxes, all_boxes = crop_boxes(FIXED_BOXES, SIZES, NUM_CROPS)
        planes = as_planes(self.images[0])
        crops = [resize_planes(planes[:, y1:y2, x1:x2], (side, side)).flip(0).numpy().astype(float)
                 for (x1, y1, x2, y2), side in zip(FIXED_BOXES.tolist(), SIDES, strict=True)]
        return dict(gc_boxes=gc_boxes, all_boxes=all_boxes, crops=crops)

    def fixed_baseline(self) -> dict[str, Any]:
        """The same by PIL and one crop pair after the other."""
        from PIL import Image
        gc_boxes, all_boxes = pairwise_boxes(FIXED_BOXES.tolist())
        crops = [np.asarray(self.pictures[0].crop(box).resize((side, side), Image.BILINEAR)).transpose(2, 0, 1)
                 for box, side in zip(FIXED_BOXES.tolist(), SIDES, strict=True)]
        return dict(gc_boxes=gc_boxes, all_boxes=all_boxes, crops=[crop.astype(float) for crop in crops])

    def details(self) -> list[str]:
        """Our time by stage, per image."""
        import time

        from leopart_mm.compat import tune_cpu_allocator
        from leopart_mm.datasets import multi_crop_collate
        tune_cpu_allocator()
        stages: dict[str, float] = {}
        for turn in range(4):
            samples = [dict(img=image) for image in self.images]
            for step in self.steps:
                start = time.process_time()
                samples = [step(sample) for sample in samples]
                stages[type(step).__name__] = time.process_time() - start
            start = time.process_time()
            batch = multi_crop_collate(samples)
            collated = time.process_time()
            self.preprocessor(batch, True)
            stages['multi_crop_collate'] = collated - start
            stages[type(self.preprocessor).__name__] = time.process_time() - collated
            if turn == 0:
                total = dict.fromkeys(stages, 0.)  # the first turn warms up
            else:
                total = {name: total[name] + seconds for name, seconds in stages.items()}
        scale = 1e3 / 3 / len(self.images)
        return ['ms per image: ' + ', '.join(f'{name} {seconds * scale:.2f}' for name, seconds in total.items())]


@benchmark('multicrop-device')
class DeviceMultiCrop(MultiCrop):
    """The same with device_crops=True: the data preprocessor cuts the crops of a batch out of the decoded images."""

    device_crops = True


SIDES = tuple(np.repeat(SIZES, NUM_CROPS).tolist())
FIXED_BOXES = np.array([[30, 31, 353, 324], [5, 5, 391, 351], [18, 25, 148, 174], [129, 136, 273, 233],
                        [127, 125, 245, 283], [21, 116, 206, 230]])


def summary(crops: list) -> np.ndarray:
    """Mean and deviation of each channel of one global and one local crop of each image, (B, 12)."""
    parts = [part for crop in (crops[0], crops[-1]) for part in (crop.mean((2, 3)), crop.std((2, 3)))]
    return np.concatenate([part.cpu().numpy() for part in parts], axis=1)


def build_ours(device_crops: bool = False) -> tuple[list, Any]:
    """Our transforms and data preprocessor, as a config would build them."""
    from leopart_mm.registry import MODELS, TRANSFORMS
    steps = [
        TRANSFORMS.build(cfg) for cfg in (
            dict(type='leopart_mm.RoIAlignedMultiCrop', num_crops=NUM_CROPS, sizes=SIZES, scales=SCALES,
                 device_crops=device_crops),
            dict(type='leopart_mm.DrawPhotometric'),
            dict(type='leopart_mm.PackMultiCrop'),
        )
    ]
    return steps, MODELS.build(dict(type='leopart_mm.MultiCropDataPreprocessor', mean=MEAN, std=STD))


def pairwise_boxes(absolute: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Overlaps of all pairs, in pixels of either crop, one pair after the other."""
    boxes = np.zeros((2, NUM_CROPS[0], len(absolute), 4))
    for t in range(NUM_CROPS[0]):
        for v in range(len(absolute)):
            a, b = absolute[t], absolute[v]
            overlap = (max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3]))
            for which, (box, side) in enumerate(((a, SIDES[t]), (b, SIDES[v]))):
                across, down = side / (box[2] - box[0]), side / (box[3] - box[1])
                boxes[which, t, v] = [(overlap[0] - box[0]) * across, (overlap[1] - box[1]) * down,
                                      (overlap[2] - box[0]) * across, (overlap[3] - box[1]) * down]
    return boxes[0], boxes[1].transpose(1, 0, 2)


class PILMultiCrop:
    """The published pipeline in its plainest form: torchvision's transforms on PIL images."""

    def __init__(self) -> None:
        from torchvision import transforms
        self.colour = transforms.Compose([
            transforms.RandomApply([transforms.ColorJitter(0.8, 0.8, 0.8, 0.2)], p=0.8),
            transforms.RandomGrayscale(p=0.2)
        ])
        self.finish = transforms.Compose([
            transforms.ToTensor(),
            transforms.Normalize([value / 255 for value in MEAN], [value / 255 for value in STD])
        ])

    def __call__(self, picture: Any) -> dict[str, Any]:
        """One decoded image -> crops and boxes."""
        import torch
        from PIL import Image, ImageFilter
        boxes = self.boxes(picture)
        crops = []
        for box, side in zip(boxes, SIDES, strict=True):
            crop = self.colour(picture.crop(box).resize((side, side), Image.BILINEAR))
            if random.random() < 0.5:
                crop = crop.filter(ImageFilter.GaussianBlur(radius=random.uniform(0.1, 2.0)))
            crops.append(self.finish(crop))
        gc_boxes, all_boxes = pairwise_boxes(boxes)
        return dict(crops=crops, gc_boxes=torch.from_numpy(gc_boxes), all_boxes=torch.from_numpy(all_boxes))

    @staticmethod
    def boxes(picture: Any) -> list[list[int]]:
        """Draw crops until each overlaps the global ones enough."""
        from torchvision.transforms import RandomResizedCrop
        width, height = picture.size
        boxes: list[list[int]] = []
        for i, scale in enumerate(np.repeat(SCALES, NUM_CROPS, axis=0).tolist()):
            needed = int(0.01 * width * height) * (2 if i < NUM_CROPS[0] else 1)
            while True:
                y, x, h, w = RandomResizedCrop.get_params(picture, scale, (3 / 4, 4 / 3))
                box = [x, y, x + w, y + h]
                overlaps = [max(0, min(x + w, b[2]) - max(x, b[0])) * max(0, min(y + h, b[3]) - max(y, b[1]))
                            for b in boxes[:NUM_CROPS[0]]]
                if all(overlap > needed for overlap in overlaps):
                    boxes.append(box)
                    break
        return boxes
