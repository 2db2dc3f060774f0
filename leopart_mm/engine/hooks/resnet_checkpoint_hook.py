"""A ResNet file as the checkpoint of a whole model: `tools/test.py CONFIG swav.pth`."""

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from leopart_mm.checkpoints.checkpoint_source import flatten_tensors
from leopart_mm.checkpoints.resnet_checkpoints import load_resnet_state
from leopart_mm.models.backbones.dense_resnet import DenseResNet
from leopart_mm.registry import HOOKS


@HOOKS.register_module()
class ResNetCheckpointHook(Hook):
    """Lets the Runner load a file that holds only a ResNet, of any layout that DenseResNet knows.

    Checkpoints that have all keys of the model's backbone pass untouched. The counterpart for ViTs is
    BackboneCheckpointHook.

    Args:
        which: Prefix of the network to take where the file holds several, see `find_resnet`.
    """

    def __init__(self, which: str | None = None) -> None:
        self.which = which

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Put the backbone into `checkpoint`, under the keys of the Runner's model.

        Raises:
            BackboneCheckpointError: The file holds no ResNet of this shape.
        """
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        present = flatten_tensors(checkpoint.get('state_dict', checkpoint)).keys()
        for path, module in model.named_modules():
            if isinstance(module, DenseResNet) and not _complete(module, path, present):
                state = load_resnet_state(checkpoint, module, self.which,
                                          f'{getattr(runner, "_load_from", None) or "the checkpoint"}')
                checkpoint['state_dict'] = {**checkpoint.get('state_dict', {}),
                                            **{f'{path}.{key}': value for key, value in state.items()}}


def _complete(resnet: DenseResNet, path: str, present: object) -> bool:
    return all(f'{path}.{key}' in present for key in resnet.state_dict() if not key.endswith('num_batches_tracked'))
