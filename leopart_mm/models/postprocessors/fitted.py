"""FittedPostprocessor: a stage whose fitted values are buffers that load completely or not at all."""

from leopart_mm.models.fitted_state import FittedState
from leopart_mm.models.postprocessors.base import BasePostprocessor


class FittedPostprocessor(FittedState, BasePostprocessor):
    """Base of the stages that fit something, see FittedState."""
