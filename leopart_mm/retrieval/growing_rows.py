"""Arrays that grow by rows: in main memory without ever being held twice, and on a GPU."""

import numpy as np
import torch
from torch import Tensor

DTYPES = {torch.float32: np.float32, torch.float16: np.float16, torch.uint8: np.uint8, torch.int16: np.int16,
          torch.int32: np.int32}


class GrowingRows:
    """Rows (n, columns) that are appended in place, with at most a quarter of memory in reserve.

    A list of tensors that are concatenated at the end needs twice the memory.

    Args:
        columns: Width of a row.
        dtype: Type of the rows, one of `DTYPES`.
    """

    def __init__(self, columns: int, dtype: torch.dtype) -> None:
        self.columns, self.dtype = columns, dtype
        self._array = np.empty((0, columns), DTYPES[dtype])
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def reserve(self, rows: int) -> None:
        """Make room for `rows` rows in total."""
        if rows > len(self._array):
            # No view of the array lives outside of this class, so it may move.
            self._array.resize((rows, self.columns), refcheck=False)

    def append(self, rows: Tensor) -> None:
        """Add rows (m, columns), converted to the type of this array."""
        end = self._count + len(rows)
        if end > len(self._array):
            self.reserve(max(end, len(self._array) * 5 // 4))
        self._array[self._count:end] = rows.to('cpu', self.dtype).numpy()
        self._count = end

    def widen(self, dtype: torch.dtype) -> None:
        """Convert the rows to a type that holds larger numbers."""
        if dtype != self.dtype:
            self._array = self._array[:self._count].astype(DTYPES[dtype])
            self.dtype = dtype

    def release(self) -> Tensor:
        """The rows as a tensor that owns exactly their memory; this object is empty afterwards."""
        self._array.resize((self._count, self.columns), refcheck=False)
        array, self._array, self._count = self._array, np.empty((0, self.columns), DTYPES[self.dtype]), 0
        return torch.from_numpy(array)


class DeviceRows:
    """GrowingRows on a GPU, with the same methods. Memory there cannot grow in place, so make room with `reserve`.

    Args:
        columns: Width of a row.
        dtype: Type of the rows.
        device: Where they are.
    """

    def __init__(self, columns: int, dtype: torch.dtype, device: torch.device) -> None:
        self.columns, self.dtype = columns, dtype
        self._rows = torch.empty(0, columns, dtype=dtype, device=device)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def reserve(self, rows: int) -> None:
        """Make room for `rows` rows in total."""
        if rows > len(self._rows):
            before = self._rows[:self._count]
            self._rows = before.new_empty(rows, self.columns)
            self._rows[:self._count] = before

    def append(self, rows: Tensor) -> None:
        """Add rows (m, columns), converted to the type of this array."""
        end = self._count + len(rows)
        if end > len(self._rows):
            self.reserve(max(end, len(self._rows) * 5 // 4))
        self._rows[self._count:end] = rows
        self._count = end

    def widen(self, dtype: torch.dtype) -> None:
        """Convert the rows to a type that holds larger numbers."""
        if dtype != self.dtype:
            self._rows, self.dtype = self._rows.to(dtype), dtype

    def release(self) -> Tensor:
        """The rows; this object is empty afterwards. Reserved memory is freed if a quarter or more of it is unused."""
        rows, count = self._rows, self._count
        self._rows, self._count = rows.new_empty(0, self.columns), 0
        return rows[:count] if count > len(rows) * 3 // 4 else rows[:count].clone()
