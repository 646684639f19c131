"""Whose names the weights of a file have, told by a few of them, and the command that makes them ours."""

from __future__ import annotations

import re
from collections.abc import Iterable

_TOOLS = 'python tools/model_converters/'
# A name that only these files have -> whose they are, the converter.
_NAMINGS = (
    (
        re.compile(r'(^|\.)patch_embed\.proj\.weight$'),
        "timm's, as in the own files of MAE and DINO",
        'export_backbone.py FILE OUT --from timm --arch base',
    ),
    (
        re.compile(r'^encoder\.patch_embed\.proj\.weight$'),
        "those of CAE v2's authors",
        'cae_v2.py FILE OUT --to mmimg2vec --part encoder',
    ),
)


def conversion(names: Iterable[str], wanted: Iterable[str]) -> str | None:
    """Say whose names a file has, and what converts it; None where they are not known, or the network has them too.

    Args:
        names: Of the file.
        wanted: Of the network.
    """
    names, wanted = list(names), list(wanted)
    # The last that fits is the most particular.
    for pattern, whose, command in reversed(_NAMINGS):
        if any(map(pattern.search, names)) and not any(map(pattern.search, wanted)):
            return f'its names are {whose}: convert it with `{_TOOLS}{command}`, and name OUT'
    return None
