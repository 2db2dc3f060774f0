"""Loops that fit a segmentor on a stream of features before they test it."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dist import all_gather_object
from mmengine.evaluator import Evaluator
from mmengine.logging import print_log
from mmengine.runner import TestLoop, ValLoop, autocast
from torch import nn
from torch.utils.data import DataLoader

from leopart_mm.datasets.value_range import parts_of
from leopart_mm.engine.fitted_checkpoint import save_fitted_checkpoint
from leopart_mm.engine.loops.undisturbed import undisturbed
from leopart_mm.engine.wrapping import unwrap
from leopart_mm.models.fitting.feature_cache import build_cache
from leopart_mm.models.fitting.networks import NetworkCaches
from leopart_mm.models.fitting.stream import FeatureStream, dataset_paths
from leopart_mm.models.segmentors import FittableSegmentor
from leopart_mm.registry import LOOPS, MODELS


def fit_stream(model: nn.Module, fit_dataloader: DataLoader, test_dataloader: DataLoader, cache: Any,
               fp16: bool) -> FeatureStream:
    """A stream to fit `model` on, which knows the images that are predicted afterwards."""
    predicted = None
    if fit_dataloader is not test_dataloader:
        fitted, tested = (dataset_paths(loader.dataset) for loader in (fit_dataloader, test_dataloader))
        predicted = None if fitted is None or tested is None else fitted & tested
    return FeatureStream(model, fit_dataloader, 'Reading features to fit', cache, fp16, predicted)


def predict(stream: FeatureStream, data_batch: dict, pictures: bool = False) -> list:
    """Predictions of the stream's fitted model for a batch of the test loader, as `test_step`; features that are kept
    come from the cache.
    """
    model = stream.model
    with autocast(enabled=stream.fp16):
        requests = model.requests(pictures=pictures)
        batch = stream.extract(data_batch, requests, reduced=not requests.maps)
        return model.predict_batch(batch, pictures)


def draws_stages(runner: Any, draw: str) -> bool:
    """Whether a hook draws the maps of all stages: it has `needs_stages`, and its option `draw` is on."""
    return any(getattr(hook, 'needs_stages', False) and getattr(hook, draw, False) for hook in runner.hooks)


@LOOPS.register_module()
class FitTestLoop(TestLoop):
    """Fit the model on features of `fit_dataloader`, then test it: `tools/test.py CONFIG CHECKPOINT`.

    A model that is fitted already (a checkpoint saved by `save_fitted` was loaded) is tested as it is.

    Args:
        runner: The runner.
        dataloader: Images to test on.
        evaluator: Metrics.
        fp16: Run the network in mixed precision.
        fit_dataloader: Images to fit on; only RetrievalHead looks at their labels. None fits on the test images
            (transductive, as published for clustering).
        refit: Fit again even if the model is fitted.
        save_fitted: File for the fitted model, an ordinary checkpoint that tools/test.py and MMSegInferencer run.
        cache: Where features wait, so that no image goes through the network twice: neither in the fits of the head
            and the stages, nor in the test of images that were fitted on. 'auto', 'memory', 'disk', None (compute them
            each time), or a dict of the arguments of FeatureCache. Results are the same.
        only_fit: Predict and score nothing; `stream` then stays open for others who predict these images.

    Attributes:
        features: Caches that outlive the loop, such as those of a table's rows; None: the loop makes its own.
        stream: What the model was fitted on; None before, where it was fitted already, and after a test.
    """

    def __init__(self,
                 runner: Any,
                 dataloader: DataLoader | dict,
                 evaluator: Evaluator | dict | list,
                 fp16: bool = False,
                 fit_dataloader: DataLoader | dict | None = None,
                 refit: bool = False,
                 save_fitted: str | None = None,
                 cache: str | dict | None = 'auto',
                 only_fit: bool = False) -> None:
        super().__init__(runner, dataloader, evaluator, fp16)
        if isinstance(fit_dataloader, dict):
            fit_dataloader = runner.build_dataloader(fit_dataloader, seed=runner.seed)
        self.fit_dataloader = self.dataloader if fit_dataloader is None else fit_dataloader
        self.refit = refit
        self.save_fitted = save_fitted
        self.cache = cache
        self.only_fit = only_fit
        self.features: NetworkCaches | None = None
        self.stream: FeatureStream | None = None

    def run(self) -> dict:
        """Fit, save what was fitted, test; returns the metrics."""
        self.runner.model.eval()
        if self.only_fit:
            self.fit()
            return {}
        try:
            self.fit()
            return super().run()
        finally:
            if self.stream is not None:
                print_log(f'{self.stream.computed} images went through a network.', logger='current')
                self.stream.close()
                self.stream = None

    def fit(self) -> None:
        """Fit the model unless it is fitted; write `save_fitted`."""
        model = unwrap(self.runner.model)
        if not isinstance(model, FittableSegmentor):
            raise TypeError(f"FitTestLoop needs a model with fit(stream), such as leopart_mm.UnsupervisedSegmentor; "
                            f"{type(model).__name__} has none: use test_cfg=dict(type='TestLoop').")
        if model.is_fitted and not self.refit:
            print_log('The checkpoint holds a fitted model: it is tested without fitting (refit=True fits again).',
                      logger='current')
        else:
            self.stream = fit_stream(model, self.fit_dataloader, self.dataloader, self.features or self.cache,
                                     self.fp16)
            model.fit(self.stream)
        if model.runs_in_step:
            self._check_steps()
        if self.save_fitted is not None:
            self._save(model)

    @torch.no_grad()
    def run_iter(self, idx: int, data_batch: dict) -> None:
        """Predict and process one batch."""
        self.runner.call_hook('before_test_iter', batch_idx=idx, data_batch=data_batch)
        pictures = draws_stages(self.runner, 'draw')
        if self.stream is not None:
            outputs = predict(self.stream, data_batch, pictures)
        else:
            model = unwrap(self.runner.model)
            with autocast(enabled=self.fp16):
                outputs = model.predict(**model.data_preprocessor(data_batch, False), pictures=pictures)
        self.evaluator.process(data_samples=outputs, data_batch=data_batch)
        self.runner.call_hook('after_test_iter', batch_idx=idx, data_batch=data_batch, outputs=outputs)

    def _check_steps(self) -> None:
        """Refuse different numbers of batches where processes wait for each other in each."""
        batches = all_gather_object(len(self.dataloader))
        if len(set(batches)) > 1:
            raise ValueError(f'The processes would predict {", ".join(map(str, batches))} batches, but they search '
                             "their memory together: use sampler=dict(type='DefaultSampler', shuffle=False, "
                             'round_up=True) in test_dataloader.')

    def _save(self, model: nn.Module) -> None:
        state = model.gathered_state_dict()
        meta = None
        if model.predicts_classes:
            names = self.fit_dataloader.dataset.metainfo
            colours = [list(colour) for colour in names.get('palette') or ()]
            meta = dict(classes=tuple(names['classes']), palette=colours)
        part = next(parts_of(self.fit_dataloader.dataset), None)
        numbers = (None, None) if part is None else (part.value_range, part.nodata)
        save_fitted_checkpoint(model, self.save_fitted, self.runner.cfg, self.runner.seed, state, meta, *numbers)


@LOOPS.register_module()
class FitValLoop(ValLoop):
    """Unsupervised segmentation with the network in training, every `val_interval`: fit on features, score, forget.

    Training continues undisturbed: modes of modules and random states are restored.

    Args:
        runner: The runner.
        dataloader: Images to score, usually a subset (dataset=dict(num_samples=...)).
        evaluator: Metrics.
        segmentor: Config of an UnsupervisedSegmentor without `backbone`. Without `data_preprocessor` it takes that of
            the trained model.
        backbone: Attribute of the trained model that is evaluated: 'backbone' (student), 'teacher.backbone'.
        fit_dataloader: Images to fit on; None fits on those of `dataloader`.
        num_clusters: Several K for the segmentor's head, each fitted and scored; its metrics are called ``K<number>/``.
            Hooks that draw see the first. None: the number in the head's config, without such a prefix.
        fp16: Run the network in mixed precision.
        cache: As in FitTestLoop; all K share the features.
    """

    def __init__(self,
                 runner: Any,
                 dataloader: DataLoader | dict,
                 evaluator: Evaluator | dict | list,
                 segmentor: dict,
                 backbone: str = 'backbone',
                 fit_dataloader: DataLoader | dict | None = None,
                 num_clusters: Sequence[int] | None = None,
                 fp16: bool = False,
                 cache: str | dict | None = 'auto') -> None:
        super().__init__(runner, dataloader, evaluator, fp16)
        if isinstance(fit_dataloader, dict):
            fit_dataloader = runner.build_dataloader(fit_dataloader, seed=runner.seed)
        self.fit_dataloader = self.dataloader if fit_dataloader is None else fit_dataloader
        self.segmentor_cfg = segmentor
        self.backbone = backbone
        self.num_clusters = tuple(num_clusters or (None, ))
        self.cache = cache
        self.segmentor: nn.Module | None = None
        self._stream: FeatureStream | None = None

    def build_segmentor(self, num_clusters: int | None = None) -> nn.Module:
        """A new, unfitted segmentor around the network in training, with `num_clusters` clusters if given.

        Raises:
            AttributeError: If the trained model has no such part.
        """
        model = unwrap(self.runner.model)
        try:
            backbone = model.get_submodule(self.backbone)
        except AttributeError as error:
            raise AttributeError(f'{type(model).__name__} has no part {self.backbone!r} to evaluate: set '
                                 "val_cfg=dict(backbone='backbone').") from error
        config = dict(self.segmentor_cfg)
        config.setdefault('data_preprocessor', model.data_preprocessor)
        if num_clusters is not None:
            config['decode_head'] = dict(config['decode_head'], num_clusters=num_clusters)
        segmentor = MODELS.build(dict(config, backbone=backbone))
        return segmentor.to(next(backbone.parameters()).device).eval()

    def run(self) -> dict:
        """Fit and score; returns the metrics."""
        model = self.runner.model
        self.runner.call_hook('before_val')
        self.runner.call_hook('before_val_epoch')
        found = {}
        # Several K share the features, so these outlive each fit.
        cache = build_cache(self.cache) if len(self.num_clusters) > 1 else self.cache
        with undisturbed(model):
            model.eval()
            try:
                # Score the first K last, so that the metric keeps its state for hooks.
                for number in reversed(self.num_clusters):
                    found[number] = self._score(number, cache, hooks=number == self.num_clusters[0])
            finally:
                if self._stream is not None:
                    self._stream.close()
                    self._stream.cache.close()
                self._stream = None
        metrics = {key if number is None else f'K{number}/{key}': value
                   for number in self.num_clusters for key, value in found[number].items()}
        self.segmentor = None
        self.runner.call_hook('after_val_epoch', metrics=metrics)
        self.runner.call_hook('after_val')
        return metrics

    def _score(self, num_clusters: int | None, cache: Any, hooks: bool) -> dict[str, float]:
        self.segmentor = self.build_segmentor(num_clusters)
        if self._stream is None:
            self._stream = fit_stream(self.segmentor, self.fit_dataloader, self.dataloader, cache, self.fp16)
        self.segmentor.fit(self._stream)
        self.val_loss.clear()
        for index, data_batch in enumerate(self.dataloader):
            self.run_iter(index, data_batch, hooks)
        return self.evaluator.evaluate(len(self.dataloader.dataset))

    @torch.no_grad()
    def run_iter(self, idx: int, data_batch: dict, hooks: bool = True) -> None:
        """Predict and process one batch."""
        if hooks:
            self.runner.call_hook('before_val_iter', batch_idx=idx, data_batch=data_batch)
        outputs = predict(self._stream, data_batch, hooks and draws_stages(self.runner, 'draw_val'))
        self.evaluator.process(data_samples=outputs, data_batch=data_batch)
        if hooks:
            self.runner.call_hook('after_val_iter', batch_idx=idx, data_batch=data_batch, outputs=outputs)
