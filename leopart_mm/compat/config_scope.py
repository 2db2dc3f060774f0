"""Let configs of other projects inherit from ours: ``_base_ = ['leopart_mm::leopart/....py']``."""

from mmengine.config.utils import MODULE2PACKAGE


def register_config_scope() -> None:
    """Enter leopart_mm into MMEngine's list of packages that may stand before ``::``.

    The configs are looked for in ``leopart_mm/.mim`` of an installed wheel; a checkout names them by path instead.
    """
    MODULE2PACKAGE.setdefault('leopart_mm', 'leopart_mm')
