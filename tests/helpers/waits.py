"""Counts what would make the host wait for an accelerator, on a machine without one."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

# A number, a size or a yes that is read from the device; a number that is copied there from unpinned memory.
_WAITS = {
    '_local_scalar_dense', 'nonzero', 'masked_select', 'equal', 'is_nonzero', 'unique_dim', '_unique2', 'lift_fresh'
}  # fmt: skip


class Waits(TorchDispatchMode):
    """While it is entered, operations of torch that wait are noted in :attr:`found`, forward and backward alike."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        name = func.overloadpacket.__name__
        indexes = args[1] if name in ('index', 'index_put', 'index_put_') else ()
        by_mask = any(isinstance(i, torch.Tensor) and i.dtype == torch.bool for i in indexes)
        if name in _WAITS or by_mask:
            self.found.append(name)
        return func(*args, **(kwargs or {}))
