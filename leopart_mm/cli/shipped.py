"""Where configs and tools lie: in the checkout, or in the installed wheel."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent


def shipped_folder(name: str) -> Path:
    """The folder `configs` or `tools` that belongs to this package.

    Args:
        name: 'configs' or 'tools'.

    Raises:
        FileNotFoundError: If the installation lacks it.
    """
    checkout, wheel = PACKAGE.parent, PACKAGE / '.mim'
    if (wheel / name).is_dir():
        return wheel / name
    if (checkout / 'setup.py').is_file() and (checkout / name).is_dir():
        return checkout / name
    raise FileNotFoundError(f'This installation of leopart_mm has no {name}: they are neither in {wheel} nor in '
                            f'{checkout}. Install it again by pip.')
