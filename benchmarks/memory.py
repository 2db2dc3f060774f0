"""Resident memory of this process and its peak since a moment."""

import resource
from pathlib import Path

STATUS = Path('/proc/self/status')
CLEAR_REFS = Path('/proc/self/clear_refs')


class PeakMemory:
    """Peak resident memory in MB above the level at the time of creation.

    Linux can reset the peak of a process; elsewhere the peak of the whole life counts, which is too high (never too
    low) if something before was larger.
    """

    def __init__(self) -> None:
        try:
            CLEAR_REFS.write_text('5')
            self.resettable = True
        except OSError:
            self.resettable = False
        self.before = self._status('VmRSS') if self.resettable else self._lifetime_peak()

    def peak_mb(self) -> float:
        """MB (2^20 bytes) by which the process grew at most since then."""
        peak = self._status('VmHWM') if self.resettable else self._lifetime_peak()
        return max(0., peak - self.before) / 1024

    @staticmethod
    def _status(key: str) -> int:
        for line in STATUS.read_text().splitlines():
            if line.startswith(f'{key}:'):
                return int(line.split()[1])
        raise OSError(f'{STATUS} has no {key}')

    @staticmethod
    def _lifetime_peak() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
