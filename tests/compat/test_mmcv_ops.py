"""The stand-in for mmcv's compiled operators: import works, torchvision answers, the rest says what is missing."""

import subprocess
import sys

import pytest
import torch
from torchvision.ops import nms as torchvision_nms
from torchvision.ops import roi_align as torchvision_roi_align

from leopart_mm.compat.mmcv_ops import _FallbackOps, _nms, has_compiled_ops, install_mmcv_ops


def test_mmseg_models_import_after_leopart_mm():
    code = 'import leopart_mm, mmseg.models, mmpretrain.models; print("ok")'
    run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False)
    assert run.stdout.strip().endswith('ok'), run.stderr


def test_full_mmcv_availability_is_answered_not_raised():
    from mmengine.model.utils import mmcv_full_available
    assert mmcv_full_available() is has_compiled_ops()


def test_install_does_nothing_where_ops_are_compiled(monkeypatch):
    import types
    compiled = types.ModuleType('mmcv._ext')
    monkeypatch.setitem(sys.modules, 'mmcv._ext', compiled)
    assert install_mmcv_ops() is False
    assert sys.modules['mmcv._ext'] is compiled


def test_missing_operator_is_named():
    ops = _FallbackOps('mmcv._ext')
    with pytest.raises(NotImplementedError, match=r'"deform_conv_forward".*mmcv-lite'):
        ops.deform_conv_forward(torch.zeros(1))
    with pytest.raises(AttributeError):
        _ = ops.__file__


def test_nms_offset_is_the_inclusive_border():
    boxes = torch.tensor([[0., 0., 9., 9.], [0., 0., 9., 4.], [20., 20., 29., 29.]])
    scores = torch.tensor([.9, .8, .7])
    assert _nms(boxes, scores, 0.45, offset=1).tolist() == [0, 2]  # IoU 50/100 with inclusive borders
    assert _nms(boxes, scores, 0.45, offset=0).tolist() == torchvision_nms(boxes, scores, 0.45).tolist() == [0, 1, 2]


@pytest.mark.skipif(has_compiled_ops(), reason='full mmcv is installed: its own operators are used')
def test_mmcv_roi_align_forward_and_backward_equal_torchvision():
    from mmcv.ops import roi_align
    image = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    boxes = torch.tensor([[0, .5, 1., 5., 6.], [1, 2., 2., 7.5, 7.]])
    ours, theirs = image.clone().requires_grad_(), image.clone().requires_grad_()
    out = roi_align(ours, boxes, (3, 3), 1.0, 0, 'avg', True)
    expected = torchvision_roi_align(theirs, boxes, (3, 3), 1.0, -1, True)
    out.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(ours.grad, theirs.grad)
