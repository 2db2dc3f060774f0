"""A backbone, with or without what was fitted on it, as ONNX or torch.export, checked against torch."""

import copy
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from leopart_mm.apis.backbone_source import BackboneSource
from leopart_mm.checkpoints.safe_reading import load_checkpoint_file
from leopart_mm.checkpoints.sources import is_remote
from leopart_mm.files import write_whole
from leopart_mm.models.backbones.position import resize_positions
from leopart_mm.models.fitting.base import GRID
from leopart_mm.models.fitting.networks import colour_settings
from leopart_mm.models.fitting.tensor_stages import TensorStage
from leopart_mm.models.segmentors.base import FittableSegmentor

SUFFIXES = ('.onnx', '.pt2')
SIZE = (448, 448)
TOLERANCE = 1e-3  # of the largest size of an output


class ExportableNetwork(nn.Module):
    """Images (B, C, H, W), RGB 0..255, to features, and to scores and labels where there is a head.

    Args:
        network: Gives features (B, C, h, w).
        mean: Of the channels, 0..255.
        std: Likewise.
        size: (H, W) of the images.
        head: Features to scores (B, K, h, w); None: features only.
        reduce: Features to what stages cluster, where they need it.
        stages: What follows the head.
    """

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float], size: tuple[int, int],
                 head: Any = None, reduce: Any = None, stages: Sequence[TensorStage] = ()) -> None:
        super().__init__()
        self.network = network
        self.size = size
        self.register_buffer('mean', torch.tensor(mean, dtype=torch.float32)[:, None, None])
        self.register_buffer('std', torch.tensor(std, dtype=torch.float32)[:, None, None])
        self.head, self.reduce = head, reduce
        self.stages = nn.ModuleList(stages)

    @property
    def outputs(self) -> list[str]:
        """Names of what `forward` returns."""
        return ['features'] if self.head is None else ['features', 'scores', 'labels']

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Features (B, C, h, w), scores (B, K, h, w) and labels (B, h, w) int64 on the patch grid."""
        maps = self.network((image - self.mean) / self.std)
        if self.head is None:
            return (maps[-1].contiguous(), )
        scores = self.head(maps)
        labels = scores.argmax(1)
        reduced = None if self.reduce is None else self.reduce(maps)
        for stage in self.stages:
            labels = stage(labels, reduced)
        return maps[-1].contiguous(), scores.contiguous(), labels


@dataclass
class ExportReport:
    """What was exported, and how far it is from torch.

    Args:
        path: The file.
        size: (H, W) of its images.
        outputs: Name -> (shape, greatest difference; of labels the share that differs).
        notes: What the user should know.
    """

    path: Path
    size: tuple[int, int]
    outputs: dict[str, tuple[list[Any], float]]
    notes: list[str]

    def summary(self) -> str:
        """The report in words."""
        height, width = self.size
        lines = [f'{self.path}: "image" is (batch, 3, {height}, {width}) float32 RGB, 0..255, of any batch.']
        for name, (shape, difference) in self.outputs.items():
            sizes = ', '.join(['batch', *map(str, shape[1:])])
            how = (f'{100 * difference:.3f} % differ' if name == 'labels' else f'largest difference {difference:.1e}')
            lines.append(f'  "{name}" ({sizes}): {how} from torch, batches of 1 and 3.')
        return '\n'.join(lines + self.notes)


def export_network(checkpoint: str, path: str | os.PathLike, size: tuple[int, int] | None = None, head: bool = True,
                   arch: str | None = None) -> ExportReport:
    """Write a network as ONNX (``.onnx``) or by torch.export (``.pt2``), and compare it with torch.

    Args:
        checkpoint: A fitted model, or weights of a backbone as for `BackboneSource`.
        path: The file.
        size: (H, W) of the images; it is fixed in the file, the batch is not. None: the size to which the fitted model
            has images resized, else `SIZE`.
        head: Also the head and the stages after it, of a fitted model.
        arch: Architecture of weights that do not tell.

    Raises:
        ImportError: If onnx, onnxscript or onnxruntime are not installed.
        OSError: If the file cannot be written.
        RuntimeError: If the file computes something else than torch.
        ValueError: If the suffix is unknown, the size does not fit the patches, or a part cannot be exported.
    """
    path = Path(path).expanduser()
    if path.suffix not in SUFFIXES:
        raise ValueError(f'{path.name}: the format is told by the ending, {" or ".join(SUFFIXES)}.')
    if path.suffix == '.onnx':
        _import_onnx()
    network, notes = _network(checkpoint, size, head, arch)
    network.eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    images = [torch.rand(batch, len(network.mean), *network.size, generator=generator) * 255 for batch in (3, 1)]
    with torch.no_grad():
        expected = [network(image) for image in images]
    with write_whole(path) as temporary:
        try:
            found = (_onnx if path.suffix == '.onnx' else _torch)(network, images, temporary)
        except OSError:
            raise
        except Exception as error:  # the exporters raise many kinds
            reason = str(error).partition('\n')[0] or type(error).__name__
            raise ValueError(f'The network of {checkpoint} cannot be exported ({reason}). --backbone-only leaves its '
                             'head out.') from error
    outputs = {}
    for place, name in enumerate(network.outputs):
        pairs = [(ours[place], theirs[place]) for ours, theirs in zip(expected, found, strict=True)]
        difference = max(_difference(name, *pair) for pair in pairs)
        limit = TOLERANCE if name == 'labels' else TOLERANCE * max(float(ours.abs().max()) for ours, _ in pairs)
        if not difference <= limit:
            path.unlink(missing_ok=True)
            raise RuntimeError(f'The exported network differs from torch: {name} by {difference:.3g}, more than '
                               f'{limit:.3g}. The file was removed.')
        outputs[name] = list(pairs[0][0].shape), difference
    return ExportReport(path, network.size, outputs, notes)


def _difference(name: str, ours: Tensor, theirs: Tensor) -> float:
    if ours.shape != theirs.shape:
        return float('inf')
    return float((ours != theirs).float().mean()) if name == 'labels' else float((ours - theirs).abs().max())


def _network(checkpoint: str, size: tuple[int, int] | None, head: bool,
             arch: str | None) -> tuple[ExportableNetwork, list]:
    """The module that is exported, and notes."""
    loaded = None if is_remote(checkpoint) else load_checkpoint_file(checkpoint)
    state = loaded.get('state_dict', loaded) if isinstance(loaded, dict) else {}
    if not head or not any(str(key).startswith('decode_head.') for key in state):
        source = BackboneSource.read(checkpoint, arch)
        size = size or SIZE
        notes = ["Mean and standard deviation of these weights are unknown: ImageNet's are in the file."]
        return (ExportableNetwork(_at_size(source.network, size), source.mean, source.std, size),
                notes if source.guessed else [])
    from leopart_mm.apis.inferencer import LeopartInferencer
    inferencer = LeopartInferencer(loaded, device='cpu')
    model = inferencer.model
    if not isinstance(model, FittableSegmentor):
        raise ValueError(f"The checkpoint holds a {type(model).__name__}: mmseg's own models are exported by mmdeploy, "
                         'and their backbone by --backbone-only.')
    fitted = _size_when_fitted(inferencer.transforms)
    size = size or fitted or SIZE
    model = copy.deepcopy(model)
    colours, turns = _colours(model, inferencer.bands)
    model.backbone = _at_size(model.backbone, size)
    for part in filter(None, (model.decode_head, model.debias)):
        part.require_fitted = lambda: None  # it was checked; a graph cannot ask
    stages, needs_reduced = [], False
    notes = [] if turns else ['The network was fitted on images whose channels are not turned: give BGR.']
    if fitted is not None:
        height, width = fitted
        notes.append(f'Resize images to {height} x {width} px, whatever their shape, as tools/segment_folder.py does.'
                     if size == fitted else f'The model was fitted on images resized to {height} x {width} px, '
                     f'whatever their shape: --size {height} {width} gives the labels of tools/segment_folder.py, this '
                     'one others.')
    for name, stage in model.postprocessors.items():
        exported = stage.as_tensors()
        if exported is None and stage.level == GRID:
            raise ValueError(f'The stage {name!r} ({type(stage).__name__}) cannot be exported: export the backbone '
                             '(--backbone-only), or fit a chain without it.')
        if exported is None:
            notes.append(f'Without the stage {name!r} ({type(stage).__name__}), which works on pixels.')
            continue
        needs_reduced |= stage.requests().reduced
        stages.append(exported)
    return ExportableNetwork(_Features(model), *colours, size, _Scores(model),
                             model.decode_head.reduce if needs_reduced else None, stages), notes


def _size_when_fitted(transforms: Sequence[Mapping[str, Any]]) -> tuple[int, int] | None:
    """(H, W) that test transforms give all images; None if it depends on the image."""
    resize = next((step for step in reversed(transforms) if str(step['type']).rpartition('.')[2] == 'Resize'), {})
    scale = resize.get('scale')
    if resize.get('keep_ratio') or not isinstance(scale, list | tuple):
        return None
    return scale[1], scale[0]


def _colours(model: FittableSegmentor, bands: int) -> tuple[list[tuple[float, ...]], bool]:
    """Mean and standard deviation of a model, 0..255, and whether its network sees RGB."""
    settings = colour_settings(model.data_preprocessor)
    colours = [tuple(255 * value for value in settings[name]) if settings[name] else (default, ) * bands
               for name, default in (('mean', 0.), ('std', 1.))]
    return colours, settings['bgr_to_rgb'] or len(colours[0]) != 3


class _Features(nn.Module):
    """The maps that the head of a segmentor reads."""

    def __init__(self, model: FittableSegmentor) -> None:
        super().__init__()
        self.backbone = model.backbone
        self.neck = model.neck if model.with_neck else nn.Identity()

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.neck(tuple(self.backbone(image))))


class _Scores(nn.Module):
    """Scores of the maps, as the segmentor's `encode_decode`."""

    def __init__(self, model: FittableSegmentor) -> None:
        super().__init__()
        self.model = model

    def forward(self, maps: tuple[Tensor, ...]) -> Tensor:
        return self.model.scores_of(maps)


def _at_size(network: nn.Module, size: tuple[int, int]) -> nn.Module:
    """A copy of a backbone for images of one size: positions are resized once, in torch.

    Raises:
        ValueError: If the sides are no multiples of the patch.
    """
    network = copy.deepcopy(network).cpu()
    patch = getattr(network, 'patch_size', None)
    if patch is not None and any(side % patch or side < patch for side in size):
        raise ValueError(f'The size {size[0]} x {size[1]} is no multiple of the patch of {patch} pixels.')
    if getattr(network, 'pos_embed', None) is not None:
        grid = tuple(side // patch for side in size)
        number = network.num_prefix_positions
        with torch.no_grad():
            positions = resize_positions(network.pos_embed[:, number:], network.grid_size, grid, network.pos_interp)
            network.pos_embed = nn.Parameter(torch.cat([network.pos_embed[:, :number], positions], dim=1))
        network.grid_size = grid
    return network


def _import_onnx() -> None:
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(f"Export to ONNX needs {error.name}, which is not installed: pip install 'leopart_mm[onnx]'"
                          ) from error
    del onnx, onnxruntime


def _onnx(network: ExportableNetwork, images: Sequence[Tensor], file: Path) -> list[list[Tensor]]:
    """Write ONNX; returns what onnxruntime makes of the images."""
    import onnxruntime
    for name in ('torch.onnx', 'onnxscript', 'onnx_ir'):
        logging.getLogger(name).setLevel(logging.ERROR)
    program = torch.onnx.export(network, (images[0], ), dynamo=True, input_names=['image'],
                                output_names=network.outputs, dynamic_shapes=({0: torch.export.Dim('batch')}, ),
                                verbose=False)
    for node in program.model.graph.all_nodes():  # lines of source and paths of this machine
        node.metadata_props.clear()
    program.save(str(file), external_data=False)
    session = onnxruntime.InferenceSession(file.read_bytes(), providers=['CPUExecutionProvider'])
    return [[torch.from_numpy(output) for output in session.run(network.outputs, {'image': image.numpy()})]
            for image in images]


def _torch(network: ExportableNetwork, images: Sequence[Tensor], file: Path) -> list[list[Tensor]]:
    """Write by torch.export; returns what the file makes of the images."""
    program = torch.export.export(network, (images[0], ), dynamic_shapes=({0: torch.export.Dim('batch')}, ))
    with open(file, 'wb') as stream:
        torch.export.save(program, stream)
    with open(file, 'rb') as stream:
        module = torch.export.load(stream).module()
    with torch.no_grad():
        return [list(module(image)) for image in images]
