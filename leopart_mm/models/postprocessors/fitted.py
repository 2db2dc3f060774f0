"""FittedPostprocessor: a stage whose fitted values are buffers that load completely or not at all."""

from leopart_mm.models.fitting.postprocessor import BasePostprocessor
from leopart_mm.models.fitting.state import FittedState


class FittedPostprocessor(FittedState, BasePostprocessor):
    """Base of the stages that fit something, see FittedState."""
