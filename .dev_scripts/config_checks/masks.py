"""Whether the name of a pre-training config says how much is hidden."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mmengine.config import ConfigDict

from config_checks.nodes import walk

if TYPE_CHECKING:
    from config_checks.names import ConfigName

EMBEDDED_DATA = 'shapes'
MASKS = ('mmimg2vec.RandomTokenMask', 'mmimg2vec.BlockTokenMask')
# Masked patches in percent: (algorithm, model) or algorithm -> what goes without saying; others are said, as mask25.
USUAL_MASK = {
    ('cae-v2', 'vit-tiny-h12'): 15,
    ('cae-v2', 'vit-small-h12'): 25,
    'cae-v2': 50,
    'img2vec': 75,
    'mff': 75,
}
MASK_OPTION = re.compile(r'mask(\d+)')


def check_mask(cfg: ConfigDict, name: ConfigName) -> list[str]:
    """Whether the share of masked patches is the one of the name, or the usual one of the method."""
    stated = [int(match[1]) for match in map(MASK_OPTION.fullmatch, name.options) if match]
    usual = USUAL_MASK.get((name.algo, name.model), USUAL_MASK.get(name.algo))
    if not stated and (usual is None or name.data == EMBEDDED_DATA):
        return []
    problems = [
        f'option mask{percent} of the name is usual for {name.algo} with {name.model}; leave it out'
        for percent in stated
        if percent == usual
    ]
    wanted = stated or [usual]
    found = [
        round(100 * node.get('mask_ratio', 0))
        for _, node in walk(cfg.get('train_dataloader', {}))
        if node.get('type') in MASKS
    ]
    if found != wanted:
        problems.append(f'{found} percent of the patches are hidden, by the name {wanted}')
    return problems
