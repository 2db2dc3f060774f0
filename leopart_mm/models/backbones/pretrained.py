"""How every backbone of the project gets its weights, and refuses to run without them."""

import os
from collections.abc import Mapping
from typing import Any, ClassVar

from mmengine.logging import print_log
from torch import Tensor

from leopart_mm.checkpoints.matching import LoadReport, NetworkSpec, load_backbone_state
from leopart_mm.checkpoints.safe_reading import BackboneCheckpointError
from leopart_mm.models.backbones.low_rank import with_fresh_adapters


class PretrainedBackbone:
    """Mixin for a backbone module: reads checkpoints of any known layout, strictly, and checks that they were read.

    Put it before the module class among the bases, call `expect_weights` in the constructor and `check_weights` before
    the first layer, and define `network_spec`.
    """

    checkpoint: str | None
    checkpoint_key: str | None
    # Attributes that tell of the weights, beside them: equal networks may differ in these.
    origin: ClassVar[tuple[str, ...]] = ('checkpoint', 'checkpoint_key', '_awaits_weights', 'mean', 'std')

    @property
    def network_spec(self) -> NetworkSpec:
        """What this network needs of a checkpoint."""
        raise NotImplementedError

    def expect_weights(self, checkpoint: str | None, checkpoint_key: str | None) -> None:
        """Remember where the weights are; `init_weights` reads them.

        Args:
            checkpoint: See `read_checkpoint`; None: the network starts from random weights.
            checkpoint_key: Which network of the checkpoint, see `find_network`.
        """
        self.checkpoint = checkpoint
        self.checkpoint_key = checkpoint_key
        self._awaits_weights = checkpoint is not None

    def check_weights(self) -> None:
        """Raise a RuntimeError if `checkpoint` was given but has not been read."""
        if self._awaits_weights:
            raise RuntimeError(f'{type(self).__name__} was given checkpoint={self.checkpoint!r} but has not read it '
                               'yet: call model.init_weights() (Runner.train() does), or load a checkpoint of the '
                               'whole model.')

    def init_weights(self) -> None:
        """Initialise the network as its base class does, then load `checkpoint` if one was given."""
        super().init_weights()
        if self.checkpoint is not None:
            self.load_pretrained(self.checkpoint, self.checkpoint_key)

    def load_pretrained(self, source: str | os.PathLike | Mapping, key: str | None = None,
                        name: str | None = None) -> LoadReport:
        """Load pretrained weights of any known layout and log what matched, see `load_backbone_state`.

        Adapters of the file are merged into the weights; those of this network begin anew.

        Raises:
            BackboneCheckpointError: If they are not of this network.
        """
        state, report = load_backbone_state(source, self.network_spec, key, name)
        self.load_state_dict(with_fresh_adapters(self, self._adopt_state(state, report)))
        return report

    def _adopt_state(self, state: dict[str, Tensor], report: LoadReport) -> dict[str, Tensor]:
        """Log the report and prepare the network for a matched state."""
        print_log(f'Backbone {self.network_spec.arch} from {report.summary()}', logger='current')
        return state

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        """Load strictly, whatever the caller asks for, and from foreign layouts too.

        MMEngine loads whole models non-strictly, which would leave random weights behind one warning line.
        """
        given = {key[len(prefix):]: value for key, value in state_dict.items() if key.startswith(prefix)}
        if not given:
            raise BackboneCheckpointError(
                f"The checkpoint has no key '{prefix}*', so the backbone would keep its random weights: it is no "
                'checkpoint of this model. To use a backbone file (DINO, timm, SwAV, ...) as the checkpoint of a whole '
                "model, add dict(type='leopart_mm.BackboneCheckpointHook') to custom_hooks, or set checkpoint=FILE in "
                "the backbone's config.")
        if any(key not in given or given[key].shape != value.shape for key, value in self.state_dict().items()):
            # A foreign layout, or our own with another position grid or other adapters.
            state = with_fresh_adapters(self, self._adopt_state(*load_backbone_state(given, self.network_spec)))
            for key in given:
                del state_dict[prefix + key]
            state_dict.update({prefix + key: value for key, value in state.items()})
        super()._load_from_state_dict(state_dict, prefix, *args)
        self._awaits_weights = False
