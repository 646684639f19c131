"""What of a module a checkpoint fills, as a sentence for the log or as an error with its cure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmimg2vec.errors import UserError


@dataclass(frozen=True)
class FillReport:
    """Which tensors of a module a checkpoint has filled.

    Attributes:
        source: The checkpoint.
        where: What to call the module.
        prefix: Beginning of the module's names in the checkpoint.
        filled: Names in the module.
        resized: Those of ``filled`` whose shape in the file is another.
        missing: Names that stay as they were, and should not.
        new: Names that stay as they were, and may.
        shapes: Name -> (shape in the file, shape in the module), where they do not fit.
        unused: Names under the prefix that the module has no place for.
        deeper: Those of ``unused`` that belong to further layers of the same kind.
        scales: Those of ``unused`` that are LayerScale, without which the network computes something else.
        registers: Those of ``unused`` that are register tokens, which the blocks attend to.
        surplus: Those of ``unused`` that should have a place.
        positions: How the position embeddings were fitted, where the network would not have done it by itself.
        groups: Beginnings of all names in the file, up to their first dot -> number of tensors.
        differences: How the architecture in the file differs, such as 'depth 12 in the file, 4 in the model'.
        fitting_prefix: Another prefix under which the file has names of the module, or None.
        conversion: Whose names the file has and what converts it, where it has another library's.
        cure: What to do where the file does not fit.
    """

    source: str
    where: str
    prefix: str
    filled: tuple[str, ...]
    resized: tuple[str, ...]
    missing: tuple[str, ...]
    new: tuple[str, ...]
    shapes: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]
    unused: tuple[str, ...]
    deeper: tuple[str, ...]
    scales: tuple[str, ...]
    registers: tuple[str, ...]
    surplus: tuple[str, ...]
    positions: str
    groups: Counter[str]
    differences: tuple[str, ...]
    fitting_prefix: str | None
    conversion: str | None
    cure: str

    @property
    def total(self) -> int:
        """How many tensors the module has."""
        return len(self.filled) + len(self.missing) + len(self.new)

    def __str__(self) -> str:
        resized = f' (of which {len(self.resized)} resized: {few(self.resized, 3)})' if self.resized else ''
        unused = f', not used: {few(self.unused, 5)}' if self.unused else ''
        new = f'; {len(self.new)} tensors start anew, as they should: {few(self.new, 3)}' if self.new else ''
        return (
            f'{self.where}: {len(self.filled)} of {self.total} tensors filled from {self.source}{resized}{unused}{new}'
            + (f'; {self.positions}' if self.positions else '')
        )

    def check(self) -> None:
        """Refuse a checkpoint that does not fit the module.

        Raises:
            UserError: Something that should be filled is not; the checkpoint has more layers than the module,
                LayerScale or register tokens that the module would leave out, or a tensor that should have a place and
                has none.
        """
        if self.missing:
            raise UserError(
                f'{self.source} does not fill {self.where}: {len(self.missing)} of {self.total} tensors are missing '
                f'({few(self.missing)}); {self._reason()}'
            )
        if self.deeper:
            raise UserError(
                f'{self.source} has more layers than {self.where}: {len(self.deeper)} tensors have no place there '
                f'({few(self.deeper)}); {"; ".join(self.differences) or "another depth"}: {self.cure}'
            )
        if self.scales:
            raise UserError(
                f'{self.source} does not fit {self.where}: the file has LayerScale and the model has none '
                f'({len(self.scales)} tensors have no place there, such as {self.scales[0]}); set '
                'layer_scale_init_value=0.1 of the backbone (any value above 0: the file has the weights)'
            )
        if self.registers:
            raise UserError(
                f'{self.source} does not fit {self.where}: the file has register tokens ({few(self.registers)}) and '
                'the model has no place for them, so its features would be others; name a checkpoint without registers'
            )
        if self.surplus:
            raise UserError(
                f'{self.source} does not fit {self.where}: {len(self.surplus)} tensors have no place there '
                f'({few(self.surplus)}); {self.cure}'
            )

    def _reason(self) -> str:
        held = ', '.join(f'{name}. ({count})' for name, count in self.groups.most_common(6))
        if self.conversion is not None:
            return self.conversion
        if self.fitting_prefix is not None:
            return (
                f'the file has this network under another prefix than {self.prefix!r} (it holds {held}); set '
                f'prefix={self.fitting_prefix!r} in init_cfg, or leave it out'
            )
        if self.differences:
            return f'another architecture: {"; ".join(self.differences)}; {self.cure}'
        if self.shapes:
            name, (there, here) = next(iter(self.shapes.items()))
            return f'{name} is {there} in the file and {here} in the model; {self.cure}'
        return (
            f'the file holds another network or another method ({held}) than {self.where}, whose names are looked for '
            f'under {self.prefix!r}; {self.cure}'
        )


def few(names: Sequence[str], count: int = 2) -> str:
    """The first of some names."""
    return ', '.join(names[:count]) + (' ...' if len(names) > count else '')
