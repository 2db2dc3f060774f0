from leopart_mm.masks.attention import attention_foreground

__all__ = ['attention_foreground']
