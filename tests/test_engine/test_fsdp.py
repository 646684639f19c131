"""What FSDP makes a unit of its own."""

import pytest
from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from torch import nn

from mmimg2vec.engine.fsdp import wrap_transformer_blocks


@pytest.mark.parametrize(
    ('module', 'recurse', 'expected'),
    [
        (nn.Linear(1, 1), False, False),
        (nn.Linear(1, 1), True, True),
        (TransformerEncoderLayer(8, 2, 16), False, True),
        (TransformerEncoderLayer(8, 2, 16), True, True),
    ],
)
def test_blocks_are_units_and_all_is_looked_into(module, recurse, expected):
    assert wrap_transformer_blocks(module, recurse, nonwrapped_numel=0) is expected
