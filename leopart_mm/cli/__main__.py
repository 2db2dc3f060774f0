"""`python -m leopart_mm.cli TOOL ...`."""

from leopart_mm.cli.command import main

if __name__ == '__main__':
    main()
