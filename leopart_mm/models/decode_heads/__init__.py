from leopart_mm.models.decode_heads.overcluster_head import NotFittedError, OverclusterHead

__all__ = ['NotFittedError', 'OverclusterHead']
