"""Mixed precision on whatever device the model is on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.dist import get_world_size
from mmengine.optim import OptimWrapper
from torch import nn
from torch.nn.utils import clip_grad_norm_

from mmimg2vec.engine.optim_wrappers.finite import FiniteGradients
from mmimg2vec.engine.optim_wrappers.fused import FusedAdam
from mmimg2vec.errors import UserError
from mmimg2vec.registry import OPTIM_WRAPPERS
from mmimg2vec.utils.distributed import unwrapped

_DTYPES = {'bfloat16': torch.bfloat16, 'float16': torch.float16, 'float32': torch.float32}


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """mmengine's optimizer wrapper with autocast on the model's device, the CPU included.

    mmengine's ``AmpOptimWrapper`` refuses the CPU and scales the loss under bfloat16 too, which has float32's range and
    needs no scaling. Accumulation and gradient clipping are the parent's. Adam and AdamW are fused where torch can
    (:class:`~mmimg2vec.engine.optim_wrappers.fused.FusedAdam` has the rule).

    Args:
        dtype: 'bfloat16'; 'float16', with dynamic loss scaling; or 'float32', which is no autocast at all.
        loss_scale: float16 only: arguments of ``torch.amp.GradScaler`` such as ``dict(init_scale=2.**14)``.
        float32_outputs: Names of submodules whose outputs leave them in float32, such as ``('neck', 'rpn_head')`` of a
            detector: mmdet makes anchors in the precision of the RPN's outputs, where bfloat16 rounds positions
            beyond 512 px to 4 px, and mmcv's RoIAlign and nms take no bfloat16.
        skip_nonfinite: Leave out an update whose loss or gradients are not finite, on all processes alike: DDP has
            averaged them, so one bad batch shows in the gradients of all. False updates with whatever is there.
        kwargs: Arguments of ``mmengine.optim.OptimWrapper``: ``optimizer``, ``accumulative_counts``, ``clip_grad``.

    Attributes:
        grad_norm: Norm of the gradients of the update that was just made, before clipping; on the device. None in steps
            that only accumulate, and where nothing asks for it (``measure_grad_norm`` and ``clip_grad`` do).
        finite: Whether those gradients are finite, which is whether the parameters were updated; bool on the device.
            None in steps that only accumulate, and where nothing asks for it (``skip_nonfinite`` and a norm do).
        measure_grad_norm: Whether to compute the norm in any case (``mmimg2vec.GradNormHook`` logs it).

    Raises:
        UserError: Unknown ``dtype``, ``loss_scale`` without float16, float16 without an accelerator, or, in the first
            step, a name in ``float32_outputs`` that the model does not have.
    """

    def __init__(
        self,
        dtype: str = 'bfloat16',
        loss_scale: dict | None = None,
        float32_outputs: Sequence[str] = (),
        skip_nonfinite: bool = True,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        if dtype not in _DTYPES:
            raise UserError(f'optim_wrapper.dtype={dtype!r} is unknown: set one of {", ".join(_DTYPES)}')
        if loss_scale is not None and dtype != 'float16':
            raise UserError(f'optim_wrapper.loss_scale is for float16 only: remove it for {dtype}')
        self.dtype = _DTYPES[dtype]
        self._fused_adam = FusedAdam(self.optimizer)
        self.float32_outputs = tuple(float32_outputs)
        self._casting: nn.Module | None = None  # the model that has the hooks
        self.skip_nonfinite = skip_nonfinite
        self.measure_grad_norm = False
        self.grad_norm: torch.Tensor | None = None
        self.finite: torch.Tensor | None = None
        self.loss_scaler = _grad_scaler(loss_scale or {}) if dtype == 'float16' else None
        trained = [p for group in self.optimizer.param_groups for p in group['params']]
        self._finite_gradients = FiniteGradients(trained, in_backward=get_world_size() == 1)

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast around the forward pass, beside the parent's context for accumulation."""
        device = _device_type(model)
        enabled = self.dtype != torch.float32
        if enabled and self._casting is not model:
            for name in self.float32_outputs:
                _submodule(unwrapped(model), name).register_forward_hook(_to_float32)
            self._casting = model
        with (
            super().optim_context(model),
            torch.autocast(device, dtype=self.dtype if enabled else None, enabled=enabled),
        ):
            yield

    def backward(self, loss: torch.Tensor, **kwargs) -> None:
        """Backward pass of the loss, scaled under float16."""
        self.grad_norm = self.finite = None
        # A norm, where one is taken, tells as well; and gradients are only looked at where an update follows.
        has_norm = self.measure_grad_norm or (self.clip_grad_kwargs and self.clip_func is clip_grad_norm_)
        count = self._inner_count + 1
        is_last = count % self._accumulative_counts == 0 or count == self._max_counts
        self._finite_gradients.active = self.skip_nonfinite and is_last and not has_norm
        if self.skip_nonfinite:
            # A loss may be NaN by a term without a gradient. Its gradients become NaN too, and DDP tells all processes.
            loss = loss * torch.where(loss.detach().isfinite(), 1.0, float('nan'))
        super().backward(self.loss_scaler.scale(loss) if self.loss_scaler else loss, **kwargs)

    def step(self, **kwargs) -> None:
        """Clip, where asked for, and update the parameters, unless the gradients are not finite."""
        if self.loss_scaler is not None:
            self.loss_scaler.unscale_(self.optimizer)
        params = [p for group in self.optimizer.param_groups for p in group['params'] if p.grad is not None]
        clips_norm = self.clip_grad_kwargs and self.clip_func is clip_grad_norm_
        if params and self.measure_grad_norm and not clips_norm:
            # Not clip_grad_norm_ to infinity, which would multiply every gradient by one.
            self.grad_norm = torch.stack(torch._foreach_norm([p.grad for p in params])).norm()
        elif params and self.skip_nonfinite and not clips_norm:
            self.finite = self._finite_gradients(params)
        if params and self.clip_grad_kwargs:
            # Unlike the parent's, this does not read the norm from the device, which would wait for the whole step.
            norm = self.clip_func(params, **self.clip_grad_kwargs)
            self.grad_norm = norm.detach() if clips_norm else self.grad_norm
        if self.grad_norm is not None:
            self.finite = self.grad_norm.isfinite()
        if self.loss_scaler is not None:  # it leaves such updates out itself, and lowers its scale
            self.loss_scaler.step(self.optimizer, **kwargs)
            self.loss_scaler.update()
        elif self.finite is None or not self.skip_nonfinite:
            self.optimizer.step(**kwargs)
        elif self.optimizer.defaults.get('fused') and len(self._devices()) == 1:
            # The fused kernels take the flag on the device, so that the host does not wait for it.
            self.optimizer.found_inf = (~self.finite).float()
            self.optimizer.step(**kwargs)
            del self.optimizer.found_inf
        elif self.finite.item():
            self.optimizer.step(**kwargs)

    def _devices(self) -> set[torch.device]:
        return {parameter.device for group in self.optimizer.param_groups for parameter in group['params']}

    def state_dict(self) -> dict:
        """The parent's state and that of the loss scaler."""
        state = super().state_dict()
        if self.loss_scaler is not None:
            state['loss_scaler'] = self.loss_scaler.state_dict()
        return state

    def load_state_dict(self, state_dict: dict) -> None:
        """Load what :meth:`state_dict` returned, also that of a wrapper with another ``dtype``."""
        state_dict = dict(state_dict)
        scaler_state = state_dict.pop('loss_scaler', None)
        if self.loss_scaler is not None and scaler_state:
            self.loss_scaler.load_state_dict(scaler_state)
        super().load_state_dict(state_dict)
        self._fused_adam.apply()


def _submodule(model: nn.Module, name: str) -> nn.Module:
    try:
        return model.get_submodule(name)
    except AttributeError as error:
        raise UserError(
            f'optim_wrapper.float32_outputs names {name}, which {type(model).__name__} does not have; it has '
            f'{", ".join(child for child, _ in model.named_children())}'
        ) from error


def _to_float32(module: nn.Module, inputs: Any, outputs: Any) -> Any:
    """Cast the floating-point tensors of nested tuples and lists; a forward hook."""
    if isinstance(outputs, (tuple, list)):
        return type(outputs)(_to_float32(module, inputs, output) for output in outputs)
    is_floating = isinstance(outputs, torch.Tensor) and outputs.is_floating_point()
    return outputs.float() if is_floating else outputs


def _grad_scaler(kwargs: dict):
    if not torch.cuda.is_available():
        raise UserError("dtype='float16' needs a GPU: set optim_wrapper.dtype='bfloat16'")
    # torch below 2.3 has it in torch.cuda.amp only.
    scaler = getattr(torch.amp, 'GradScaler', None) or torch.cuda.amp.GradScaler
    return scaler(**kwargs)


def _device_type(model: nn.Module) -> str:
    module = unwrapped(model)
    return next(module.parameters()).device.type
