"""A new classifier on a trained DeepLab: the start of its linear probe (docs/methods/maskdistill.md §10)."""

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import BaseLoop, Runner

from leopart_mm.checkpoints.deeplab import OUR_HEAD, deeplab_to_ours, is_deeplab
from leopart_mm.checkpoints.safe_reading import BackboneCheckpointError
from leopart_mm.engine.wrapping import unwrap
from leopart_mm.registry import HOOKS

CLASSIFIER = tuple(f'{OUR_HEAD}4.{part}' for part in ('weight', 'bias'))


@HOOKS.register_module()
class FreshClassifierHook(Hook):
    """Leaves the classifier of a `DeepLabHead` as it was initialised when a run loads another network to start from.

    Nothing happens when a run is resumed or a network is tested. The network may have another number of classes;
    everything but the classifier must be in the file.
    """

    def __init__(self) -> None:
        self._loaded = False

    def before_train(self, runner: Runner) -> None:
        """Refuse to probe a network that was not trained.

        Raises:
            ValueError: If no checkpoint was loaded.
        """
        if not self._loaded:
            raise ValueError('A linear probe needs the trained network: --cfg-options checkpoint=FILE.')

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Put the model's own classifier into `checkpoint`.

        Raises:
            BackboneCheckpointError: If the file is no such network.
        """
        self._loaded = True
        if getattr(runner, '_resume', False) or not isinstance(getattr(runner, '_train_loop', None), BaseLoop):
            return
        current = unwrap(runner.model).state_dict()
        name = f'{getattr(runner, "_load_from", None) or "the checkpoint"}'
        kept = {key: current[key] for key in CLASSIFIER}
        shapes = {key: tuple(value.shape) for key, value in current.items() if key not in CLASSIFIER}
        if is_deeplab(checkpoint):
            loaded = deeplab_to_ours(checkpoint, shapes, name, optional=CLASSIFIER)
        else:
            loaded = {key.removeprefix('module.'): value
                      for key, value in checkpoint.get('state_dict', checkpoint).items()}
            missing = [key for key in shapes if key not in loaded]
            if missing:
                raise BackboneCheckpointError(
                    f'{name} is no DeepLab of this kind: it lacks {len(missing)} of {len(shapes)} tensors, such as '
                    f'{missing[0]}. A linear probe starts from a trained network: --cfg-options checkpoint=FILE.')
        checkpoint['state_dict'] = {**loaded, **kept}
        print_log(f'Linear probe: {len(shapes)} tensors of {name}, and a new classifier.', logger='current')
