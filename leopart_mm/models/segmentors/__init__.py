from leopart_mm.models.segmentors.unsupervised_segmentor import UnsupervisedSegmentor

__all__ = ['UnsupervisedSegmentor']
