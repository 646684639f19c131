"""A head for each of several teachers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from mmimg2vec.errors import UserError
from mmimg2vec.models.heads.token_heads import TokenHead
from mmimg2vec.models.utils import gather_tokens
from mmimg2vec.registry import MODELS


@MODELS.register_module()
class SeveralHeads(TokenHead):
    """A head for each generator of :class:`~mmimg2vec.models.target_generators.SeveralTargetGenerators`.

    Args:
        in_channels: As :class:`TokenHead`.
        pooled_channels: Likewise, of all teachers together.
        parts: Name, channels and pooled channels of each teacher, in their order; the algorithm fills it in.
        heads: Name of a teacher -> config of its head, such as ``mmimg2vec.FeatureHead``. Which patches are compared is
            said here, by ``supervision`` and ``share``, once for all.
        weights: Name of a teacher -> factor of its losses; 1 where it is not named.
        **kwargs: As :class:`TokenHead`: ``supervision``, ``share``.

    Raises:
        UserError: The heads are not those of the teachers.
    """

    def __init__(
        self,
        in_channels: int,
        pooled_channels: int,
        heads: dict[str, dict[str, Any]],
        parts: Sequence[tuple[str, int, int]] = (),
        weights: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(in_channels, pooled_channels, **kwargs)
        weights = weights or {}
        names = [name for name, _, _ in parts]
        if set(heads) != set(names) or not set(weights) <= set(names):
            raise UserError(
                f'model.head has heads for {", ".join(heads)} and weights for {", ".join(weights) or "none"}; the '
                f'teachers of model.target_generator.generators are {", ".join(names) or "none"}'
            )
        self.parts = tuple(parts)
        self.weights = {name: weights.get(name, 1.0) for name in names}
        self.heads: Any = nn.ModuleDict(
            {
                name: MODELS.build({'in_channels': in_channels, 'pooled_channels': pooled, **heads[name]})
                for name, _, pooled in parts
            }
        )

    def loss(
        self, prediction: Tensor, positions: Tensor, class_token: Tensor, target: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Losses and watched quantities; arguments as :meth:`TokenHead.loss`.

        Returns:
            Those of each head, ``loss_...`` (weighted) and watched ones, with the teacher's name behind; those of
            :meth:`TokenHead.watched` for all channels together.
        """
        found = self.watched(prediction, gather_tokens(target['tokens'], positions))
        widths = [width for _, width, _ in self.parts]
        pooled_widths = [width for _, _, width in self.parts]
        wanted = target['tokens'].split(widths, dim=-1)
        pooled = target['pooled'].split(pooled_widths, dim=-1) if 'pooled' in target else [None] * len(widths)
        for (name, _, _), own, tokens, image in zip(
            self.parts, prediction.split(widths, dim=-1), wanted, pooled, strict=True
        ):
            targets = {'tokens': tokens} if image is None else {'tokens': tokens, 'pooled': image}
            for key, value in self.heads[name].loss(own, positions, class_token, targets).items():
                found[f'{key}_{name}'] = self.weights[name] * value if 'loss' in key else value
        return found
