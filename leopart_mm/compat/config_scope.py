"""Let configs of other projects inherit from ours: ``_base_ = ['leopart_mm::leopart/....py']``."""


def register_config_scope() -> None:
    """Add leopart_mm to MMEngine's list of packages that may precede ``::``.

    The configs are those in ``leopart_mm/.mim`` of an installed wheel; in a checkout they are named by path.
    """
    from mmengine.config.utils import MODULE2PACKAGE
    MODULE2PACKAGE.setdefault('leopart_mm', 'leopart_mm')
