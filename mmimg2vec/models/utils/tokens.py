"""Tokens ``(B, L, C)`` of patches in raster order: which are masked, where they stand, how unlike they are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from mmpretrain.models.utils import build_2d_sincos_position_embedding
from torch import Tensor

from mmimg2vec.errors import UserError

SUPERVISIONS = ('masked', 'visible', 'all')


@dataclass(frozen=True, eq=False)
class TokenMask:
    """The masks of a batch, over patches in raster order: K of each image, all of an image side by side.

    :meth:`checked` makes it, on the host; the data preprocessor does so before the batch goes to the device. Nothing
    here waits for a device: the count is an int, and what follows from the mask is computed once and kept.

    Attributes:
        masked: ``(B, L)`` bool, ``True`` = masked, the same count in every row.
        num_masked: That count.
        rank: ``(B, L)`` a random permutation per row, independent of the mask, by which a share of the patches is
            chosen; None where all are compared.
        per_image: Masks of an image, K: row ``b * K + k`` is the k-th mask of image b.
    """

    masked: Tensor
    num_masked: int
    rank: Tensor | None = None
    per_image: int = 1

    @classmethod
    def checked(cls, masked: Tensor, rank: Tensor | None = None) -> TokenMask:
        """Check the masks of a batch and count what they mask.

        Args:
            masked: ``(B, L)`` bool on the host, ``True`` = masked, or ``(B, K, L)``: K masks per image.
            rank: Random ranks of the same shape, or None.

        Raises:
            UserError: The masks have another form, mask different counts (masked patches would be taken for visible),
                or leave no patch masked or none visible.
        """
        if not isinstance(masked, Tensor) or masked.ndim not in (2, 3) or masked.dtype != torch.bool:
            found = f'{masked.dtype} {tuple(masked.shape)}' if isinstance(masked, Tensor) else type(masked).__name__
            raise UserError(
                f'the mask of a batch is {found}; it has to be a bool tensor (images, patches), or (images, masks per '
                'image, patches)'
            )
        if rank is not None and rank.shape != masked.shape:
            raise UserError(f'token_rank is {tuple(rank.shape)} and the mask {tuple(masked.shape)}: they have to agree')
        per_image = 1 if masked.ndim == 2 else masked.shape[1]
        masked = masked.reshape(-1, masked.shape[-1])
        rank = None if rank is None else rank.reshape(masked.shape)
        counts = masked.sum(dim=1)
        low, high = int(counts.min()), int(counts.max())
        if low != high:
            raise UserError(
                f'the masks of a batch mask between {low} and {high} patches; every image of a batch needs the same '
                'count: use a mask transform with a fixed count'
            )
        if not 0 < low < masked.shape[1]:
            which, cure = ('masked', 'raise') if low == 0 else ('visible', 'lower')
            raise UserError(f'the masks leave no patch {which}: {cure} the mask_ratio of the mask transform')
        return cls(masked, low, rank, per_image)

    @classmethod
    def nothing(cls, images: int, tokens: int, device: torch.device | str | None = None) -> TokenMask:
        """No patch masked: what whole images are encoded with."""
        return cls(torch.zeros(images, tokens, dtype=torch.bool, device=device), 0)

    def __len__(self) -> int:
        """Number of masks, B: of images times :attr:`per_image`."""
        return len(self.masked)

    @property
    def num_images(self) -> int:
        """Images that the masks are of."""
        return len(self) // self.per_image

    @property
    def first(self) -> TokenMask:
        """The first mask of each image alone."""
        rank = None if self.rank is None else self.rank[:: self.per_image]
        return TokenMask(self.masked[:: self.per_image], self.num_masked, rank)

    @property
    def num_tokens(self) -> int:
        """Patches of an image, L."""
        return self.masked.shape[1]

    @property
    def num_visible(self) -> int:
        """Visible patches of an image, V."""
        return self.num_tokens - self.num_masked

    @cached_property
    def order(self) -> Tensor:
        """``(B, L)`` raster indices: the visible patches, then the masked ones, each in raster order."""
        return self.masked.int().argsort(dim=1, stable=True)

    @cached_property
    def restore(self) -> Tensor:
        """``(B, L)`` the way back: where in :attr:`order` each patch stands."""
        return self.order.argsort(dim=1)

    @property
    def visible(self) -> Tensor:
        """``(B, V)`` raster indices of the visible patches, in raster order."""
        return self.order[:, : self.num_visible]

    @property
    def masked_index(self) -> Tensor:
        """``(B, M)`` raster indices of the masked patches, in raster order."""
        return self.order[:, self.num_visible :]

    def gather_visible(self, tokens: Tensor) -> Tensor:
        """Tokens of the visible patches: ``(images or 1, L, C)`` -> ``(B, V, C)``."""
        return gather_tokens(tokens, self.visible)

    def compared(self, supervision: str = 'masked', share: float = 1.0) -> Tensor:
        """Choose the patches at which prediction and target are compared.

        Args:
            supervision: ``'masked'``, ``'visible'`` or ``'all'`` patches are candidates.
            share: Share of the candidates that is compared, in (0, 1]: those of lowest rank. A random share of the
                masked patches can stand for all of them (CrossMAE, arXiv 2401.14391).

        Returns:
            ``(B, P)`` raster indices in raster order, ``P = ceil(share * candidates)``.

        Raises:
            UserError: A share is asked for and the batch has no ranks.
        """
        if share < 1 and self.rank is None:
            raise UserError(f'head.share={share} needs token_rank in the batch: a mask transform of mmimg2vec gives it')
        count = math.ceil(share * self._candidates(supervision))
        excluded = {
            'masked': ~self.masked,
            'visible': self.masked,
            'all': torch.zeros_like(self.masked),
        }[supervision]
        rank = torch.zeros_like(self.masked, dtype=torch.long) if self.rank is None else self.rank
        order = (rank + self.num_tokens * excluded).argsort(dim=1, stable=True)
        return order[:, :count].sort(dim=1).values

    def to(self, device: torch.device | str, non_blocking: bool = False) -> TokenMask:
        """The same masks on another device."""
        rank = None if self.rank is None else self.rank.to(device, non_blocking=non_blocking)
        return TokenMask(self.masked.to(device, non_blocking=non_blocking), self.num_masked, rank, self.per_image)

    def _candidates(self, supervision: str) -> int:
        return {'masked': self.num_masked, 'visible': self.num_visible, 'all': self.num_tokens}[supervision]


def gather_tokens(tokens: Tensor, index: Tensor) -> Tensor:
    """Tokens at the given indices, of images several times without copying them first.

    Args:
        tokens: ``(N, L, C)``.
        index: ``(B, P)``, B a multiple of N: the first B / N rows are of the first image, and so on.

    Returns:
        ``(B, P, C)``.
    """
    rows, channels = index.reshape(tokens.shape[0], -1), tokens.shape[-1]
    return tokens.gather(1, rows.unsqueeze(-1).expand(-1, -1, channels)).view(*index.shape, channels)


def repeat_images(features: Tensor, count: int) -> Tensor:
    """One row per mask of what there is per image: ``(N, C)`` -> ``(count, C)``, N a divisor of ``count``."""
    return features.unsqueeze(1).expand(-1, count // features.shape[0], -1).flatten(0, 1)


def sincos_position_embedding(grid: tuple[int, int], dims: int, class_token: bool = True) -> Tensor:
    """Fixed 2-D sine-cosine position embedding in raster order, the class token's (zeros) first.

    Args:
        grid: Rows and columns of the token grid.
        dims: Width, divisible by 4.
        class_token: Whether the class token's position stands first.

    Returns:
        ``(1, [1 +] rows * columns, dims)`` float32. The first half of the channels (sine, then cosine) tells the row,
        the second the column, as in the official code of CAE v2. MAE's table has the two halves exchanged: the column
        comes first. To a network that is trained from the start it is the same; a checkpoint brings its own table.
    """
    rows, columns = grid
    # mmpretrain's function runs through its grid column by column: with the sides swapped that is raster order.
    return build_2d_sincos_position_embedding((columns, rows), dims, cls_token=class_token)


def check_heads(dims: int, num_heads: int) -> None:
    """Check that a decoder's width fits its heads and its position embedding.

    Raises:
        UserError: It does not.
    """
    if dims % num_heads or dims % 4:
        raise UserError(f'neck: embed_dims={dims} has to be divisible by 4 and by num_heads={num_heads}')


def map_to_tokens(feature_map: Tensor) -> Tensor:
    """Feature map to tokens in raster order: ``(B, C, H, W)`` -> ``(B, H * W, C)``."""
    return feature_map.flatten(2).transpose(1, 2)


def unit_length(tokens: Tensor) -> Tensor:
    """Scale each token ``(..., C)`` to length 1, whatever its size; one that is zero throughout stays zero."""
    largest = tokens.abs().amax(dim=-1, keepdim=True)
    # First by the largest entry: squares of tiny or huge ones would leave the range of the type.
    return F.normalize(tokens / largest.clamp_min(torch.finfo(tokens.dtype).tiny), dim=-1)


def token_diversity(tokens: Tensor) -> Tensor:
    r"""Token diversity of each image.

    With unit-length tokens :math:`z_1 \dots z_L`,

    .. math:: 1 - \frac{1}{L (L-1)} \sum_{i \ne j} z_i \cdot z_j
              = 1 - \frac{\lVert \sum_i z_i \rVert^2 - L}{L (L-1)},

    the closed form costs O(L C) instead of O(L^2 C). 0 for equal tokens, 1 for orthogonal ones; negative cosines can
    bring it slightly above 1. Source: the quantity that Img2Vec (arXiv 2304.12535) names; the formula is the
    project's choice.

    Args:
        tokens: ``(B, L, C)`` with L > 1, any scale. Half-precision tokens are measured in float32.

    Returns:
        ``(B,)`` diversities.
    """
    length = tokens.shape[1]
    unit = unit_length(tokens if tokens.dtype.itemsize >= 4 else tokens.float())
    similar = unit.sum(dim=1).square().sum(dim=-1) - unit.square().sum(dim=(1, 2))
    return 1 - similar / (length * (length - 1))
