"""chain-end-to-end: from image files to scores with the fully unsupervised chain, in one pass of the network."""

import tempfile
import time
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.base import Benchmark, benchmark
from benchmarks.device import least_time

REPO = Path(__file__).resolve().parent.parent
CONFIG = REPO / 'configs' / 'leopart' / 'fully_unsup' / 'vits16_small.py'


@benchmark('chain-end-to-end')
class ChainEndToEnd(Benchmark):
    """Image files -> features, clusters, CBFE, communities -> mIoU: one pass, beside computing again in each stage."""

    expected: ClassVar[float] = 75.
    rounds: ClassVar[int] = 1
    repeats: ClassVar[int] = 1
    warm_up: ClassVar[bool] = False
    threads: ClassVar[int | None] = 1
    clock: ClassVar[str] = 'cpu'
    compared: ClassVar[str] = 'all metrics to the last digit; images through the network, counted'
    devices: ClassVar[tuple[str, ...]] = ('cpu', 'cuda')
    full_size: ClassVar[str] = '96 images instead of 16'

    def setup(self, quick: bool) -> None:
        """Generated images, 3 of 4 in train, the others in val; a random ViT-S/16 at 448 px (quick: a tiny one)."""
        import torch

        from leopart_mm.datasets.sample import write_sample
        from leopart_mm.models.backbones import DenseViT
        self.images, self.size = (16, 64) if quick else (96 if self.full else 16, 448)
        self.folder = tempfile.TemporaryDirectory()
        folder = Path(self.folder.name)
        write_sample(folder / 'data', self.images, min(self.size, 224), seed=0)
        self.backbone = dict(arch='vit_small_patch16_224')
        if quick:
            self.backbone = dict(arch='vit_tiny_patch16_224', model_kwargs=dict(
                img_size=64, patch_size=8, embed_dim=24, depth=2, num_heads=2))
        torch.manual_seed(0)
        torch.save(DenseViT(**self.backbone).state_dict(), folder / 'vit.pth')
        self.quick = quick
        self.passed = 0
        self._count()

    def _count(self) -> None:
        """Count the images that enter the network."""
        from leopart_mm.models.backbones import DenseViT
        forward = DenseViT.forward_dense

        def counted(network: Any, image: Any, *args: Any, **kwargs: Any) -> Any:
            self.passed += len(image)
            return forward(network, image, *args, **kwargs)

        DenseViT.forward_dense = counted

    def ours(self) -> dict[str, Any]:
        """The loop of tools/test.py as it is."""
        return self._run('auto')

    def baseline(self) -> dict[str, Any]:
        """The same loop with cache=None: each stage reads and computes all that comes before it."""
        return self._run(None)

    def same(self, ours: dict[str, Any], baseline: dict[str, Any]) -> bool:
        """Metrics; and that ours ran the network once per image."""
        print(f'images through the network, of {ours["images"]}: ours {ours["passed"]}, baseline {baseline["passed"]}')
        return ours['metrics'] == baseline['metrics'] and ours['passed'] == ours['images']

    def details(self) -> list[str]:
        """Ours beside a bare pass of the network over the same images with the same loader."""
        ours, _ = least_time(self.ours, 1, self.device)
        bare = self._bare_pass()
        return [f'one bare pass of the network over the same {self.images} images, same loader: {bare:.1f} s; ours, to '
                f'the scores: {ours:.1f} s, {ours / bare:.2f} times as long (goal: at most 1.5)']

    def _config(self, cache: str | None) -> Any:
        from leopart_mm.engine.config import load_config
        folder = Path(self.folder.name)
        cfg = load_config(CONFIG, dict(data_root=str(folder / 'data')))
        cfg.model.backbone.update(self.backbone)
        resize = dict(scale=(self.size, self.size))
        for loader in (cfg.test_dataloader, cfg.test_cfg.fit_dataloader):
            loader.num_workers = 0
            next(step for step in loader.dataset.pipeline if step.type == 'Resize').update(resize)
        if self.quick:
            cfg.model.decode_head.update(num_clusters=24, pca_dim=8, niter=10, nredo=1)
        cfg.test_cfg.cache = cache
        cfg.load_from = str(folder / 'vit.pth')
        cfg.work_dir = str(folder / 'work')
        cfg.log_level = 'WARNING'
        cfg.experiment_name = f'chain_{time.time_ns()}'
        # MMEngine keeps a visualizer by name for the whole process, with a folder that will be gone.
        cfg.visualizer = dict(type='SegLocalVisualizer', vis_backends=[], name=cfg.experiment_name)
        return cfg

    def _run(self, cache: str | None) -> dict[str, Any]:
        from mmengine.runner import Runner
        self.passed = 0
        metrics = Runner.from_cfg(self._config(cache)).test()
        return dict(metrics=metrics, passed=self.passed, images=self.images)

    def _bare_pass(self) -> float:
        """Seconds of reading all images and running the network, with the attention that the chain needs."""
        import torch
        from mmengine.runner import Runner
        runner = Runner.from_cfg(self._config(None))
        loader = runner.test_loop.fit_dataloader
        runner.load_or_resume()
        model = runner.model.eval()

        def read_all() -> None:
            for data in loader:
                inputs = model.data_preprocessor(data, False)['inputs']
                model.backbone.forward_dense(inputs, cls_attention=True)

        with torch.no_grad():
            return least_time(read_all, 1, self.device)[0]
