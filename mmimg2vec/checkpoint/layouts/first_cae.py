"""The first CAE (arXiv 2202.03026), which is another model than CAE v2 under names that partly agree."""

from __future__ import annotations

from collections.abc import Iterable

from mmimg2vec.errors import UserError

# What CAE v2 has not: in the names of the authors, in those of their first release, and in mmpretrain's.
_PARTS = (
    *('alignment_encoder.', 'decoder.decoder_blocks.'),
    *('pretext_neck.', 'encoder_to_decoder.', 'encoder_to_decoder_norm.'),
    *('neck.regressors.', 'neck.decoders.'),
)


def refuse_first_cae(names: Iterable[str]) -> None:
    """Look whether names of weights are those of the first CAE, whose encoder has the names of CAE v2's.

    Raises:
        UserError: They are.
    """
    first = [name for name in names if str(name).startswith(_PARTS)]
    if first:
        raise UserError(
            f'this is a checkpoint of the first CAE, not of CAE v2: it has {first[0]}; name one of CAE v2, or take '
            "mmpretrain's CAE for this one"
        )
