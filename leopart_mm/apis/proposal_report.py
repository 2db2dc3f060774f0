"""What a run of mask proposals tells at its end."""

from leopart_mm.apis.image_run import Report
from leopart_mm.files import printable, shorten

FULL = 0.95  # share of an image from which on a mask fills it


class ProposalReport(Report):
    """What happened to the images of a run, how many masks they have, and which of them a mask fills."""

    def __init__(self) -> None:
        super().__init__()
        self.masks: dict[str, int] = {}
        self.filled: list[str] = []

    @property
    def empty(self) -> list[str]:
        """Names of the images without a mask."""
        return [name for name, count in self.masks.items() if count == 0]

    def summary(self) -> str:
        """The report in words."""
        total, images = sum(self.masks.values()), max(len(self.masks), 1)
        parts = [f'{self.num_done} images done' + (f', {self.num_present} were there already' * bool(self.num_present)),
                 f'{total} masks ({total / images:.1f} per image, at most {max(self.masks.values(), default=0)})']
        if self.num_replaced:
            parts[0] += f' ({self.num_replaced} of them again: other settings or a changed image)'
        if self.empty:
            parts.append(f'{len(self.empty)} images have no mask ({shorten(map(printable, self.empty))})')
        if self.filled:
            parts.append(f'of {len(self.filled)} images a mask covers {FULL:.0%} or more '
                         f'({shorten(map(printable, self.filled))})')
        return '; '.join(parts + self.troubles('files')) + '.'
