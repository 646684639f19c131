import pytest
import torch
from contracts import NeckContract
from mmpretrain.models.selfsup.mff import MFFViT

from mmimg2vec import UserError
from mmimg2vec.models import CrossAttentionDecoder, MultiLevelFusion, SelfAttentionDecoder
from mmimg2vec.models.utils import sincos_position_embedding


class TestCrossAttentionDecoder(NeckContract):
    def build(self):
        return CrossAttentionDecoder(
            self.channels, self.out_channels, self.grid, embed_dims=16, depth=2, num_heads=2
        )


class TestSelfAttentionDecoder(NeckContract):
    def build(self):
        return SelfAttentionDecoder(
            self.channels, self.out_channels, self.grid, embed_dims=16, depth=2, num_heads=2
        )


class TestCrossAttentionDecoderNotSquare(TestCrossAttentionDecoder):
    grid = (2, 8)


class TestSelfAttentionDecoderNotSquare(TestSelfAttentionDecoder):
    grid = (2, 8)


def test_positions_differ_along_rows_and_columns():
    table = sincos_position_embedding((2, 8), 16, class_token=False)[0].view(2, 8, 16)
    rows, columns = table[..., :8], table[..., 8:]
    # The first half of the channels tells the row, the second the column.
    assert torch.equal(rows[:, :1].expand_as(rows), rows)
    assert torch.equal(columns[:1].expand_as(columns), columns)
    assert not torch.equal(rows[0], rows[1]) and not torch.equal(columns[:, 0], columns[:, 1])


def test_width_has_to_divide_into_heads():
    for kind in (CrossAttentionDecoder, SelfAttentionDecoder):
        with pytest.raises(UserError, match='embed_dims=20 has to be divisible'):
            kind(8, 8, (2, 2), embed_dims=20, num_heads=16)


class TestFusion:
    def test_is_mmpretrains_mff(self):
        arch = dict(embed_dims=16, num_layers=4, num_heads=2, feedforward_channels=32)
        mff = MFFViT(arch=arch, img_size=32, patch_size=16, out_indices=[0, 2, 3])
        mff.init_weights()
        fusion = MultiLevelFusion(16, (0, 2, 3))
        names = {'proj_layers', 'proj_weights'}
        state = {k: v for k, v in mff.state_dict().items() if k.split('.')[0] in names}
        state['proj_weights'] = torch.tensor([0.3, -1.0, 0.5]).view(3, 1, 1, 1)
        fusion.load_state_dict(state)
        tokens = [torch.randn(2, 5, 16) for _ in range(3)]
        projected = [
            mff.proj_layers[0](tokens[0]),
            mff.proj_layers[1](tokens[1]),
            tokens[2],
        ]
        shares = torch.tensor([0.3, -1.0, 0.5]).softmax(0)
        expected = sum(share * x for share, x in zip(shares, projected, strict=True))
        torch.testing.assert_close(fusion(tokens), expected)
        torch.testing.assert_close(fusion.weights, shares)

    @pytest.mark.parametrize('blocks', [(3,), (3, 1), (1, 1, 2)])
    def test_blocks_are_checked(self, blocks):
        with pytest.raises(UserError, match='two or more blocks in ascending order'):
            MultiLevelFusion(8, blocks)
