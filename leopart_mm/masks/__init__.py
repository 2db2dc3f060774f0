from leopart_mm.masks.attention import attention_foreground
from leopart_mm.masks.sources import AttentionMasks, MaskFiles, MaskInputs, MaskSource

__all__ = ['AttentionMasks', 'MaskFiles', 'MaskInputs', 'MaskSource', 'attention_foreground']
