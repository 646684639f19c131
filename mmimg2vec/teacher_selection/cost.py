"""What a network costs: multiply-adds, and memory."""

from __future__ import annotations

import contextlib
import ctypes
import re
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode


@torch.no_grad()
def count_macs(network: Callable[[Tensor], object], image: Tensor) -> float | None:
    """Multiply-adds of a network for what it is given; see :func:`macs_of`."""
    return macs_of(lambda: network(image))


def macs_of(call: Callable[[], object]) -> float | None:
    """Multiply-adds of a call, convolutions and matrix products counted, those of a backward pass too.

    None where the counter does not know what the call does.
    """
    counter = FlopCounterMode(display=False)
    # Fused attention is unknown to the counter of older torch; the plain form has the same products.
    backends = torch.backends.cuda
    before = (backends.flash_sdp_enabled(), backends.mem_efficient_sdp_enabled())
    backends.enable_flash_sdp(False)
    backends.enable_mem_efficient_sdp(False)
    try:
        with counter:
            call()
    except (NotImplementedError, AttributeError, TypeError, AssertionError):
        return None
    finally:
        backends.enable_flash_sdp(before[0])
        backends.enable_mem_efficient_sdp(before[1])
    return counter.get_total_flops() / 2  # a multiply-add is two operations


class PeakMemory:
    """Peak memory in MiB from now on: allocated on a GPU, or what this process grows by on the CPU.

    On the CPU it needs Linux; what an earlier network left to the process is given back first, where the C library can.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.type == 'cuda':
            torch.cuda.reset_peak_memory_stats(device)
            self.start: float | None = torch.cuda.memory_allocated(device)
        else:
            self.start = self._reset_and_read()

    def mib(self) -> float | None:
        """The peak so far, None where it cannot be told."""
        if self.start is None:
            return None
        if self.device.type == 'cuda':
            return (torch.cuda.max_memory_allocated(self.device) - self.start) / 2**20
        now = _status('VmHWM')
        return None if now is None else max(0.0, now - self.start) / 1024

    def _reset_and_read(self) -> float | None:
        with contextlib.suppress(OSError, AttributeError):  # glibc only
            ctypes.CDLL(None).malloc_trim(0)
        try:
            Path('/proc/self/clear_refs').write_text('5')  # resets the peak
        except OSError:
            return None
        return _status('VmRSS')


def _status(key: str) -> float | None:
    """KiB of an entry of this process's status, read here: psutil knows no peak that can be reset."""
    try:
        text = Path('/proc/self/status').read_text(encoding='utf-8')
    except OSError:
        return None
    found = re.search(rf'^{key}:\s+(\d+) kB', text, re.MULTILINE)
    return float(found[1]) if found else None
