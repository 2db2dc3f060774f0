"""A stand-in for mmcv's compiled operators where mmcv-lite is installed.

`import mmseg.models` needs `mmcv._ext`, which mmcv-lite lacks. The stand-in answers every operator name, so that the
import works; `nms` and `roi_align` are computed by torchvision, and any other operator raises when it is called.
"""

import importlib
import sys
import types
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from typing import Any

from torch import Tensor

EXTENSION = 'mmcv._ext'


def has_compiled_ops() -> bool:
    """Whether `mmcv._ext` is the real one: compiled by mmcv, not our stand-in."""
    module = sys.modules.get(EXTENSION)
    if module is not None:
        return not getattr(module, 'is_leopart_mm_fallback', False)
    try:
        importlib.import_module(EXTENSION)
    except ImportError:
        return False
    return True


def install_mmcv_ops() -> bool:
    """Install the stand-in if mmcv has no compiled operators; returns whether it is (now) in use."""
    try:
        import mmcv
    except ImportError:
        return False  # the doctor says what to install; nothing here can help
    if has_compiled_ops():
        return False
    if EXTENSION not in sys.modules:
        fallback = _FallbackOps(EXTENSION)
        sys.modules[EXTENSION] = fallback
        mmcv._ext = fallback
    return True


class _FallbackOps(types.ModuleType):
    """A module that has every attribute mmcv may ask for."""

    is_leopart_mm_fallback = True

    def __init__(self, name: str) -> None:
        super().__init__(name, 'Fallback operators of leopart_mm for mmcv-lite.')
        # A module without a spec makes `mmengine.mmcv_full_available()` raise instead of answering False.
        self.__spec__ = ModuleSpec(name, None)
        self.nms = _nms
        self.roi_align_forward = _roi_align_forward
        self.roi_align_backward = _roi_align_backward

    def __getattr__(self, name: str) -> Callable:
        if name.startswith('__'):
            raise AttributeError(name)
        return _missing_op(name)


def _missing_op(name: str) -> Callable:

    def op(*args: Any, **kwargs: Any) -> None:
        raise NotImplementedError(
            f'The compiled mmcv operator "{name}" is needed, but mmcv-lite is installed, which has none. '
            'Install full mmcv (pip uninstall mmcv-lite; pip install "mmcv==2.1.0", 15 minutes to compile) or use a '
            'model without this operator.')

    op.__name__ = name
    return op


def _nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int = 0) -> Tensor:
    """Indices of the boxes kept; `offset=1` is mmcv's convention of inclusive right and bottom borders."""
    from torchvision.ops import nms
    if offset:
        boxes = boxes.clone()
        boxes[:, 2:] += offset
    return nms(boxes, scores, float(iou_threshold))


def _roi_align_forward(input: Tensor, rois: Tensor, output: Tensor, argmax_y: Tensor, argmax_x: Tensor,
                       aligned_height: int, aligned_width: int, spatial_scale: float, sampling_ratio: int,
                       pool_mode: int, aligned: bool) -> None:
    if pool_mode != 1:
        _missing_op('roi_align_forward (pool_mode="max")')()
    from torchvision.ops import roi_align
    output.copy_(
        roi_align(input, rois, (aligned_height, aligned_width), spatial_scale,
                  sampling_ratio if sampling_ratio > 0 else -1, aligned))


def _roi_align_backward(grad_output: Tensor, rois: Tensor, argmax_y: Tensor, argmax_x: Tensor, grad_input: Tensor,
                        aligned_height: int, aligned_width: int, spatial_scale: float, sampling_ratio: int,
                        pool_mode: int, aligned: bool) -> None:
    if pool_mode != 1:
        _missing_op('roi_align_backward (pool_mode="max")')()
    import torch
    batch, channels, height, width = grad_input.shape
    grad_input.copy_(
        torch.ops.torchvision._roi_align_backward(grad_output.contiguous(), rois, spatial_scale, aligned_height,
                                                  aligned_width, batch, channels, height, width,
                                                  sampling_ratio if sampling_ratio > 0 else -1, aligned))
