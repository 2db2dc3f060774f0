from leopart_mm.masks.attention import attention_foreground
from leopart_mm.masks.border import BorderContrastMasks, border_contrast
from leopart_mm.masks.crf import CRFSettings, crf_unary, dense_crf, to_bytes
from leopart_mm.masks.crf_workers import CRFWorkers, crf_images
from leopart_mm.masks.object_source import ObjectSeedProposals
from leopart_mm.masks.principal import PrincipalMasks, PrincipalSettings, principal_masks
from leopart_mm.masks.principal_source import PrincipalProposals
from leopart_mm.masks.proposal_formats import (
    InstanceFiles,
    InstanceProposals,
    LabelMapFiles,
    LabelProposals,
)
from leopart_mm.masks.proposals import ProposalFormat, ProposalImage, Proposals, ProposalSource
from leopart_mm.masks.sources import AttentionMasks, MaskFiles, MaskInputs, MaskSource
from leopart_mm.masks.votes import majority_per_mask

__all__ = [
    'AttentionMasks', 'BorderContrastMasks', 'CRFSettings', 'CRFWorkers', 'InstanceFiles', 'InstanceProposals',
    'LabelMapFiles', 'LabelProposals', 'MaskFiles', 'MaskInputs', 'MaskSource', 'ObjectSeedProposals',
    'PrincipalMasks', 'PrincipalProposals', 'PrincipalSettings', 'ProposalFormat', 'ProposalImage',
    'ProposalSource', 'Proposals', 'attention_foreground', 'border_contrast', 'crf_images', 'crf_unary',
    'dense_crf', 'majority_per_mask', 'principal_masks', 'to_bytes'
]
