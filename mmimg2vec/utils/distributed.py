"""Several processes as one: the model inside a wrapper, and checks that one process makes for all."""

from __future__ import annotations

from collections.abc import Callable

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.model import is_model_wrapper
from torch import nn

from mmimg2vec.errors import UserError


def unwrapped(model: nn.Module) -> nn.Module:
    """The model itself, where it is inside DistributedDataParallel or another of mmengine's wrappers."""
    return model.get_submodule('module') if is_model_wrapper(model) else model


def on_main_process(task: Callable[[], None]) -> None:
    """Run a task on the main process alone; a mistake that it finds ends all processes alike.

    Were it raised on the main process only, the others would wait for it in their next exchange.

    Raises:
        UserError: The task raised it, on whichever process this is.
    """
    shared: list[str | None] = [None]
    if is_main_process():
        try:
            task()
        except UserError as error:
            shared[0] = str(error)
    broadcast_object_list(shared)
    if shared[0] is not None:
        raise UserError(shared[0])
