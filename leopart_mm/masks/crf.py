"""Fully connected CRF: sharpens class probabilities of an image to its edges, by mean-field inference.

Source: docs/methods/primaps.md §5 and §2.4.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from leopart_mm.devices import in_float64, move
from leopart_mm.late_checks import check_at_once
from leopart_mm.masks.crf_exact import exact_messages
from leopart_mm.masks.crf_lattice import lattice_messages
from leopart_mm.masks.crf_library import library_marginals

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_MESSAGES = dict(lattice=lattice_messages, exact=exact_messages)
BACKENDS = (*_MESSAGES, 'pydensecrf')
BYTES = ('round', 'truncate')
COPIES = 6  # of an array of all marginals that inference holds at once, see `_require_memory`


@dataclass(frozen=True)
class CRFSettings:
    """How the CRF works; the defaults are those of all systems in scope.

    ======================================  ==========  ========  =========  ==========  ======  =======  ======
    system                                  iterations  smooth_*  appear. w  appear. xy  rgb     min p    bytes
    ======================================  ==========  ========  =========  ==========  ======  =======  ======
    PriMaPs-EM (primaps.md §5)              10          3, 1 px   4          67 px       3       1e-5     truncate
    STEGO, HP (inside PriMaPs, same §5)     10          3, 1 px   4          67 px       3       1e-5     truncate
    MaskDistill (maskdistill.md §9.1)       10          3, 1 px   4          67 px       3       1e-5     as read
    ======================================  ==========  ========  =========  ==========  ======  =======  ======

    Published results differ from the defaults in `bytes` only (PriMaPs truncates; MaskDistill hands over the bytes of
    the file, for which the option has no effect), and in `backend`: theirs is the library 'pydensecrf'.

    Args:
        iterations: Mean-field updates, >= 0; 0 gives the probabilities that come in.
        smooth_weight: Weight of the smoothness kernel, >= 0; 0 leaves it out.
        smooth_xy: Its standard deviation in pixels.
        appearance_weight: Weight of the appearance kernel, >= 0; 0 leaves it out.
        appearance_xy: Its standard deviation in pixels.
        appearance_rgb: Its standard deviation in colours, 0..255.
        min_probability: Probabilities are clipped to at least this before the logarithm, in (0, 1).
        bytes: How a normalised image becomes bytes, see `to_bytes`: 'round', or 'truncate' as published.
        backend: Who filters:

            - 'lattice': permutohedral lattice, an approximation, the one of the published library. It runs where the
              log-probabilities are, on the CPU or a CUDA device (not tried on a card yet). On the latter the host waits
              three times per image, to build the lattice, and never during the updates.
            - 'exact': all pairs of pixels. Time grows with the square of the pixels: for images up to ~100 x 100.
            - 'pydensecrf': the library, if it is importable (PyPI package pydensecrf2; CPU).

    Raises:
        ValueError: If a value is out of range.
    """

    iterations: int = 10
    smooth_weight: float = 3.
    smooth_xy: float = 1.
    appearance_weight: float = 4.
    appearance_xy: float = 67.
    appearance_rgb: float = 3.
    min_probability: float = 1e-5
    bytes: str = 'round'
    backend: str = 'lattice'

    def __post_init__(self) -> None:
        if self.iterations < 0:
            raise ValueError(f'CRFSettings: iterations={self.iterations} must not be negative.')
        for name in ('smooth_weight', 'appearance_weight'):
            if not 0 <= getattr(self, name) < float('inf'):
                raise ValueError(f'CRFSettings: {name}={getattr(self, name)} must be a number from 0 on; 0 leaves the '
                                 'kernel out.')
        for name in ('smooth_xy', 'appearance_xy', 'appearance_rgb'):
            if not 0 < getattr(self, name) < float('inf'):
                raise ValueError(f'CRFSettings: {name}={getattr(self, name)} must be a positive number; a kernel is '
                                 'left out by its weight 0.')
        if not 0 < self.min_probability < 1:
            raise ValueError(f'CRFSettings: min_probability={self.min_probability} must lie in (0, 1).')
        for name, known in (('bytes', BYTES), ('backend', BACKENDS)):
            if getattr(self, name) not in known:
                raise ValueError(f'CRFSettings: {name}={getattr(self, name)!r} is unknown; known are: '
                                 f'{", ".join(known)}.')


DEFAULTS = CRFSettings()


def to_bytes(normalised: Tensor, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD,
             mode: str = 'round') -> Tensor:
    """A normalised image as the bytes that the CRF reads.

    Source: docs/methods/primaps.md §2.4.

    Args:
        normalised: (3, H, W) float, or (B, 3, H, W): (rgb / 255 - mean) / std.
        mean: Of the channels, on the scale 0..1.
        std: Of the channels, on the scale 0..1.
        mode: 'round': what was a byte before becomes the same byte. 'truncate': the published way, by which many
            bytes come back one lower.

    Returns:
        (H, W, 3) uint8, RGB; or (B, H, W, 3). Values beyond 0..255 become the nearest byte.

    Raises:
        ValueError: If the mode is unknown.
    """
    if mode not in BYTES:
        raise ValueError(f'to_bytes: mode={mode!r} is unknown; known are: {", ".join(BYTES)}.')
    mean, std = (move(torch.as_tensor(values, dtype=torch.float32), normalised.device)[:, None, None]
                 for values in (mean, std))
    values = (normalised.float() * std + mean) * 255
    values = values.round() if mode == 'round' else values.trunc()
    return values.clamp(0, 255).to(torch.uint8).movedim(-3, -1).contiguous()


def truncate_bytes(image: Tensor, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD) -> Tensor:
    """What the published round trip makes of bytes: normalised, un-normalised and truncated.

    Args:
        image: (H, W, 3) uint8, RGB.
        mean: Of the channels, on the scale 0..1.
        std: Of the channels, on the scale 0..1.

    Returns:
        (H, W, 3) uint8, some bytes lower by one.
    """
    mean, std = (move(torch.tensor(values), image.device)[:, None, None] for values in (mean, std))
    return to_bytes((image.movedim(-1, -3).float() / 255 - mean) / std, mean.flatten(), std.flatten(), 'truncate')


def crf_unary(log_probs: Tensor, size: tuple[int, int], settings: CRFSettings = DEFAULTS) -> Tensor:
    """The unary energies: log-probabilities bilinear to pixels, softmax, -log with clipping.

    Args:
        log_probs: (L, h, w) or (S, L, h, w): log-probabilities, or logits of any offset. -inf is a probability of 0.
        size: (H, W) of the image.
        settings: `min_probability` is read.

    Returns:
        (L, H, W) or (S, L, H, W) float32, >= 0.

    Raises:
        ValueError: If the shape is another one, a value is NaN or inf, or a cell has no probability at all.
    """
    if log_probs.ndim not in (3, 4) or 0 in log_probs.shape:
        raise ValueError(f'The CRF takes log-probabilities (L, h, w) or (S, L, h, w), not {tuple(log_probs.shape)}.')
    maps = log_probs.float()
    if maps.device.type == 'cuda' or not torch.isfinite(maps).all():
        peaks = maps.amax(-3, keepdim=True)  # NaN where a value is
        check_at_once((~torch.isfinite(peaks)).sum(),
                      lambda wrong: f'The CRF got log-probabilities that are NaN or infinite at {wrong} of '
                                    f'{peaks.numel()} cells: a feature before it is not finite.')
        maps = (maps - peaks).clamp_min(-1e4)  # interpolation cannot weigh -inf by 0; exp(-1e4) is 0
    if tuple(maps.shape[-2:]) != tuple(size):
        batched = maps if maps.ndim == 4 else maps[None]
        maps = F.interpolate(batched, tuple(size), mode='bilinear', align_corners=False).view(*maps.shape[:-2], *size)
    return maps.softmax(-3).clamp_(settings.min_probability, 1.).log_().neg_()


@torch.no_grad()
def dense_crf(log_probs: Tensor, image: Tensor, settings: CRFSettings = DEFAULTS) -> Tensor:
    """Marginals of a fully connected CRF over the pixels of an image, by mean-field inference.

    Potts compatibility, a Gaussian kernel on positions and a bilateral one on positions and colours, both with
    symmetric normalisation, self-messages included: Q <- softmax(-U + sum over kernels of weight * (N k N) Q).
    Variants that share an image share its kernels too: several at once cost less than one by one, and each gives the
    same as alone. Time and memory grow with pixels times labels times variants:
    2,000 x 1,500 px with 27 labels take 2.4 GB beside what was there (the library and its arrays 3.0 GB), 30 s on a
    core; 320 x 320 px 0.1 GB and 0.65 s.

    Source: docs/methods/primaps.md §5.

    Args:
        log_probs: (L, h, w), or (S, L, h, w) of S variants: log-probabilities or logits, see `crf_unary`. A map of
            another size than the image is brought to it bilinearly.
        image: (H, W, 3) uint8, RGB (the order has no influence), on any device.
        settings: See CRFSettings.

    Returns:
        (L, H, W) or (S, L, H, W) float32 probabilities, on the device of `log_probs`.

    Raises:
        ValueError: If a shape or type is wrong, or log-probabilities are NaN; see `crf_unary`.
        ImportError: If the backend is 'pydensecrf' and the library is missing.
        MemoryError: If marginals of this size cannot be held in this machine's memory.
    """
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape or image.dtype != torch.uint8:
        raise ValueError(f'The CRF takes an image (H, W, 3) of uint8, not {tuple(image.shape)} of {image.dtype}: '
                         'leopart_mm.masks.crf.to_bytes makes bytes of a normalised image.')
    size = tuple(image.shape[:2])
    _require_memory(log_probs, size)
    unary = crf_unary(log_probs, size, settings)
    shape, device = unary.shape, unary.device
    if shape[-3] == 1:
        return torch.ones_like(unary)
    variants = unary if unary.ndim == 4 else unary[None]
    if settings.backend == 'pydensecrf':
        found = [library_marginals(variant, image, settings) for variant in variants]
        return torch.stack(found).to(device).view(shape)
    place = device if device.type == 'cuda' else torch.device('cpu')
    energies = variants.flatten(2).permute(2, 0, 1).to(place).contiguous()  # (N, S, L): labels of a pixel side by side
    if settings.backend == 'exact':
        energies = in_float64(energies)
    del unary, variants  # on large images each of these arrays counts
    marginals = mean_field(energies, _MESSAGES[settings.backend](image.to(place), settings), settings.iterations)
    del energies
    return marginals.permute(1, 2, 0).float().contiguous().to(device).view(shape)


def mean_field(unary: Tensor, messages: Callable[[Tensor, Tensor], None], iterations: int) -> Tensor:
    """Mean-field updates of all pixels at once.

    Args:
        unary: (N, S, L) energies of N pixels, S variants, L labels.
        messages: Adds to its second argument, (N, S * L), the weighted sum of the normalised kernels' messages of its
            first, the marginals.
        iterations: Number of updates.

    Returns:
        (N, S, L) marginals.
    """
    marginals = _softmax_in_place(-unary)
    update = torch.empty_like(marginals)
    for _ in range(iterations):
        torch.neg(unary, out=update)
        messages(marginals.flatten(1), update.flatten(1))
        marginals, update = _softmax_in_place(update), marginals
    return marginals


def _softmax_in_place(logits: Tensor) -> Tensor:
    """Softmax over the last axis, which is short: on a CPU several times faster than torch's where exp cannot overflow.
    """
    if logits.device.type == 'cuda':
        return logits.copy_(logits.softmax(-1))
    low, high = logits.aminmax()
    if low < -60 or high > 60:
        return logits.copy_(logits.softmax(-1))
    return logits.exp_().div_(logits.sum(-1, keepdim=True))


def _require_memory(log_probs: Tensor, size: tuple[int, int]) -> None:
    """Refuse what no memory of this machine can hold, before the system starts to swap."""
    maps = log_probs.shape[:-2].numel()
    needed = 4 * COPIES * maps * size[0] * size[1]
    try:
        memory = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return
    if log_probs.device.type == 'cpu' and needed > memory:
        raise MemoryError(f'The CRF of {maps} maps (labels times variants) of {size[0]} x {size[1]} pixels needs about '
                          f'{needed / 2**30:.0f} GB, this machine has {memory / 2**30:.0f} GB: give it fewer labels, '
                          'fewer variants at once, or smaller images.')
