"""Products of sparse matrices with many columns at once, into arrays that are there already."""

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class SparseRows:
    """A sparse matrix (R, C) in compressed rows.

    Args:
        starts: (R + 1,) int32, where the entries of each row start.
        columns: Their columns, int32.
        values: Their values, float32.
        num_columns: C.
    """

    starts: Tensor
    columns: Tensor
    values: Tensor
    num_columns: int

    def __len__(self) -> int:
        """Number of rows, R."""
        return len(self.starts) - 1

    def multiply(self, dense: Tensor, out: Tensor, add: bool = False) -> Tensor:
        """`out` = matrix times `dense`, or `out` += it.

        A column of the result depends on the same column of `dense` alone, and on no number of threads.

        Args:
            dense: (C, V) float32; V columns, each row contiguous.
            out: (R, V) float32, written.
            add: Whether the product is added to `out`.
        """
        if dense.device.type == 'cpu' and not torch.backends.mkl.is_available():
            return self._multiply_by_scipy(dense, out, add)
        with warnings.catch_warnings():
            warnings.filterwarnings('ignore', message='Sparse CSR tensor support is in beta state')
            matrix = torch.sparse_csr_tensor(self.starts, self.columns, self.values, (len(self), self.num_columns),
                                             check_invariants=False)
            return torch.addmm(out, matrix, dense, beta=float(add), out=out)

    def _multiply_by_scipy(self, dense: Tensor, out: Tensor, add: bool) -> Tensor:
        """The same where torch was built without sparse products (ARM, macOS)."""
        from scipy.sparse import csr_array
        matrix = csr_array((self.values.numpy(), self.columns.numpy(), self.starts.numpy()),
                           (len(self), self.num_columns))
        product = torch.from_numpy(matrix @ dense.numpy())
        return out.add_(product) if add else out.copy_(product)
