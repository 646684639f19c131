"""Adam and AdamW in one kernel, wherever torch has it."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch.optim import Adam, AdamW, Optimizer


class FusedAdam:
    """The rule by which an Adam or AdamW is fused.

    It is where the config names neither ``fused`` nor ``foreach``, all parameters are on one device, and torch has the
    kernel there: on CUDA from torch 2.1 on, on the CPU from 2.4. What the config names stays. Else torch's default
    runs, without a word. A state that was saved one way goes on the other way. (The project's choice.)

    Args:
        optimizer: Any optimizer; others than Adam and AdamW are left alone. Fused in place.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        groups = optimizer.param_groups
        devices = {parameter.device for group in groups for parameter in group['params']}
        if any(group.get(name) is not None for group in groups for name in ('fused', 'foreach')):
            self.fused = groups[0].get('fused')
        else:
            self.fused = True if len(devices) == 1 and has_fused(next(iter(devices))) else None
        self.apply()

    def apply(self) -> None:
        """Set the groups; again after a state was loaded, which brings the choice of the run that wrote it."""
        optimizer = self.optimizer
        if not isinstance(optimizer, (Adam, AdamW)):
            return
        optimizer.defaults['fused'] = self.fused
        # By it torch's GradScaler hands over its flag instead of reading it from the device.
        optimizer._step_supports_amp_scaling = bool(self.fused)
        for group in optimizer.param_groups:
            group['fused'] = self.fused
            for parameter in group['params']:
                state = optimizer.state.get(parameter, {})
                if 'step' in state:  # fused ones count on their device, others on the host
                    device = parameter.device if self.fused or group.get('capturable') else torch.device('cpu')
                    state['step'] = torch.as_tensor(state['step'], dtype=torch.float32).to(device)


@lru_cache
def has_fused(device: torch.device) -> bool:
    """Whether torch has the fused kernel on a device."""
    try:
        AdamW([torch.zeros(1, device=device, requires_grad=True)], fused=True)
    except (RuntimeError, NotImplementedError):
        return False
    return True
