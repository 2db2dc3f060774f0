"""OverclusterHead: standardise, PCA, k-means over dense features, with what was fitted in the checkpoint."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from leopart_mm.clustering.kmeans import assign
from leopart_mm.clustering.kmeans_fit import KMeansSettings, fit_kmeans
from leopart_mm.clustering.moments import Moments
from leopart_mm.clustering.pca import principal_directions
from leopart_mm.models.fitting.base import FittableHead
from leopart_mm.models.fitting.debias import build_debias
from leopart_mm.models.fitting.feature_batch import FeatureBatch
from leopart_mm.models.fitting.prediction import Prediction
from leopart_mm.models.fitting.processes import broadcast_result, gather_parts
from leopart_mm.registry import MODELS

CHUNK = 2**14  # vectors that are reduced at a time


@MODELS.register_module()
class OverclusterHead(FittableHead):
    """Clusters dense features into many more groups than there are classes (docs/methods/leopart.md §8).

    `fit` reads the features once: exact mean, standard deviation and covariance over all of them and a bounded random
    sample, on which k-means runs with every seed. Memory does not grow with the data set.

    Args:
        num_clusters: Number of clusters K.
        seeds: k-means seeds, or their number (5 means 0..4). All clusterings are fitted and predicted together; the
            first is the one that pictures and inference show.
        in_index: Which map of the backbone is read.
        standardise: Subtract the mean and divide by the population standard deviation of every channel.
        pca_dim: Principal directions kept; None keeps the channels as they are.
        normalize: Divide every feature vector by its length first.
        feature_size: Resize the maps bilinearly to (h, w) before everything; None keeps the patch grid.
        debias: Config of a PositionDebias, which takes position out of the features before everything: dict(type=
            'leopart_mm.BlackImageDebias', rank=16). None: the features as they are.
        kmeans: Further arguments of KMeansSettings: `niter`, `nredo`, `screen`, `spherical`,
            `max_points_per_centroid`, `num_samples`, `sample_seed`.

    Attributes:
        num_classes, out_channels: K, for mmseg's EncoderDecoder.
        mean, projection, centroids: Fitted: (C,), (D, C) and (S, K, D).

    Raises:
        ValueError: If a setting is out of range.
    """

    STATE = ('mean', 'projection', 'centroids')
    can_reduce = True

    def __init__(self,
                 num_clusters: int,
                 seeds: int | Sequence[int] = 5,
                 in_index: int = -1,
                 standardise: bool = True,
                 pca_dim: int | None = 50,
                 normalize: bool = False,
                 feature_size: tuple[int, int] | None = None,
                 debias: dict | None = None,
                 init_cfg: dict | list | None = None,
                 **kmeans: Any) -> None:
        super().__init__(init_cfg)
        self.kmeans = KMeansSettings(num_clusters, seeds, **kmeans)
        self.seeds = self.kmeans.seeds
        self.num_clusters = self.num_classes = self.out_channels = num_clusters
        self.in_index = in_index
        self.standardise = standardise
        self.pca_dim = pca_dim
        self.normalize = normalize
        self.feature_size = None if feature_size is None else tuple(feature_size)
        self.debias = build_debias(debias)

    def settings(self) -> dict[str, Any]:
        """K, the seeds and the debias."""
        return dict(num_clusters=self.num_clusters, seeds=list(self.seeds), **self.debias_settings())

    def settings_of_older(self, info: dict[str, Any], values: Mapping[str, Tensor]) -> dict[str, Any]:
        """K and the seeds of a checkpoint whose `fit_info` has no settings."""
        return dict(num_clusters=values['centroids'].shape[1], seeds=info['seeds'])

    def prepare(self, maps: Sequence[Tensor]) -> Tensor:
        """The map that is clustered, (B, C, h, w) float32, debiased, resized and normalised as configured."""
        features = self.debiased(maps)
        if self.feature_size is not None:
            features = F.interpolate(features, self.feature_size, mode='bilinear', align_corners=False)
        return F.normalize(features, dim=1) if self.normalize else features

    @torch.no_grad()
    def fit(self, stream: Iterable[FeatureBatch]) -> None:
        """Fit on a stream of features; with several processes, on the parts of all of them together.

        Raises:
            ValueError: If there are no features, features with NaN, fewer vectors than clusters, or fewer channels than
                `pca_dim`. With several processes it is raised on all of them.
        """
        device = self.fitted.device
        parts = gather_parts(lambda: self._read(stream))
        self.keep(*broadcast_result(lambda: self._solve(parts, device)))

    def _read(self, stream: Iterable[FeatureBatch]) -> dict[str, Any]:
        """Moments and sample of the images of this process, from a single pass."""
        moments, sample, images = Moments(), self.kmeans.new_sample(), 0
        for batch in stream:
            features = self.prepare(batch.features.maps)
            for index, name in enumerate(batch.names):
                rows, columns, _ = batch.content(index, tuple(features.shape[-2:]))
                tokens = features[index, :, rows, columns].flatten(1).T
                moments.update(tokens, name)
                sample.update(batch.keys[index], tokens)
                images += 1
        return dict(moments=moments.state(), sample=sample.state(), images=images)

    def _solve(self, parts: list[dict[str, Any]], device: torch.device) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """PCA and k-means of what all processes read."""
        moments = Moments.merged([part['moments'] for part in parts])
        mean, projection = self._projection(moments)
        # Reduced before they are merged: a seventh of the memory.
        reduced = []
        for part in parts:
            priorities, vectors = part.pop('sample')
            on_device = (vectors, mean.to(vectors.device), projection.to(vectors.device))
            reduced.append((priorities, project(*on_device) if len(vectors) else vectors))
            del vectors
        points = self.kmeans.merge_samples(reduced).to(device)
        centroids = fit_kmeans(points, self.kmeans)
        info = dict(images=sum(part['images'] for part in parts), tokens=moments.count, sampled=len(points),
                    seeds=list(self.seeds))
        return dict(mean=mean, projection=projection, centroids=centroids), info

    def _projection(self, moments: Moments) -> tuple[Tensor, Tensor]:
        """Mean (C,) and projection (D, C) that together standardise and reduce, float32."""
        std = moments.std() if self.standardise else torch.ones_like(moments.mean)
        if self.pca_dim is None:
            mean = moments.mean if self.standardise else torch.zeros_like(moments.mean)
            return mean.float().cpu(), torch.diag(1 / std).float().cpu()
        directions, _ = principal_directions(moments.covariance() / torch.outer(std, std), self.pca_dim)
        return moments.mean.float().cpu(), (directions / std).float().cpu()

    @torch.no_grad()
    def reduce(self, maps: Sequence[Tensor]) -> Tensor:
        """What is clustered: (B, D, h, w) standardised, reduced features.

        Raises:
            NotFittedError: If nothing was fitted or loaded.
            ValueError: If the maps have another number of channels than those fitted on.
        """
        self.require_fitted()
        with torch.autocast(maps[self.in_index].device.type, enabled=False):
            features = self.prepare(maps)
            batch, channels, height, width = features.shape
            if channels != len(self.mean):
                raise ValueError(f'OverclusterHead was fitted on {len(self.mean)} channels, but the backbone gives '
                                 f'{channels}: the checkpoint belongs to another backbone or in_index.')
            vectors = features.permute(0, 2, 3, 1).reshape(-1, channels)
            reduced = project(vectors, self.mean, self.projection)
            return reduced.view(batch, height, width, -1).permute(0, 3, 1, 2)

    @torch.no_grad()
    def predict(self, batch: FeatureBatch | Sequence[Tensor], batch_img_metas: list[dict] | None = None,
                test_cfg: dict | None = None) -> Prediction | Tensor:
        """Cluster ids (S, B, h, w) of every seed; from `features.reduced` where the batch has it.

        mmseg's EncoderDecoder calls this with maps and metainfo instead: it gets scores at the size of the image.

        Raises:
            NotFittedError: If nothing was fitted or loaded.
            ValueError: If the maps have another number of channels than those fitted on.
        """
        if batch_img_metas is not None:
            return self.image_scores(batch, batch_img_metas)
        reduced = self.reduce(batch.features.maps) if batch.features.reduced is None else batch.features.reduced
        self.require_fitted()
        number, channels, height, width = reduced.shape
        with torch.autocast(reduced.device.type, enabled=False):
            vectors = reduced.permute(0, 2, 3, 1).reshape(-1, channels)
            labels = assign(vectors, self.centroids, self.kmeans.spherical)
        labels = labels.view(len(self.seeds), number, height, width)
        return Prediction(labels, batch.extents_on((height, width)), self.num_clusters)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Scores (B, K, h, w) of the first seed, linear in the features; the largest is the nearest centroid's."""
        reduced = self.reduce(maps)
        with torch.autocast(reduced.device.type, enabled=False):
            centroids = self.centroids[0]
            scores = reduced.permute(0, 2, 3, 1) @ centroids.T
            if not self.kmeans.spherical:
                scores = 2 * scores - centroids.square().sum(1)
            return scores.permute(0, 3, 1, 2)


def project(vectors: Tensor, mean: Tensor, projection: Tensor) -> Tensor:
    """(vectors - mean) @ projection.T, (n, C) to (n, D), a part at a time."""
    if torch.compiler.is_compiling() or len(vectors) <= CHUNK:  # an exported graph has no such choice
        return (vectors - mean) @ projection.T
    return torch.cat([(part - mean) @ projection.T for part in vectors.split(CHUNK)])
