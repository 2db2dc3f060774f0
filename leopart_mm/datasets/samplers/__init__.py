from leopart_mm.datasets.samplers.draw import Draw, sample_generator
from leopart_mm.datasets.samplers.draw_sampler import DrawSampler, InfiniteDrawSampler

__all__ = ['Draw', 'DrawSampler', 'InfiniteDrawSampler', 'sample_generator']
