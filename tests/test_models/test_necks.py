import pytest
import torch
from contracts import NeckContract
from mmpretrain.models.selfsup.mff import MFFViT

from mmimg2vec import UserError
from mmimg2vec.models import (
    CrossAttentionDecoder,
    FeatureNorm,
    MultiLevelFusion,
    SelfAttentionDecoder,
    SimpleFeaturePyramid,
)
from mmimg2vec.models.layers.cross_attention import CrossAttention
from mmimg2vec.models.utils import sincos_position_embedding


class TestCrossAttentionDecoder(NeckContract):
    def build(self):
        return CrossAttentionDecoder(self.channels, self.out_channels, self.grid, embed_dims=16, depth=2, num_heads=2)


class TestSelfAttentionDecoder(NeckContract):
    def build(self):
        return SelfAttentionDecoder(self.channels, self.out_channels, self.grid, embed_dims=16, depth=2, num_heads=2)


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


class TestSimpleFeaturePyramid:
    def test_levels(self):
        neck = SimpleFeaturePyramid(16, out_channels=8)
        levels = neck((None, torch.randn(2, 16, 8, 6)))
        sizes = [(32, 24), (16, 12), (8, 6), (4, 3), (2, 2)]
        assert [level.shape for level in levels] == [(2, 8, *size) for size in sizes]
        assert torch.equal(levels[4], levels[3][:, :, ::2, ::2])

    def test_only_the_last_map_counts(self):
        neck = SimpleFeaturePyramid(16, out_channels=8)
        first, last = torch.randn(2, 2, 16, 8, 8)
        for a, b in zip(neck((first, last)), neck([last]), strict=True):
            assert torch.equal(a, b)

    def test_some_scales_and_another_norm(self):
        neck = SimpleFeaturePyramid(16, 8, scales=(2, 0.5), num_outs=2, norm_cfg=dict(type='GN', num_groups=2))
        assert [level.shape[2:] for level in neck([torch.randn(1, 16, 4, 4)])] == [(8, 8), (2, 2)]
        kinds = [type(module).__name__ for module in neck.modules()]
        assert kinds.count('GroupNorm') == 4 and 'LayerNorm2d' not in kinds

    def test_normed_over_channels_at_every_place(self):
        levels = SimpleFeaturePyramid(16, out_channels=8)([torch.randn(2, 16, 4, 4) * 50])
        for level in levels:
            torch.testing.assert_close(level.mean(1), torch.zeros_like(level[:, 0]), atol=1e-5, rtol=0)
            torch.testing.assert_close(level.var(1, unbiased=False), torch.ones_like(level[:, 0]), atol=1e-2, rtol=0)

    def test_layers_of_the_largest_level(self):
        """As the paper's figure: two transposed convolutions that halve the width, with norm and GELU between."""
        neck = SimpleFeaturePyramid(16, out_channels=8)
        first, norm, activation, second, lateral, output = neck.levels[0]
        assert (first.in_channels, first.out_channels) == (16, 8)
        assert (second.in_channels, second.out_channels) == (8, 4)
        assert (type(norm).__name__, type(activation).__name__) == ('LayerNorm2d', 'GELU')
        assert lateral.conv.weight.shape == (8, 4, 1, 1) and output.conv.weight.shape == (
            8,
            8,
            3,
            3,
        )
        assert lateral.conv.bias is None and lateral.norm.eps == norm.eps == 1e-6
        x = torch.randn(1, 16, 3, 3)
        by_hand = output(lateral(second(torch.nn.functional.gelu(norm(first(x))))))
        assert torch.equal(neck([x])[0], by_hand)

    def test_every_parameter_gets_a_gradient(self):
        neck = SimpleFeaturePyramid(16, out_channels=8)
        target = [torch.randn_like(level) for level in neck([torch.zeros(1, 16, 4, 4)])]
        levels = neck([torch.randn(1, 16, 4, 4)])
        sum((a * b).sum() for a, b in zip(levels, target, strict=True)).backward()
        assert all(p.grad is not None and p.grad.any() for p in neck.parameters())

    @pytest.mark.parametrize(
        ('kwargs', 'message'),
        [
            (dict(scales=(1, 2)), 'choose among'),
            (dict(scales=(8, 4)), 'choose among'),
            (dict(scales=()), 'choose among'),
            (dict(num_outs=3), 'less than its 4 scales'),
            (dict(in_channels=18), 'has to divide by 4'),
        ],
    )
    def test_mistakes_are_named(self, kwargs, message):
        with pytest.raises(UserError, match=message):
            SimpleFeaturePyramid(**{'in_channels': 16, **kwargs})


def test_attention_reads_by_normalized_keys_without_a_bias():
    block = CrossAttention(8, num_heads=2).double()
    torch.nn.init.normal_(block.norm_key.weight)
    query, key, value = (torch.randn(2, length, 8).double() for length in (3, 5, 5))
    heads = []
    for tokens, norm, linear in (
        (query, block.norm_query, block.query),
        (key, block.norm_key, block.key),
        (value, block.norm_value, block.value),
    ):
        centered = tokens - tokens.mean(-1, keepdim=True)
        tokens = centered / (centered.square().mean(-1, keepdim=True) + 1e-6).sqrt() * norm.weight + norm.bias
        heads.append((tokens @ linear.weight.T + (0 if linear.bias is None else linear.bias)).split(4, dim=-1))
    read = [(q @ k.mT / 2).softmax(-1) @ v for q, k, v in zip(*heads, strict=True)]
    torch.testing.assert_close(block.attend(query, key, value), block.proj(torch.cat(read, -1)))
    assert block.key.bias is None and block.query.bias is not None and block.value.bias is not None


def test_a_feature_norm_takes_the_scale_of_each_map_out():
    neck = FeatureNorm([4, 2], {'type': 'BN'})
    maps = (100 * torch.randn(3, 4, 5, 5) + 7, 1e-3 * torch.randn(3, 2, 5, 5))
    for found, width in zip(neck(maps), (4, 2), strict=True):
        rows = found.transpose(0, 1).flatten(1)
        assert rows.shape == (width, 75)
        torch.testing.assert_close(rows.mean(1), torch.zeros(width), atol=1e-5, rtol=0)
        # BatchNorm's eps, 1e-5, counts for the variance of 1e-6 of the second map.
        assert rows.std(1).min() > (0.9 if width == 4 else 0.2)
    # Afterwards it is a fixed linear map: what the probe has learnt does not depend on the other images of a batch.
    neck.eval()
    torch.testing.assert_close(neck(maps)[0][:1], neck((maps[0][:1], maps[1][:1]))[0])
    with pytest.raises(ValueError):
        neck(maps[:1])
