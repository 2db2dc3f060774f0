"""ImageCache: tensors per image that wait for a later pass: on their GPU, in main memory, in a folder, or nowhere.

One rule, `choose_place`, and one default, 'auto', hold for every loop and tool.
"""

import os
import shutil
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import torch
from mmengine.dist import get_world_size
from mmengine.logging import print_log
from torch import Tensor

from leopart_mm.devices import move
from leopart_mm.files import save_torch_whole
from leopart_mm.late_checks import LateChecks

PLACES = ('auto', 'device', 'memory', 'disk', None)
SHARE = 0.5  # of the free memory, or of the free space of a disk, that 'auto' may fill
MEMORY_LIMITS = (('/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory.current'),
                 ('/sys/fs/cgroup/memory/memory.limit_in_bytes', '/sys/fs/cgroup/memory/memory.usage_in_bytes'))


def choose_place(num_bytes: float, device: torch.device | str = 'cpu') -> str | None:
    """Where 'auto' keeps `num_bytes` of a process that come from a device.

    'device' if they come from a CUDA GPU and fill at most half of its free memory: nothing then waits for a transfer.
    Else 'memory' if they fill at most half of the free main memory, else 'disk' if they fill at most half of the free
    space of the temporary folder (TMPDIR), else None: nothing is kept, and later passes compute it again. Processes on
    one machine share both in equal parts.
    """
    if num_bytes <= SHARE * free_on(device):
        return 'device'
    processes = int(os.environ.get('LOCAL_WORLD_SIZE', get_world_size()))
    if num_bytes * processes <= SHARE * free_memory():
        return 'memory'
    if num_bytes * processes <= SHARE * shutil.disk_usage(tempfile.gettempdir()).free:
        return 'disk'
    return None


def free_on(device: torch.device | str) -> int:
    """Bytes that are free on a CUDA GPU; -1 on other devices."""
    return torch.cuda.mem_get_info(device)[0] if torch.device(device).type == 'cuda' else -1


def free_memory() -> int:
    """Bytes of main memory that are free for this machine or container; 0 where the system does not say."""
    found = [_available()]
    for limit, used in MEMORY_LIMITS:
        try:
            found.append(int(Path(limit).read_text()) - int(Path(used).read_text()))
        except (OSError, ValueError):  # no such limit ("max")
            continue
    return max(0, min(found))


def _available() -> int:
    try:
        lines = Path('/proc/meminfo').read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith('MemAvailable'))
    except (OSError, StopIteration):
        try:
            return os.sysconf('SC_AVPHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
        except (AttributeError, ValueError, OSError):
            return 0


class ImageCache:
    """Tensors under (key of an image, name). What is not kept is simply not found.

    Values come back as they were put, to the last bit, except with `half`.

    Args:
        place: 'device', where the tensors are; 'memory'; 'disk', a temporary folder that is removed by `close`, on
            errors, and with the process; None keeps nothing; 'auto' decides by `choose_place` when the first tensors
            come: their bytes per image, times `images`.
        half: Keep float tensors as float16. Each value is then off by at most 2^-11 of its size plus 2^-25 (values up
            to 65504), and the labels of cells whose two nearest clusters are equally near to that precision may change:
            fewer than 1 % of the cells (tested on generated images). What the first pass fits is not affected.
        images: Expected number of images of this process.
        title: What is kept, for messages.

    Attributes:
        chosen: 'device', 'memory', 'disk' or None; 'auto' while undecided.

    Raises:
        ValueError: If `place` is unknown.
    """

    def __init__(self, place: str | None = 'auto', half: bool = False, images: int = 0,
                 title: str = 'features') -> None:
        if place not in PLACES:
            raise ValueError(f"cache={place!r} is unknown; there are: 'auto', 'device', 'memory', 'disk' and None.")
        self.place = place
        self.half = half
        self.images = images
        self.title = title
        self.chosen = place
        self._entries: dict[str, dict[str, Tensor | Path]] = {}
        self._folder: tempfile.TemporaryDirectory | None = None
        self._files = 0
        self._checks = LateChecks()

    def expect(self, images: int) -> None:
        """Count on at least this many images in the estimate."""
        self.images = max(self.images, images)

    def has(self, key: str, names: Collection[str]) -> bool:
        """Whether all these tensors of an image are kept."""
        return self._entries.get(key, {}).keys() >= set(names)

    def put(self, keys: Sequence[str], tensors: Mapping[str, Tensor]) -> None:
        """Keep tensors (B, ...) of B images; those of a name that is kept already are replaced.

        Raises:
            ValueError: If `half` is set and a value is beyond float16.
            OSError: If `place` is 'disk' and the folder cannot be written; 'auto' continues without a cache instead.
        """
        if self.chosen == 'auto' and keys:
            size = sum(self._bytes(value) for value in tensors.values()) / len(keys)
            self._choose(size * max(self.images, len(keys)), next(iter(tensors.values())).device)
        if self.chosen is None:
            return
        try:
            for name, values in tensors.items():
                self.discard(keys, [name])
                for key, value in zip(keys, self._parts(name, values), strict=True):
                    self._entries.setdefault(key, {})[name] = self._store(value)
        except OSError as error:
            message = f'The {self.title} of images cannot be kept in {self._folder.name}: {error}'
            self.close()
            if self.place == 'disk':
                raise OSError(f"{message}. Free some space, set TMPDIR to another folder, or cache=None.") from error
            print_log(f'{message}; they are computed again where they are needed.', logger='current', level=30)

    def get(self, key: str, name: str) -> Tensor:
        """The tensor of an image, on the CPU or, with 'device', where it was.

        Raises:
            KeyError: If it is not kept, see `has`.
            ValueError: If `half` is set and a value that was put on a GPU is beyond float16.
        """
        self._checks.finish()
        value = self._entries[key][name]
        if isinstance(value, Path):
            value = torch.load(value, weights_only=True)
        return value.float() if self.half and value.dtype == torch.float16 else value

    def stack(self, keys: Sequence[str], name: str, device: torch.device | str = 'cpu') -> Tensor:
        """The tensors (B, ...) of B images of equal shape on `device`."""
        return move(torch.stack([self.get(key, name) for key in keys]), device)

    def discard(self, keys: Sequence[str], names: Collection[str]) -> None:
        """Drop tensors; what is not kept does not matter."""
        for key in keys:
            entry = self._entries.get(key, {})
            for name in entry.keys() & set(names):
                value = entry.pop(name)
                if isinstance(value, Path):
                    value.unlink(missing_ok=True)

    def close(self) -> None:
        """Drop everything and remove the temporary folder; nothing is kept from now on."""
        self._entries.clear()
        self.chosen = None
        if self._folder is not None:
            self._folder.cleanup()

    def _choose(self, num_bytes: float, device: torch.device) -> None:
        self.chosen = choose_place(num_bytes, device)
        places = dict(device=f'the memory of {device}', memory='main memory',
                      disk=f'a temporary folder in {tempfile.gettempdir()}')
        print_log(f'The {self.title} of {self.images} images take about {num_bytes / 2**20:.0f} MB: '
                  + (f'they wait in {places[self.chosen]}.' if self.chosen is not None else
                     'neither memory nor disk has room for them, they are computed again where they are needed.'),
                  logger='current')

    def _bytes(self, value: Tensor) -> int:
        return value.numel() * (2 if self._halves(value) else value.element_size())

    def _halves(self, value: Tensor) -> bool:
        return self.half and value.dtype in (torch.float32, torch.float64)

    def _parts(self, name: str, values: Tensor) -> Sequence[Tensor]:
        """The tensor of each image as it is kept."""
        values = values.detach()
        if self._halves(values):
            halves = values.half()
            self._checks.add(
                (torch.isinf(halves) & ~torch.isinf(values)).sum(),
                lambda _: f'The {name} hold values beyond 65504, which half precision cannot keep: use a cache of full '
                          'precision.')
            values = halves
        # Each image's tensor has memory of its own, so that dropping it frees it.
        return [value.clone() for value in (values if self.chosen == 'device' else values.cpu())]

    def _store(self, value: Tensor) -> Tensor | Path:
        if self.chosen in ('device', 'memory'):
            return value
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix='leopart_mm_features_')
        self._files += 1
        path = Path(self._folder.name) / f'{self._files:08d}.pt'
        save_torch_whole(value, path)
        return path
