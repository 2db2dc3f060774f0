"""Hooks of the MMEngine runner."""

from leopart_mm.engine.hooks.atomic_checkpoint_hook import AtomicCheckpointHook
from leopart_mm.engine.hooks.backbone_checkpoint_hook import BackboneCheckpointHook
from leopart_mm.engine.hooks.detectron2_checkpoint_hook import Detectron2CheckpointHook
from leopart_mm.engine.hooks.fresh_classifier_hook import FreshClassifierHook
from leopart_mm.engine.hooks.health_hook import DivergenceError, HealthHook
from leopart_mm.engine.hooks.late_info_hook import LateInfoHook
from leopart_mm.engine.hooks.picture_hook import ClusterVisualizationHook, PictureHook, StagePicturesHook
from leopart_mm.engine.hooks.proposals_hook import ProposalsHook
from leopart_mm.engine.hooks.prototype_hook import PrototypeHook
from leopart_mm.engine.hooks.resnet_checkpoint_hook import ResNetCheckpointHook
from leopart_mm.engine.hooks.self_sup_step_hook import EMATeacherHook, SelfSupStepHook
from leopart_mm.engine.hooks.step_seed_hook import StepSeedHook
from leopart_mm.engine.hooks.training_page_hook import TrainingPageHook
from leopart_mm.engine.hooks.value_range_hook import ValueRangeHook
from leopart_mm.engine.hooks.verdict_hook import VerdictHook

__all__ = [
    'AtomicCheckpointHook', 'BackboneCheckpointHook', 'ClusterVisualizationHook', 'Detectron2CheckpointHook',
    'DivergenceError', 'EMATeacherHook', 'FreshClassifierHook', 'HealthHook', 'LateInfoHook', 'PictureHook',
    'ProposalsHook', 'PrototypeHook', 'ResNetCheckpointHook', 'SelfSupStepHook', 'StagePicturesHook', 'StepSeedHook',
    'TrainingPageHook', 'ValueRangeHook', 'VerdictHook'
]
