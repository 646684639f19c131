"""Several teachers at once: their targets side by side."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor, nn

from mmimg2vec.errors import UserError
from mmimg2vec.models.target_generators.base import TargetGenerator, TargetLayout
from mmimg2vec.registry import MODELS


@MODELS.register_module()
class SeveralTargetGenerators(TargetGenerator):
    """The targets of several generators side by side, for :class:`~mmimg2vec.models.heads.SeveralHeads`.

    ::

        images ─┬─► dino ─► tokens (B, L, C1), pooled ─┐
                └─► clip ─► tokens (B, L, C2), pooled ─┴─► tokens (B, L, C1 + C2), pooled (B, P1 + P2)

    Each one keeps its own normalization, input size and type. The neck's last layer predicts all channels, which is a
    linear layer for each teacher on the same decoder (the project's choice). Where one gives no feature of the whole
    image, its part of ``pooled`` is empty.

    Args:
        generators: Name -> config of a target generator.

    Raises:
        UserError: There are fewer than two, or one of them is none.
    """

    def __init__(self, generators: dict[str, dict[str, Any]]) -> None:
        super().__init__()
        self.generators = nn.ModuleDict({name: MODELS.build(cfg) for name, cfg in generators.items()})
        if len(generators) < 2 or not all(isinstance(part, TargetGenerator) for part in self.generators.values()):
            raise UserError(
                f'SeveralTargetGenerators takes two target generators or more by name, not {", ".join(generators)}'
            )

    @property
    def parts(self) -> dict[str, TargetGenerator]:
        """The generators by name."""
        return {name: part for name, part in self.generators.items() if isinstance(part, TargetGenerator)}

    @property
    def has_teacher(self) -> bool:  # type: ignore[override]  # as its generators
        """Whether one of them has a network that sees the images."""
        return any(part.has_teacher for part in self.parts.values())

    def connect(self, patch_size: tuple[int, int], in_channels: int, mean: Tensor | None, std: Tensor | None) -> None:
        """Tell all of them about the student; arguments as :meth:`TargetGenerator.connect`."""
        for part in self.parts.values():
            part.connect(patch_size, in_channels, mean, std)

    def describe(self, img_size: tuple[int, int]) -> TargetLayout:
        """Grid and widths for images of ``(height, width)``.

        Raises:
            UserError: The grids of two of them differ.
        """
        found = {name: part.describe(img_size) for name, part in self.parts.items()}
        grids = {layout.grid for layout in found.values()}
        if len(grids) > 1:
            listed = ', '.join(f'{name} {layout.grid[0]} x {layout.grid[1]}' for name, layout in found.items())
            raise UserError(f'the teachers of SeveralTargetGenerators have different grids: {listed}')
        return TargetLayout(
            grids.pop(),
            sum(layout.channels for layout in found.values()),
            sum(layout.pooled_channels for layout in found.values()),
            tuple((name, layout.channels, layout.pooled_channels) for name, layout in found.items()),
        )

    def load(self) -> None:
        """Load the weights of all of them where that has not been done."""
        for part in self.parts.values():
            part.load()

    @property
    def fingerprint(self) -> str | None:
        """SHA-256 of the fingerprints, or None where there are no weights."""
        found = [f'{name} {part.fingerprint}' for name, part in self.parts.items() if part.fingerprint]
        return hashlib.sha256('\n'.join(found).encode()).hexdigest() if found else None

    @torch.no_grad()
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """``tokens`` and, where one of them has it, ``pooled``: those of the generators side by side."""
        found = [part(images) for part in self.parts.values()]
        pooled = [targets['pooled'].float() for targets in found if 'pooled' in targets]
        tokens = torch.cat([targets['tokens'].float() for targets in found], dim=-1)
        return {'tokens': tokens, **({'pooled': torch.cat(pooled, dim=-1)} if pooled else {})}
