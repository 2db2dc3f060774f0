"""One training step of Leopart: ours beside the published way, same weights, crops and boxes, float32."""

from typing import Any, ClassVar

import numpy as np

from benchmarks.base import Benchmark, benchmark
from benchmarks.device import clock_of, synchronise

NUM_CROPS, SIZES, SCALES = (2, 4), (224, 96), ((0.25, 1.0), (0.05, 0.25))
PATCH, KERNEL, HIDDEN, OUT, K = 16, 7, 2048, 256, 300
RENAMED = {'.qkv.': '.attn.qkv.', '.proj.': '.attn.proj.', '.fc1.': '.mlp.fc1.', '.fc2.': '.mlp.fc2.'}


@benchmark('leopart-step')
class LeopartStep(Benchmark):
    """ViT-S/16, 2 x 224 + 4 x 96 crops, batch 4, K 300: forward, backward, optimiser, EMA (spec's default shapes)."""

    expected: ClassVar[float] = 70.
    rounds = 1
    repeats = 1
    same_calls = True
    threads = 1
    clock = 'cpu'
    compared = 'losses of the steps, relative 1e-4'
    devices = ('cpu', 'cuda')
    full_size = 'batch 32 instead of 4, as on every GPU'
    arch: ClassVar[str] = 'vit_small_patch16_224'
    width: ClassVar[int] = 384
    heads: ClassVar[int] = 6
    depth: ClassVar[int] = 12
    batch: ClassVar[int] = 4
    full_batch: ClassVar[int] = 32

    def setup(self, quick: bool) -> None:
        """Random crops with boxes drawn as in training, and published weights for both sides."""
        import torch

        from benchmarks.published_leopart import PublishedNetwork
        from leopart_mm.geometry.crop_boxes import crop_boxes, sample_crops
        batch, depth = (2, 1) if quick else (self.full_batch if self.full or self.device != 'cpu' else self.batch,
                                             self.depth)
        rng = np.random.default_rng(0)
        boxes = [
            crop_boxes(sample_crops(375, 500, NUM_CROPS, SCALES, rng)[0], SIZES, NUM_CROPS) for _ in range(batch)
        ]
        generator = torch.Generator().manual_seed(0)
        sides = np.repeat(SIZES, NUM_CROPS).tolist()
        self.inputs = dict(
            crops=[torch.randn(batch, 3, side, side, generator=generator).to(self.device) for side in sides],
            gc_boxes=torch.from_numpy(np.stack([pair[0] for pair in boxes])).to(self.device),
            all_boxes=torch.from_numpy(np.stack([pair[1] for pair in boxes])).to(self.device))
        torch.manual_seed(0)
        self.sizes = dict(
            dim=self.width, depth=depth, heads=self.heads, patch=PATCH, side=SIZES[0], hidden=HIDDEN, out=OUT,
            num_prototypes=K)
        self.states = []
        for _ in range(2):
            network = PublishedNetwork(**self.sizes)
            for parameter in network.parameters():
                torch.nn.init.normal_(parameter, std=0.03) if parameter.ndim > 1 else None
            self.states.append({name: value.clone() for name, value in network.state_dict().items()})
        self.step: Any = None

    def ours(self) -> float:
        """A step of our model, optimiser wrapper and hooks."""
        if self.step is None:
            self.step = OurStep(self)
        return self.step(self.inputs)

    def baseline(self) -> float:
        """A step the published way."""
        if self.step is None:
            from benchmarks.published_leopart import PublishedNetwork, PublishedStep
            networks = [PublishedNetwork(**self.sizes) for _ in range(2)]
            for network, state in zip(networks, self.states, strict=True):
                network.load_state_dict(state)
                network.to(self.device)
            self.step = PublishedStep(*networks, PATCH, KERNEL, lr=1e-5, momentum=0.9995)
        return self.step(self.inputs)

    def same(self, ours: float, baseline: float) -> bool:
        """Same loss after the same number of steps."""
        return abs(ours - baseline) <= 1e-4 * abs(baseline)

    def details(self) -> list[str]:
        """Our share of the rate of matrix products, and our time by stage."""
        from benchmarks.gemm_share import share_line
        step = OurStep(self)
        step(self.inputs)
        stages = step.timed(self.inputs)
        total = sum(stages.values())
        share = share_line(lambda: step(self.inputs), self.device)
        return [share, *(f'  {name:28s}{seconds:9.3f} s {seconds / total:6.1%}' for name, seconds in stages.items())]


@benchmark('leopart-step-tiny')
class LeopartStepTiny(LeopartStep):
    """As leopart-step with ViT-Ti/16 and batch 12, the setting of the small real-image run."""

    expected: ClassVar[float] = 70.
    arch = 'vit_tiny_patch16_224'
    width = 192
    heads = 3
    batch = full_batch = 12
    full_size = ''


class OurStep:
    """Model, optimiser and EMA as `tools/train.py` runs them."""

    def __init__(self, bench: LeopartStep) -> None:
        from leopart_mm.compat.allocator import tune_cpu_allocator
        from leopart_mm.engine.hooks import SelfSupStepHook
        from leopart_mm.engine.optimizers import BackboneHeadConstructor
        from leopart_mm.registry import MODELS
        tune_cpu_allocator()
        self.model = MODELS.build(
            dict(
                type='Leopart',
                backbone=dict(
                    type='leopart_mm.DenseViT', arch=bench.arch, model_kwargs=dict(depth=bench.sizes['depth'])),
                neck=dict(type='leopart_mm.ProjectionHead', hidden_channels=HIDDEN, out_channels=OUT),
                head=dict(type='leopart_mm.LeopartLoss', num_prototypes=K, kernel=KERNEL),
                teacher_init='independent'))
        self.model.load_state_dict({
            prefix + our_name(name): value
            for prefix, state in zip(('', 'teacher.'), bench.states, strict=True) for name, value in state.items()
        })
        self.model.train().to(bench.device)
        self.wrapper = BackboneHeadConstructor(
            dict(optimizer=dict(type='AdamW', lr=1e-5, weight_decay=0.04)), dict(head_lr=1e-4))(self.model)
        self.hook = SelfSupStepHook(0.9995, before_optimizer=True)
        self.hook.attach(self.model, self.wrapper.optimizer)

    def __call__(self, inputs: dict) -> float:
        self.model.before_step()
        loss = self.model.train_step(dict(inputs=inputs), self.wrapper)['loss'].item()
        self.model.after_step()
        return loss

    def timed(self, inputs: dict) -> dict[str, float]:
        """Seconds of each stage of one step."""
        model, stages = self.model, {}
        device = inputs['crops'][0].device
        clock = clock_of(device)
        last = clock()

        def lap(name: str) -> None:
            nonlocal last
            synchronise(device)
            now = clock()
            stages[name], last = now - last, now

        model.before_step()
        pairs = model.crop_pairs(inputs)
        lap('prototypes, boxes')
        teacher = model.teacher_output(inputs['crops'][:pairs.num_global])
        lap('teacher forward')
        targets = model.head.targets(teacher, pairs)
        lap('Sinkhorn, aligned targets')
        aligned = model.student_aligned(inputs['crops'], pairs, targets.weights)
        lap('student forward, alignment')
        loss, _ = model.head(aligned, targets)
        lap('cross-entropy')
        self.wrapper.backward(loss)
        lap('backward')
        self.wrapper.step()
        self.wrapper.zero_grad()
        lap('optimiser, EMA')
        return stages


def our_name(published: str) -> str:
    """The name in our model of a parameter of `PublishedNetwork`."""
    for theirs, ours in (('projection_head.', 'neck.mlp.'), ('prototypes.', 'head.prototypes.')):
        if published.startswith(theirs):
            return ours + published[len(theirs):]
    name = published.replace('patch_embed.', 'patch_embed.proj.')
    if name.startswith('blocks.'):
        for theirs, ours in RENAMED.items():
            name = name.replace(theirs, ours)
    return f'backbone.{name}'
