import pytest
import torch
from mmpretrain.models.utils import MultiheadAttention

from mmimg2vec.models import MaskedVisionTransformer
from mmimg2vec.models.layers.self_attention import SplitAttention


@pytest.mark.parametrize('options', [{}, dict(layer_scale_init_value=0.1), dict(qkv_bias=False)])
def test_values_and_gradients_are_the_parents(options):
    torch.manual_seed(0)
    plain = MultiheadAttention(32, 4, **options)
    ours = SplitAttention(32, 4, **options)
    ours.load_state_dict(plain.state_dict())
    results = []
    for attention in (plain, ours):
        x = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(1), requires_grad=True)
        y = attention(x)
        y.square().sum().backward()
        results.append([y, x.grad, *(p.grad for p in attention.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_the_backward_pass_fills_no_zeros():
    x = torch.randn(2, 5, 32, requires_grad=True)
    names = set()
    stack = [SplitAttention(32, 4)(x).sum().grad_fn]
    while stack:
        node = stack.pop()
        names.add(type(node).__name__)
        stack += [child for child, _ in node.next_functions if child is not None]
    assert 'UnbindBackward0' in names and not any('Select' in name for name in names)


def test_the_masked_backbone_has_it():
    backbone = MaskedVisionTransformer(arch='deit-tiny')
    assert all(type(layer.attn) is SplitAttention for layer in backbone.layers)
