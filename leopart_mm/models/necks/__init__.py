from leopart_mm.models.necks.projection_head import ProjectionHead

__all__ = ['ProjectionHead']
