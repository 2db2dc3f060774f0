"""OverclusterHead: standardise, PCA, k-means over dense features, with what was fitted in the checkpoint."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor

from leopart_mm.clustering.kmeans import assign, check_points, kmeans
from leopart_mm.clustering.moments import Moments
from leopart_mm.clustering.pca import principal_directions
from leopart_mm.clustering.token_sample import TokenSample
from leopart_mm.models.fitting.feature_batch import FeatureBatch
from leopart_mm.models.fitting.processes import broadcast_result, gather_parts
from leopart_mm.models.fitting.state import NotFittedError
from leopart_mm.registry import MODELS

STATE = ('mean', 'projection', 'centroids', 'fitted', 'fit_info')
MIN_SAMPLE = 2**16
CHUNK = 2**14  # vectors that are reduced at a time


@MODELS.register_module()
class OverclusterHead(BaseModule):
    """Clusters dense features into many more groups than there are classes (docs/methods/leopart.md §8).

    `fit` reads the features once: exact mean, standard deviation and covariance over all of them and a bounded random
    sample, on which k-means runs for every seed. Memory does not grow with the data set. What it fitted are buffers, so
    an ordinary checkpoint keeps it. Works as `decode_head` of mmseg's EncoderDecoder.

    Args:
        num_clusters: K.
        seeds: k-means seeds, or their number (5 means 0..4). All clusterings are fitted and predicted together; the
            first is the one that pictures and inference show.
        in_index: Which map of the backbone.
        standardise: Subtract the mean and divide by the population standard deviation of every channel.
        pca_dim: Principal directions kept; None keeps the channels as they are.
        normalize: Divide every feature vector by its length first.
        spherical: k-means by inner product with unit centroids.
        niter: Lloyd steps of a k-means run.
        nredo: Runs of k-means per seed, of which the best is kept.
        screen: After so many steps only the best run goes on, which takes a quarter of the time; None takes all to
            the end, as published.
        max_points_per_centroid: k-means sees at most this many times K points.
        num_samples: Feature vectors kept for k-means. None: `max_points_per_centroid` * K, at least 65536. More than
            k-means sees lets every seed train on points of its own. Needs 4 * channels bytes each.
        sample_seed: Chooses which.
        feature_size: Resize the maps bilinearly to (h, w) before everything; None keeps the patch grid.

    Attributes: `num_classes` (= K) and `out_channels`, `align_corners` for EncoderDecoder.

    Raises:
        ValueError: A setting out of range.
    """

    align_corners = False

    def __init__(self,
                 num_clusters: int,
                 seeds: int | Sequence[int] = 5,
                 in_index: int = -1,
                 standardise: bool = True,
                 pca_dim: int | None = 50,
                 normalize: bool = False,
                 spherical: bool = False,
                 niter: int = 100,
                 nredo: int = 5,
                 screen: int | None = 5,
                 max_points_per_centroid: int = 256,
                 num_samples: int | None = None,
                 sample_seed: int = 0,
                 feature_size: tuple[int, int] | None = None,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        self.seeds = tuple(range(seeds)) if isinstance(seeds, int) else tuple(int(seed) for seed in seeds)
        if num_clusters < 1 or not self.seeds:
            raise ValueError(f'OverclusterHead: num_clusters={num_clusters} and seeds={seeds!r} must both be at least '
                             '1.')
        self.num_clusters = self.num_classes = self.out_channels = num_clusters
        self.in_index = in_index
        self.standardise = standardise
        self.pca_dim = pca_dim
        self.normalize = normalize
        self.spherical = spherical
        self.niter = niter
        self.nredo = nredo
        self.screen = screen
        self.max_points_per_centroid = max_points_per_centroid
        self.num_samples = num_samples or max(max_points_per_centroid * num_clusters, MIN_SAMPLE)
        self.sample_seed = sample_seed
        self.feature_size = None if feature_size is None else tuple(feature_size)
        self._forget()

    def _forget(self) -> None:
        """Unfitted state: empty buffers."""
        self.register_buffer('mean', torch.zeros(0))
        self.register_buffer('projection', torch.zeros(0, 0))
        self.register_buffer('centroids', torch.zeros(len(self.seeds), self.num_clusters, 0))
        self.register_buffer('fitted', torch.tensor(False))
        self.register_buffer('fit_info', torch.zeros(0, dtype=torch.uint8))

    @property
    def is_fitted(self) -> bool:
        """Whether `fit` ran or a fitted checkpoint was loaded."""
        return bool(self.fitted)

    @property
    def info(self) -> dict:
        """What was fitted on: images, tokens, sampled, seeds; empty if unfitted."""
        return json.loads(bytes(self.fit_info.tolist())) if self.fit_info.numel() else {}

    def prepare(self, maps: Sequence[Tensor]) -> Tensor:
        """The map that is clustered, (B, C, h, w) float32, resized and normalised as configured."""
        features = maps[self.in_index].float()
        if self.feature_size is not None:
            features = F.interpolate(features, self.feature_size, mode='bilinear', align_corners=False)
        return F.normalize(features, dim=1) if self.normalize else features

    @torch.no_grad()
    def fit(self, stream: Iterable[FeatureBatch]) -> None:
        """Fit on a stream of features; with several processes, on the parts of all of them together.

        Raises:
            ValueError: No features, features with NaN, fewer vectors than clusters, fewer channels than `pca_dim`. With
                several processes it is raised on all of them.
        """
        device = self.fitted.device
        parts = gather_parts(lambda: self._read(stream))
        result = broadcast_result(lambda: self._solve(parts, device))
        for name, value in result.items():
            setattr(self, name, value.to(device))

    def _read(self, stream: Iterable[FeatureBatch]) -> dict[str, Any]:
        """One pass: moments and sample of this process."""
        moments, sample, images = Moments(), TokenSample(self.num_samples, self.sample_seed), 0
        for batch in stream:
            features = self.prepare(batch.features.maps)
            for index, name in enumerate(batch.names):
                rows, columns, _ = batch.content(index, features.shape[-2:])
                tokens = features[index, :, rows, columns].flatten(1).T
                try:
                    moments.update(tokens)
                except ValueError as error:
                    raise ValueError(f'{name}: {error}') from error
                sample.update(batch.keys[index], tokens)
                images += 1
        return dict(moments=moments.state(), sample=sample.state(), images=images)

    def _solve(self, parts: list[dict[str, Any]], device: torch.device) -> dict[str, Tensor]:
        """PCA and k-means of what all processes read."""
        moments = Moments.merged([part['moments'] for part in parts])
        mean, projection = self._projection(moments)
        # Reduced before they are merged: a seventh of the memory.
        reduced = []
        for part in parts:
            priorities, vectors = part.pop('sample')
            reduced.append((priorities, self._project(vectors, mean, projection) if len(vectors) else vectors))
            del vectors
        points = TokenSample.merged(reduced, self.num_samples, self.sample_seed).vectors.to(device)
        check_points(points, self.num_clusters)
        centroids = []
        for number, seed in enumerate(self.seeds, 1):
            print_log(f'k-means {number}/{len(self.seeds)}: {self.num_clusters} clusters of {len(points)} points in '
                      f'{points.shape[1]} dimensions, {self.nredo} runs of {self.niter} steps, seed {seed}',
                      logger='current')
            centroids.append(
                kmeans(points, self.num_clusters, seed, self.niter, self.nredo, self.max_points_per_centroid,
                       self.spherical, self.screen))
        info = dict(images=sum(part['images'] for part in parts), tokens=moments.count, sampled=len(points),
                    seeds=list(self.seeds))
        return dict(
            mean=mean,
            projection=projection,
            centroids=torch.stack(centroids).cpu(),
            fitted=torch.tensor(True),
            fit_info=torch.tensor(list(json.dumps(info).encode()), dtype=torch.uint8))

    def _projection(self, moments: Moments) -> tuple[Tensor, Tensor]:
        """Mean (C,) and projection (D, C) that together standardise and reduce, float32."""
        std = moments.std() if self.standardise else torch.ones_like(moments.mean)
        if self.pca_dim is None:
            mean = moments.mean if self.standardise else torch.zeros_like(moments.mean)
            return mean.float().cpu(), torch.diag(1 / std).float().cpu()
        directions, _ = principal_directions(moments.covariance() / torch.outer(std, std), self.pca_dim)
        return moments.mean.float().cpu(), (directions / std).float().cpu()

    @staticmethod
    def _project(vectors: Tensor, mean: Tensor, projection: Tensor) -> Tensor:
        if len(vectors) <= CHUNK:
            return (vectors - mean) @ projection.T
        return torch.cat([(part - mean) @ projection.T for part in vectors.split(CHUNK)])

    def _reduced(self, maps: Sequence[Tensor]) -> tuple[Tensor, tuple[int, int, int]]:
        """Reduced vectors (B*h*w, D) and (B, h, w)."""
        if not self.is_fitted:
            raise NotFittedError('OverclusterHead is not fitted: evaluate with test_cfg=dict(type='
                                 "'leopart_mm.FitTestLoop'), call model.fit(stream), or load a fitted checkpoint "
                                 '(tools/test.py --save-fitted FILE writes one).')
        features = self.prepare(maps)
        if features.shape[1] != len(self.mean):
            raise ValueError(f'OverclusterHead was fitted on {len(self.mean)} channels, but the backbone gives '
                             f'{features.shape[1]}: the checkpoint belongs to another backbone or in_index.')
        batch, _, height, width = features.shape
        vectors = features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])
        return self._project(vectors, self.mean, self.projection), (batch, height, width)

    @torch.no_grad()
    def predict_labels(self, maps: Sequence[Tensor]) -> Tensor:
        """Cluster ids (S, B, h, w) int64 of every seed from the backbone's maps.

        Raises:
            NotFittedError: Nothing was fitted or loaded.
            ValueError: The maps have other channels than those fitted on.
        """
        with torch.autocast(maps[self.in_index].device.type, enabled=False):
            vectors, shape = self._reduced(maps)
            return assign(vectors, self.centroids, self.spherical).view(len(self.seeds), *shape)

    def label_reduced(self, reduced: Tensor) -> Tensor:
        """`predict_labels` from what `reduce` gave."""
        batch, channels, height, width = reduced.shape
        with torch.autocast(reduced.device.type, enabled=False):
            vectors = reduced.permute(0, 2, 3, 1).reshape(-1, channels)
            return assign(vectors, self.centroids, self.spherical).view(len(self.seeds), batch, height, width)

    @torch.no_grad()
    def reduce(self, maps: Sequence[Tensor]) -> Tensor:
        """What is clustered: (B, D, h, w) standardised, reduced features. Errors as in `predict_labels`."""
        with torch.autocast(maps[self.in_index].device.type, enabled=False):
            vectors, (batch, height, width) = self._reduced(maps)
            return vectors.view(batch, height, width, -1).permute(0, 3, 1, 2)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Scores (B, K, h, w) of the first seed, linear in the features; the largest is the nearest centroid's."""
        with torch.autocast(maps[self.in_index].device.type, enabled=False):
            vectors, (batch, height, width) = self._reduced(maps)
            centroids = self.centroids[0]
            scores = vectors @ centroids.T
            if not self.spherical:
                scores = 2 * scores - centroids.square().sum(1)
            return scores.view(batch, height, width, -1).permute(0, 3, 1, 2)

    def predict(self, inputs: Sequence[Tensor], batch_img_metas: list[dict], test_cfg: dict) -> Tensor:
        """Scores at the size of the image, as mmseg's EncoderDecoder wants them; UnsupervisedSegmentor does without."""
        size = batch_img_metas[0].get('pad_shape', batch_img_metas[0]['img_shape'])[:2]
        return F.interpolate(self.forward(inputs), tuple(size), mode='bilinear', align_corners=False)

    def loss(self, *args: Any, **kwargs: Any) -> dict:
        """There is none.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError('OverclusterHead has no loss: it is fitted without gradients, by FitTestLoop or '
                                  'fit(stream). To fine-tune the backbone, train a model such as leopart_mm.Leopart.')

    def _load_from_state_dict(self, state_dict: dict, prefix: str, local_metadata: dict, strict: bool,
                              missing_keys: list[str], unexpected_keys: list[str], error_msgs: list[str]) -> None:
        """Take all of a fitted state or nothing: MMEngine would load the flag and skip centroids of another shape."""
        given = {name: state_dict.get(prefix + name) for name in STATE}
        if all(value is None for value in given.values()):
            return  # a checkpoint of the backbone alone: stays unfitted
        absent = [prefix + name for name, value in given.items() if value is None]
        if absent:
            raise ValueError(f'The checkpoint holds a part of a fitted OverclusterHead only; {", ".join(absent)} is '
                             'missing. Save the whole model again.')
        expected = (len(self.seeds), self.num_clusters)
        if tuple(given['centroids'].shape[:2]) != expected:
            raise ValueError(
                f'The checkpoint was fitted with {given["centroids"].shape[1]} clusters and '
                f'{given["centroids"].shape[0]} seeds, but the config says num_clusters={expected[1]} and '
                f'{expected[0]} seeds: change decode_head in the config, or fit again from the unfitted checkpoint.')
        for name in STATE:
            setattr(self, name, torch.empty_like(given[name], device=self.fitted.device))
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys,
                                      error_msgs)
