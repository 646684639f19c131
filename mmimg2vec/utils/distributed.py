"""Several processes as one: the model inside a wrapper, and checks that one process makes for all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.model import is_model_wrapper
from torch import nn

from mmimg2vec.errors import UserError

T = TypeVar('T')


def unwrapped(model: nn.Module) -> Any:
    """The model itself, where it is inside DistributedDataParallel or another of mmengine's wrappers.

    Any: its caller knows which methods the model has beside those of ``nn.Module``.
    """
    return model.module if is_model_wrapper(model) else model


def on_main_process(task: Callable[[], T]) -> T:
    """Run a task on the main process alone; all get its result, and a mistake that it finds ends all alike.

    Were it raised on the main process only, the others would wait for it in their next exchange.

    Raises:
        UserError: The task raised it, on whichever process this is.
    """
    shared: list[Any] = [None, None]  # the mistake, the result
    if is_main_process():
        try:
            shared[1] = task()
        except UserError as error:
            shared[0] = str(error)
    broadcast_object_list(shared)
    if shared[0] is not None:
        raise UserError(shared[0])
    return shared[1]
