"""Are the batches large enough for what the model averages over them?"""

from __future__ import annotations

from collections.abc import Sized
from typing import cast

from mmengine.dist import get_world_size
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

from mmimg2vec.errors import UserError


def check_batches(model: nn.Module, dataloader: DataLoader) -> None:
    """Check that no batch of a process is a single image where BatchNorm sees one value per image and channel.

    Args:
        model: The model that is trained.
        dataloader: Of the training images.

    Raises:
        UserError: There is such a batch: torch would end the run in it, which may be the last of the epoch.
    """
    name = single_value_norm(model)
    size = getattr(dataloader.batch_sampler, 'batch_size', None)
    if name is None or size is None:
        return
    what = f'model.{name} normalizes over the batch and sees one value per image and channel'
    if size == 1:
        raise UserError(f'{what}: set train_dataloader.batch_size=2 or more')
    count = len(cast(Sized, dataloader.sampler))
    if not dataloader.drop_last and count % size == 1:
        raise UserError(
            f'{what}, and the last batch of {count} images in batches of {size} is a single one: set '
            f'train_dataloader.drop_last=True, or a batch_size other than {size}'
        )


def single_value_norm(model: nn.Module) -> str | None:
    """Name of a BatchNorm layer, in use for training, that sees vectors or maps of one pixel; None without any.

    Those are one-dimensional ones, and those behind a pooling to 1 x 1, as in pyramid pooling.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.BatchNorm1d) and _trains(module):
            return name
        if isinstance(module, nn.Sequential):
            pools = [part for part in module if isinstance(part, nn.AdaptiveAvgPool2d)]
            if any(pool.output_size in (1, (1, 1)) for pool in pools):
                for inner, part in module.named_modules():
                    if isinstance(part, _BatchNorm) and _trains(part):
                        return f'{name}.{inner}'
    return None


def _trains(norm: _BatchNorm) -> bool:
    is_synchronized = isinstance(norm, nn.SyncBatchNorm) and get_world_size() > 1
    return not is_synchronized and any(parameter.requires_grad for parameter in norm.parameters())
