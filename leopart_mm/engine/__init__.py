from leopart_mm.engine import hooks  # noqa: F401  (registers its classes)
from leopart_mm.engine import optimizers  # noqa: F401
