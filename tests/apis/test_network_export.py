"""Exported networks against the models they come from, run by onnxruntime and torch.export."""

import numpy as np
import pytest
import torch

from leopart_mm.apis import LeopartInferencer
from leopart_mm.apis.network_export import export_network
from leopart_mm.engine.fitted_checkpoint import save_fitted_checkpoint
from leopart_mm.models.fitting.base import GRID
from leopart_mm.registry import MODELS
from tests.apis.builders import config, fitted_checkpoint
from tests.models.backbones.builders import TINY, tiny_vit

STAGES = dict(
    foreground=dict(type='leopart_mm.CBFE', threshold=0.3, map_size=None),
    clusters=dict(type='leopart_mm.ForegroundClustering', num_clusters=5, niter=5, nredo=1, map_size=None),
    communities=dict(type='leopart_mm.CommunityDetection', weight_threshold=1e-4, seeds=2, map_size=None,
                     markov_time=1.))


def fit_chain(path, stages, debias=None):
    """Fit a tiny chain on noise and save it."""
    cfg = config(num_clusters=12)
    cfg.model.postprocessors = {name: stages[name] for name in stages}
    cfg.model.stage_order = list(stages)
    cfg.model.decode_head.debias = debias
    torch.manual_seed(0)
    model = MODELS.build(dict(cfg.model, data_preprocessor=None)).eval()
    with torch.no_grad():
        for parameter in model.backbone.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3 + (parameter.ndim == 1))
    model.backbone._awaits_weights = False
    with torch.no_grad():
        model.fit([model.extract_batch(torch.randn(24, 3, 32, 32), None)])
    save_fitted_checkpoint(model, path, cfg)
    return path


def other_heads(kind, path):
    """A fitted model with another head on random features."""
    cfg = config()
    if kind == 'retrieval':
        cfg.model.type = 'leopart_mm.RetrievalSegmentor'
        cfg.model.decode_head = dict(type='leopart_mm.RetrievalHead', num_classes=3, k=5)
    else:
        cfg.model.type = 'leopart_mm.PrototypeSegmentor'
        cfg.model.decode_head = dict(type='leopart_mm.PrototypeHead', num_prototypes=4)
        cfg.model.objective = dict(type='leopart_mm.CosineKMeans')
    torch.manual_seed(0)
    model = MODELS.build(dict(cfg.model, data_preprocessor=None)).eval()
    model.backbone._awaits_weights = False
    if kind == 'retrieval':
        keys = torch.nn.functional.normalize(torch.randn(100, 32), dim=1)
        counts = torch.randint(0, 60, (100, 3), dtype=torch.uint8)
        model.decode_head.keep(dict(keys=keys, counts=counts), dict(rows=100, channels=32, images=2, patches=100))
    else:
        model._start_at(torch.randn(4, 32))
    save_fitted_checkpoint(model, path, cfg)
    return path


@pytest.mark.parametrize('kind', ['retrieval', 'prototypes'])
def test_other_heads(tmp_path, kind):
    fitted = other_heads(kind, tmp_path / 'fitted.pth')
    export_network(str(fitted), tmp_path / 'model.pt2', (32, 48))
    model = LeopartInferencer(str(fitted)).model
    image = torch.rand(2, 3, 32, 48) * 255
    normal = (image - model.data_preprocessor.mean) / model.data_preprocessor.std
    _, scores, labels = torch.export.load(tmp_path / 'model.pt2').module()(image)
    with torch.no_grad():
        expected = model.encode_decode(normal)
        batch = model.extract_batch(normal, None)
    assert torch.allclose(scores, expected, atol=1e-5)
    assert torch.equal(labels, model.run_stages(batch).hard_labels[0])


def run_onnx(path, image):
    onnxruntime = pytest.importorskip('onnxruntime')
    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, map(torch.from_numpy, session.run(names, {'image': image.numpy()})), strict=True))


def test_onnx_of_a_fitted_model_says_what_the_model_says(tmp_path):
    pytest.importorskip('onnxscript')
    fitted = fitted_checkpoint(tmp_path / 'fitted.pth', num_clusters=6)
    report = export_network(str(fitted), tmp_path / 'model.onnx', (48, 32))
    assert list(report.outputs) == ['features', 'scores', 'labels']
    assert report.outputs['labels'][1] == 0
    assert report.outputs['scores'][1] < 1e-3
    assert 'image" is (batch, 3, 48, 32) float32 RGB' in report.summary()
    assert 'fitted on images resized to 32 x 32 px, whatever their shape: --size 32 32 gives' in report.summary()
    model = LeopartInferencer(str(fitted)).model
    image = torch.rand(2, 3, 48, 32) * 255
    found = run_onnx(tmp_path / 'model.onnx', image)
    assert found['features'].shape == (2, 32, 6, 4)
    assert found['scores'].shape == (2, 6, 6, 4)
    # The model takes BGR bytes; so compare behind its preprocessor.
    normal = (image - model.data_preprocessor.mean) / model.data_preprocessor.std
    batch = model.extract_batch(normal, None)
    assert torch.equal(found['labels'], model.run_stages(batch).hard_labels[0])
    assert torch.allclose(found['features'], batch.features.maps[-1], atol=1e-4)


def test_torch_export_of_a_whole_chain(tmp_path):
    fitted = fit_chain(tmp_path / 'chain.pth', STAGES, dict(type='leopart_mm.BlackImageDebias', rank=3))
    report = export_network(str(fitted), tmp_path / 'model.pt2')
    assert report.size == (32, 32)
    assert report.notes == ['Resize images to 32 x 32 px, whatever their shape, as tools/segment_folder.py does.']
    model = LeopartInferencer(str(fitted)).model
    image = torch.rand(4, 3, 32, 32) * 255
    normal = (image - model.data_preprocessor.mean) / model.data_preprocessor.std
    expected = model.run_stages(model.extract_batch(normal, None)).hard_labels[0]
    assert model.debias.grids.tolist() == [[4, 4]]
    _, _, labels = torch.export.load(tmp_path / 'model.pt2').module()(image)
    assert torch.equal(labels, expected)
    assert len(expected.unique()) > 1
    assert list(model.postprocessors.at_level(GRID)) == ['foreground', 'clusters', 'communities']


def test_onnx_of_a_chain_and_a_stage_at_pixels(tmp_path):
    pytest.importorskip('onnxscript')
    stages = dict(foreground=STAGES['foreground'], clusters=STAGES['clusters'],
                  smoothing=dict(type='leopart_mm.DenseCRF'))
    fitted = fit_chain(tmp_path / 'chain.pth', stages)
    report = export_network(str(fitted), tmp_path / 'model.onnx', (32, 32))
    assert report.notes[1:] == ["Without the stage 'smoothing' (DenseCRF), which works on pixels."]
    model = LeopartInferencer(str(fitted)).model
    image = torch.rand(2, 3, 32, 32) * 255
    normal = (image - model.data_preprocessor.mean) / model.data_preprocessor.std
    expected = model.run_stages(model.extract_batch(normal, None)).hard_labels[0]
    assert torch.equal(run_onnx(tmp_path / 'model.onnx', image)['labels'], expected)


def test_a_backbone_alone_at_another_size_than_its_positions(tmp_path):
    pytest.importorskip('onnxscript')
    vit = tiny_vit()
    torch.save(dict(state_dict=vit.state_dict()), tmp_path / 'vit.pth')
    with pytest.raises(ValueError, match=r'The architecture of .* is unknown: name it'):
        export_network(str(tmp_path / 'vit.pth'), tmp_path / 'vit.onnx')
    fitted = fitted_checkpoint(tmp_path / 'fitted.pth')
    report = export_network(str(fitted), tmp_path / 'backbone.onnx', (40, 56), head=False)
    assert list(report.outputs) == ['features']
    model = LeopartInferencer(str(fitted)).model
    image = torch.rand(1, 3, 40, 56) * 255
    normal = (image - model.data_preprocessor.mean) / model.data_preprocessor.std
    with torch.no_grad():
        expected = model.backbone(normal)[-1]
    assert torch.allclose(run_onnx(tmp_path / 'backbone.onnx', image)['features'], expected, atol=1e-4)
    assert TINY['img_size'] == 32


def test_faults_are_named(tmp_path, monkeypatch):
    fitted = str(fitted_checkpoint(tmp_path / 'fitted.pth'))
    with pytest.raises(ValueError, match=r'model\.trt: the format is told by the ending, \.onnx or \.pt2'):
        export_network(fitted, tmp_path / 'model.trt')
    with pytest.raises(ValueError, match='The size 30 x 32 is no multiple of the patch of 8 pixels'):
        export_network(fitted, tmp_path / 'model.pt2', (30, 32))
    with pytest.raises(FileNotFoundError):
        export_network(str(tmp_path / 'none.pth'), tmp_path / 'model.pt2')
    monkeypatch.setitem(__import__('sys').modules, 'onnxscript', None)
    with pytest.raises(ImportError, match=r"pip install 'leopart_mm\[onnx\]'"):
        export_network(fitted, tmp_path / 'model.onnx')


def test_a_file_that_computes_something_else_is_removed(tmp_path, monkeypatch):
    from leopart_mm.apis import network_export
    written = network_export._torch
    monkeypatch.setattr(network_export, '_torch', lambda *arguments: [
        [output + 1 for output in outputs] for outputs in written(*arguments)])
    with pytest.raises(RuntimeError, match='differs from torch: features by 1'):
        export_network(str(fitted_checkpoint(tmp_path / 'fitted.pth')), tmp_path / 'model.pt2', (32, 32))
    assert not (tmp_path / 'model.pt2').exists()
    assert np.isfinite(1)
