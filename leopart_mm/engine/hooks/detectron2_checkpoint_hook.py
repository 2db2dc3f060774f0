"""Detectors from files of detectron2, and the categories that a detector was trained on."""

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from leopart_mm.checkpoints.detectron2 import detectron2_to_mmdet, is_detectron2
from leopart_mm.checkpoints.safe_reading import BackboneCheckpointError
from leopart_mm.engine.wrapping import unwrap
from leopart_mm.files import shorten
from leopart_mm.registry import HOOKS


@HOOKS.register_module()
class Detectron2CheckpointHook(Hook):
    """Lets the Runner load a Mask R-CNN of detectron2 (FPN) into MMDetection's.

    Checkpoints of our own pass untouched. Where images come from a plain folder, the categories of the checkpoint's
    training data are given to every `InstanceResultsWriter`, so that predictions have the ids of the clusters, and
    their names to the pictures.

    Args:
        bgr: See `detectron2_to_mmdet`.
    """

    def __init__(self, bgr: bool | None = None) -> None:
        self.bgr = bgr

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Put the converted weights in place of those in `checkpoint`.

        Raises:
            BackboneCheckpointError: If the file is a detector of detectron2, but not this one.
        """
        _tell_categories(runner, checkpoint)
        if getattr(runner, '_resume', False) or not is_detectron2(checkpoint):
            return
        name = f'{getattr(runner, "_load_from", None) or "the checkpoint"}'
        model = unwrap(runner.model)
        preprocessor = model.data_preprocessor
        state = detectron2_to_mmdet(checkpoint, preprocessor.mean.flatten().tolist(),
                                    preprocessor.std.flatten().tolist(), self.bgr, name)
        shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
        wrong = [f'{key} {tuple(state[key].shape) if key in state else "missing"} instead of {shape}'
                 for key, shape in shapes.items() if key not in state or tuple(state[key].shape) != shape]
        wrong += [f'{key} has no place' for key in state if key not in shapes]
        if wrong:
            classes = len(state.get('roi_head.bbox_head.fc_cls.bias', ' ')) - 1
            raise BackboneCheckpointError(
                f'{name} is a detector of detectron2 with {classes} classes that does not fit the config: '
                f'{shorten(wrong, 3)}. --cfg-options num_classes={classes}, and the settings of '
                'tools/detectron2_options.py, may fit it.')
        print_log(f'{name} read in the detectron2 layout: {len(state)} tensors.', logger='current')
        checkpoint.clear()
        checkpoint['state_dict'] = state


def _tell_categories(runner: Runner, checkpoint: dict) -> None:
    meta = (checkpoint.get('meta') or {}).get('dataset_meta') or {}
    categories = meta.get('category_ids')
    for loop in (getattr(runner, name, None) for name in ('_val_loop', '_test_loop')):
        for metric in getattr(getattr(loop, 'evaluator', None), 'metrics', ()):
            if categories and getattr(metric, 'category_ids', 0) is None and not (
                    metric.dataset_meta or {}).get('category_ids'):
                metric.category_ids = list(categories)
    visualizer = getattr(runner, 'visualizer', None)
    if meta.get('classes') and visualizer is not None and not (visualizer.dataset_meta or {}).get('classes'):
        visualizer.dataset_meta = dict(meta)
