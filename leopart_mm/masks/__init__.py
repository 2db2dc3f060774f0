from leopart_mm.masks.attention import attention_foreground
from leopart_mm.masks.proposal_formats import (
    InstanceFiles,
    InstanceProposals,
    LabelMapFiles,
    LabelProposals,
)
from leopart_mm.masks.proposals import ProposalFormat, ProposalImage, Proposals, ProposalSource
from leopart_mm.masks.sources import AttentionMasks, MaskFiles, MaskInputs, MaskSource

__all__ = [
    'AttentionMasks', 'InstanceFiles', 'InstanceProposals', 'LabelMapFiles', 'LabelProposals', 'MaskFiles',
    'MaskInputs', 'MaskSource', 'ProposalFormat', 'ProposalImage', 'ProposalSource', 'Proposals',
    'attention_foreground',
]
