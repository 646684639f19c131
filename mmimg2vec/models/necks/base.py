"""The contract of the necks of pre-training: predict target tokens at the asked patches."""

from __future__ import annotations

from abc import abstractmethod

from mmengine.model import BaseModule
from torch import Tensor

from mmimg2vec.models.utils import TokenMask, check_heads


class TokenDecoder(BaseModule):
    """Base of what predicts target tokens from the latents of the visible patches.

    Args:
        in_channels: Width of the latents; the algorithm fills it in.
        out_channels: Width of the target tokens; the algorithm fills it in.
        grid: Rows and columns of the token grid; the algorithm fills it in.
        embed_dims: Width inside, divisible by 4 and by ``num_heads``.
        num_heads: Attention heads.
        **kwargs: Of the next base: ``init_cfg``.

    Attributes:
        predicts_class: Whether :meth:`predict_class` predicts the target's class token; else the head is given the
            class token of the latents.

    Raises:
        UserError: The width does not divide into the heads.
    """

    predicts_class = False

    def __init__(
        self, in_channels: int, out_channels: int, grid: tuple[int, int], embed_dims: int, num_heads: int, **kwargs
    ) -> None:
        check_heads(embed_dims, num_heads)
        super().__init__(**kwargs)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.grid = tuple(grid)

    @abstractmethod
    def forward(self, latents: Tensor, mask: TokenMask, positions: Tensor) -> Tensor:
        """Predict the target features at the given positions.

        Args:
            latents: ``(B, 1 + V, in_channels)``: class token, visible patches in raster order.
            mask: The masks.
            positions: ``(B, P)`` raster indices of the patches to predict.

        Returns:
            ``(B, P, out_channels)``.
        """

    def predict_class(self, latents: Tensor) -> Tensor:
        """Predict the target's class token: ``(B, 1 + V, in_channels)`` -> ``(B, out_channels)``."""
        raise NotImplementedError(f'{type(self).__name__} predicts no class token')
