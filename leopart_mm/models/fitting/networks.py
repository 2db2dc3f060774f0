"""Networks by what they compute: their fingerprints, their caches, and further networks that stages read."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from leopart_mm.geometry.patch_grid import Extent, image_extent
from leopart_mm.models.backbones.features import DenseFeatures
from leopart_mm.models.fitting.feature_batch import FeatureBatch
from leopart_mm.models.fitting.feature_cache import FeatureCache
from leopart_mm.models.fitting.joining import join
from leopart_mm.models.fitting.requests import Requests
from leopart_mm.registry import MODELS

# Attributes that every module has, or that say where MMEngine got its weights: they do not change what it computes.
ORIGIN = {*vars(nn.Module()), 'init_cfg', '_is_init', '_params_init_info'} - {'training'}

# Settings that do not change what a frozen network with these weights computes: for training, or the weights' origin.
OF_TRAINING = {'frozen_stages', 'trainable_blocks', 'with_cp', 'joint_sizes', 'compiled',
               'drop_path_mode', 'training', 'drop_registers', 'mean', 'std', 'checkpoint', 'options'}
PLAIN = str | int | float | bool | None


def network_fingerprint(*modules: nn.Module) -> str:
    """Of what modules compute: types and settings of all their parts, and the content of parameters and buffers.

    Where the weights came from does not matter: see `origin` of PretrainedBackbone. A setting that has no text of its
    own (an object) makes a fingerprint that no other module has, so that nothing is shared by mistake.
    """
    digest = hashlib.blake2b(digest_size=16)
    for module in modules:
        for name, part in module.named_modules():
            ignored = ORIGIN | set(getattr(part, 'origin', ()))
            settings = sorted((key, _text(value)) for key, value in vars(part).items() if key not in ignored)
            digest.update(f'{name} {type(part).__module__}.{type(part).__qualname__} {settings}'.encode())
        for name, value in (*module.named_parameters(), *module.named_buffers()):
            array = value.detach().cpu().contiguous()
            digest.update(f'{name} {array.dtype} {tuple(array.shape)}'.encode())
            digest.update(array.view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def network_settings(module: nn.Module) -> dict[str, Any]:
    """What a frozen module computes, as values that JSON can hold: its type, its plain settings, and its weights."""
    ignored = ORIGIN | OF_TRAINING | set(getattr(module, 'origin', ()))
    settings = {key: value for key, value in vars(module).items()
                if key not in ignored and not key.startswith('_') and _is_plain(value)}
    return dict(type=type(module).__name__, **settings, weights=weights_fingerprint(module))


def colour_settings(preprocessor: nn.Module) -> dict[str, Any]:
    """How a data preprocessor normalises: `mean` and `std` of the channels, 0..1, in the order that the network sees
    (None without any), and whether it turns BGR into RGB or back."""
    mean, std = ([round(number / 255, 9) for number in getattr(preprocessor, name).flatten().tolist()]
                 if getattr(preprocessor, '_enable_normalize', False) else None for name in ('mean', 'std'))
    turns = getattr(preprocessor, 'channel_conversion', getattr(preprocessor, '_channel_conversion', False))
    return dict(mean=mean, std=std, bgr_to_rgb=bool(turns))


def _is_plain(value: Any) -> bool:
    return isinstance(value, PLAIN) or (isinstance(value, list | tuple) and all(map(_is_plain, value)))


def weights_fingerprint(module: nn.Module) -> str:
    """Of the names and numbers of parameters and buffers."""
    digest = hashlib.blake2b(digest_size=12)
    for name, value in module.state_dict().items():
        array = value.detach().cpu().contiguous()
        digest.update(f'{name} {array.dtype} {tuple(array.shape)}'.encode())
        digest.update(array.view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def model_key(model: Any, fp16: bool = False) -> str:
    """Which cache of NetworkCaches holds the features of a model: those of its backbone and neck."""
    parts = [model.backbone, model.neck] if getattr(model, 'with_neck', False) else [model.backbone]
    return f'{network_fingerprint(*parts)}{" fp16" if fp16 else ""}'


def _text(value: Any) -> str:
    return getattr(value, '__qualname__', None) or repr(value)


def padding_of(meta: Mapping[str, Any]) -> tuple[int, int, int, int]:
    """(left, right, top, bottom) pixels of an input that are no image."""
    return meta.get('img_padding_size', meta.get('padding_size', (0, 0, 0, 0)))


def extents_on_grid(backbone: nn.Module, size: tuple[int, int], grid: tuple[int, int],
                    metas: Sequence[Mapping[str, Any]]) -> list[Extent]:
    """Where images lie on the patch grid of a backbone, whose inputs of `size` (H, W) pixels they fill but for padding.

    A backbone that resizes its inputs has no fixed number of pixels per cell.
    """
    resizes = getattr(backbone, 'size_mode', 'resize') == 'resize'
    cell_size = None if resizes else getattr(backbone, 'patch_size', None)
    return [image_extent(size, grid, padding_of(meta), cell_size) for meta in metas]


class Network:
    """A further network that a stage reads, beside the backbone of the model; built when it is needed first.

    A stage names it in `Requests.networks` and finds its features in `FeatureBatch.others`. It sees the images as they
    are normalised for the model, and runs in full precision.

    Args:
        config: Config of a backbone with `forward_dense`, with its `checkpoint`.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = dict(config)
        self._module: nn.Module | None = None
        self._key: str | None = None

    @property
    def module(self) -> nn.Module:
        """The backbone, with its weights."""
        if self._module is None:
            with torch.random.fork_rng(devices=[]):  # what else is drawn does not depend on it
                self._module = MODELS.build(self.config).eval().requires_grad_(False)
                self._module.init_weights()
        return self._module

    @property
    def key(self) -> str:
        """Its fingerprint; known without the network once it was computed."""
        if self._key is None:
            self._key = network_fingerprint(self.module)
        return self._key

    @torch.no_grad()
    def __call__(self, images: Tensor, requests: Requests) -> DenseFeatures:
        """Features of images (B, C, H, W), normalised."""
        with torch.autocast(images.device.type, enabled=False):
            return self.module.to(images.device).forward_dense(images, **requests.of_attention)

    def release(self) -> None:
        """Drop the network from memory; one without a checkpoint, whose weights are nowhere else, stays."""
        if self.config.get('checkpoint') is not None:
            self._module = None


class NetworkCaches:
    """A FeatureCache per network, found by the network's fingerprint: what models of equal backbones share.

    Args:
        place, half: As in ImageCache.
    """

    def __init__(self, place: str | None = 'auto', half: bool = False) -> None:
        self.place = place
        self.half = half
        self.images = 0
        self._caches: dict[str, FeatureCache] = {}

    def expect(self, images: int) -> None:
        """Count on at least this many images per network in the choice of a place."""
        self.images = max(self.images, images)

    def of(self, key: str) -> FeatureCache:
        """The cache of a network, by its fingerprint."""
        if key not in self._caches:
            self._caches[key] = FeatureCache(self.place, self.half)
        self._caches[key].tensors.expect(self.images)
        return self._caches[key]

    def has(self, key: str, requests: Requests) -> bool:
        """Whether all that is asked of further networks is kept of an image."""
        return all(self.of(network.key).has(key, _map_of(asked), asked) for network, asked in requests.networks)

    def extract(self, network: Network, requests: Requests, keys: Sequence[str], device: torch.device,
                inputs: Tensor | None = None, metas: Sequence[Mapping[str, Any]] = ()) -> DenseFeatures:
        """Features of images from the cache of a further network, or else from the network.

        Args:
            network: Which network.
            requests: What is needed of it.
            keys: B keys of the images; empty: nothing is kept of them.
            device: Where the features are wanted.
            inputs: (B, C, H, W), normalised; not needed for images that `has` finds.
            metas: B metainfos of the images, likewise.
        """
        if not keys:
            return network(inputs, requests)
        cache, in_index = self.of(network.key), _map_of(requests)
        known = [index for index, key in enumerate(keys) if cache.has(key, in_index, requests)]
        unknown = sorted(set(range(len(keys))) - set(known))
        parts = []
        if known:
            chosen = [keys[index] for index in known]
            features, extents = cache.get(chosen, in_index, requests, device)
            parts.append((known, FeatureBatch(features, None, [''] * len(known), extents, cache_keys=chosen)))
        if unknown:
            cache.computed += len(unknown)
            computed = cache.with_expected(requests)
            features = network(inputs[unknown], computed)
            extents = extents_on_grid(network.module, tuple(inputs.shape[-2:]), features.grid,
                                      [metas[index] for index in unknown])
            part = FeatureBatch(features, None, [''] * len(unknown), extents,
                                cache_keys=[keys[index] for index in unknown])
            cache.put(part, _map_of(computed), computed)
            parts.append((unknown, part))
        return parts[0][1].features if len(parts) == 1 else join(parts).features

    @property
    def computed(self) -> int:
        """Number of images that went through a network, repeats and other networks counted."""
        return sum(cache.computed for cache in self._caches.values())

    def discard_maps(self) -> None:
        """Drop all maps; what else is kept of the images stays."""
        for cache in self._caches.values():
            cache.discard_all_maps()

    def close(self) -> None:
        """Drop everything and remove temporary files."""
        for cache in self._caches.values():
            cache.close()


def _map_of(requests: Requests) -> int | None:
    """Which map of a further network is asked for."""
    return -1 if requests.maps else None
