"""DeepLabHead: torchvision's head, key by key, and its linear probe."""

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torchvision.models.segmentation.deeplabv3 import DeepLabHead as TorchvisionHead

from leopart_mm.checkpoints.safe_reading import BackboneCheckpointError
from leopart_mm.models.decode_heads import DeepLabHead


def small(**kwargs):
    return DeepLabHead(6, 4, (1, 2), num_classes=3, **kwargs)


def test_it_is_torchvisions():
    with torch.device('meta'):
        ours = DeepLabHead(2048, num_classes=21)
        theirs = TorchvisionHead(2048, 21, (12, 24, 36))
    assert {key: value.shape for key, value in ours.layers.state_dict().items()} == {
        key: value.shape for key, value in theirs.state_dict().items()}
    assert [str(module) for module in ours.layers.modules()][1:] == [str(module) for module in theirs.modules()][1:]
    assert {name.split('.')[0] for name, _ in ours.named_parameters()} == {'layers'}
    assert small(dropout_ratio=0.25).layers[0].project[3].p == 0.25


def test_a_probe_trains_its_classifier_alone():
    torch.manual_seed(0)
    head = small(frozen=True)
    head.init_weights()
    assert [name for name, value in head.named_parameters() if value.requires_grad] == [
        'layers.4.weight', 'layers.4.bias']
    assert not head.classifier.bias.any()
    assert 0 < head.classifier.weight.std() < 0.02
    before = {key: value.clone() for key, value in head.state_dict().items()}
    maps = torch.randn(1, 6, 5, 7)
    first, second = (head.train()([maps]) for _ in range(2))  # without dropout, and a single image is enough
    assert torch.equal(first, second)
    assert torch.equal(first, head.eval()([maps]))
    assert all(torch.equal(value, before[key]) for key, value in head.state_dict().items())


def test_a_batch_of_one_is_refused_with_the_cure():
    with pytest.raises(ValueError, match='batch_size=2'):
        small().train()([torch.randn(1, 6, 5, 7)])
    assert small().eval()([torch.randn(1, 6, 5, 7)]).shape == (1, 3, 5, 7)


def test_losses_are_those_of_upsampled_logits():
    torch.manual_seed(0)
    head = small(loss_decode=dict(type='leopart_mm.OHEMCrossEntropyLoss', share=1.)).eval()
    maps, labels = [torch.randn(2, 6, 4, 4)], torch.randint(0, 3, (2, 1, 16, 16))
    samples = [SegDataSample(gt_sem_seg=PixelData(data=label)) for label in labels]
    up = torch.nn.functional.interpolate(head(maps), (16, 16), mode='bilinear', align_corners=False)
    expected = torch.nn.functional.cross_entropy(up, labels[:, 0])
    losses = head.loss(maps, samples, {})
    torch.testing.assert_close(losses['loss_ohem'], expected)


def test_nothing_is_silently_missing():
    state = small().state_dict()
    for broken in ({key: value for key, value in state.items() if 'convs.1' not in key},
                   DeepLabHead(6, 4, (1, 2), num_classes=5).state_dict()):
        with pytest.raises(BackboneCheckpointError, match=r'does not fit DeepLabHead: layers\.'):
            small().load_state_dict(broken, strict=False)
    small().load_state_dict(state)
