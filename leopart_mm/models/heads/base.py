"""What the heads of the self-supervised models share: they hold the loss."""

from mmengine.model import BaseModule

from leopart_mm.registry import MODELS


class DenseLossHead(BaseModule):
    """Base of the heads of `DenseSelfSupervisor`, whose loss compares cells of aligned crops.

    Args:
        loss (dict): Config of the loss, with `needs_attention` and `kernel`.
    """

    def __init__(self, loss: dict, init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        self.loss_module = MODELS.build(loss)

    @property
    def needs_attention(self) -> bool:
        """Whether `targets` needs the teacher's attention."""
        return self.loss_module.needs_attention

    @property
    def kernel(self) -> int:
        """Cells a side of an aligned overlap."""
        return self.loss_module.kernel
