"""From a collated batch of images and masks to what the model computes on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from mmimg2vec.errors import UserError
from mmimg2vec.models.utils import TokenMask
from mmimg2vec.registry import MODELS


@MODELS.register_module()
class MaskedImagePreprocessor(BaseDataPreprocessor):
    """Checks the masks on the host, moves the batch to the device, normalizes there.

    Images travel as uint8, a quarter of their bytes as float32. Any number of channels.

    Args:
        mean: Mean per channel, in the images' own units (gray levels), after the change to RGB.
        std: Standard deviation per channel, likewise.
        to_rgb: Turn the files' BGR into RGB: the first and the third channel of images of three or more change places.
        non_blocking: Do not wait for the copy to the device (with ``pin_memory`` of the dataloader).

    Raises:
        UserError: ``mean`` and ``std`` differ in length.
    """

    def __init__(
        self,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        to_rgb: bool = False,
        non_blocking: bool = True,
    ) -> None:
        super().__init__(non_blocking=non_blocking)
        if len(mean or ()) != len(std or ()):
            raise UserError(f'data_preprocessor: mean={mean} and std={std} need one value per channel each')
        self.to_rgb = to_rgb
        self.register_buffer('mean', _per_channel(mean), persistent=False)
        self.register_buffer('std', _per_channel(std), persistent=False)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Prepare a batch.

        Args:
            data: ``inputs`` ``(B, C, H, W)`` (or a list of ``(C, H, W)``); for pre-training also ``mask`` ``(B, L)``
                and ``token_rank`` ``(B, L)``, or ``(B, K, L)`` with K masks per image; ``data_samples`` as they are.
            training: Not used.

        Returns:
            Normalized float32 ``inputs``, ``mask`` as a :class:`TokenMask` where there are masks, and the other keys.

        Raises:
            UserError: As :meth:`TokenMask.checked`, or images of another number of channels.
        """
        data = dict(data)
        if isinstance(data['inputs'], Sequence):
            data['inputs'] = torch.stack(tuple(data['inputs']))
        if 'mask' in data:
            # Before the batch goes to the device: reading a number there would make the host wait.
            mask = TokenMask.checked(data['mask'], data.pop('token_rank', None))
            data['mask'] = mask.to(self.device, self._non_blocking)
        data = self.cast_data(data)
        data['inputs'] = self._normalize(data['inputs'])
        return data

    def _normalize(self, images: Tensor) -> Tensor:
        if self.to_rgb and images.shape[1] >= 3:
            images = torch.cat((images[:, :3].flip(1), images[:, 3:]), dim=1)
        images = images.float()
        if self.mean is None:
            return images
        if images.shape[1] != self.mean.shape[1]:
            raise UserError(
                f'the images have {images.shape[1]} channels and data_preprocessor.mean {self.mean.shape[1]}; '
                'give mean and std one value per channel, and the backbone the same in_channels, or load the images '
                'with another color_type'
            )
        return (images - self.mean) / self.std


def _per_channel(values: Sequence[float] | None) -> Tensor | None:
    return None if values is None else torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1)
