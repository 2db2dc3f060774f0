from leopart_mm.masks.attention import attention_foreground
from leopart_mm.masks.crf import CRFSettings, crf_unary, dense_crf, to_bytes
from leopart_mm.masks.crf_workers import CRFWorkers, crf_images
from leopart_mm.masks.proposal_formats import (
    InstanceFiles,
    InstanceProposals,
    LabelMapFiles,
    LabelProposals,
)
from leopart_mm.masks.proposals import ProposalFormat, ProposalImage, Proposals, ProposalSource
from leopart_mm.masks.sources import AttentionMasks, MaskFiles, MaskInputs, MaskSource

__all__ = [
    'AttentionMasks', 'CRFSettings', 'CRFWorkers', 'InstanceFiles', 'InstanceProposals', 'LabelMapFiles',
    'LabelProposals', 'MaskFiles', 'MaskInputs', 'MaskSource', 'ProposalFormat', 'ProposalImage', 'ProposalSource',
    'Proposals', 'attention_foreground', 'crf_images', 'crf_unary', 'dense_crf', 'to_bytes'
]
