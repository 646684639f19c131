"""Several teachers at once, a head each; histograms of gradients as targets."""

import pytest
import torch
from check_configs import ROOT
from config_checks.consistency import check_consistency
from contracts import TargetGeneratorContract, random_token_mask
from mmengine.config import Config
from mmpretrain.models.selfsup.maskfeat import HOGGenerator

from mmimg2vec.errors import UserError
from mmimg2vec.models import Img2Vec, SeveralTargetGenerators
from mmimg2vec.models.target_generators import HOGTargetGenerator, TargetLayout

RESNET = dict(
    type='mmimg2vec.BackboneTargetGenerator',
    teacher=dict(type='mmpretrain.ResNet', depth=18, base_channels=8, stem_channels=8),
    output_stride=16,
    random_weights=0,
)
VIT = dict(
    type='mmimg2vec.BackboneTargetGenerator',
    teacher=dict(
        type='mmpretrain.VisionTransformer',
        arch=dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32),
        img_size=32,
        patch_size=8,
    ),
    input_size=32,
    random_weights=1,
)
PIXELS = dict(type='mmimg2vec.PixelTargetGenerator')
HEAD = dict(type='mmimg2vec.FeatureHead')


class TestSeveral(TargetGeneratorContract):
    def build(self):
        return SeveralTargetGenerators(dict(conv=RESNET, vit=VIT))

    def test_side_by_side(self):
        generator = self.connected()
        assert self.layout.parts == (('conv', 64, 64), ('vit', 16, 16))
        images = self.images()
        found = generator(images)
        for name, columns in (('conv', slice(0, 64)), ('vit', slice(64, 80))):
            alone = generator.parts[name](images)
            assert torch.equal(found['tokens'][..., columns], alone['tokens'])
            assert torch.equal(found['pooled'][..., columns], alone['pooled'])

    def test_the_fingerprint_is_of_all(self):
        first = self.connected().fingerprint
        other = SeveralTargetGenerators(dict(conv=RESNET, vit={**VIT, 'random_weights': 2}))
        other.connect((16, 16), 3, None, None)
        other.describe((64, 64))
        assert first == self.connected().fingerprint != other.fingerprint


def model(generators, heads, **head):
    torch.manual_seed(0)
    return Img2Vec(
        backbone=dict(
            type='mmimg2vec.MaskedVisionTransformer',
            arch=dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=32),
            img_size=64,
        ),
        neck=dict(type='mmimg2vec.CrossAttentionDecoder', embed_dims=16, depth=1, num_heads=2),
        head=dict(type='mmimg2vec.SeveralHeads', heads=heads, **head),
        target_generator=dict(type='mmimg2vec.SeveralTargetGenerators', generators=generators),
    )


def losses(built, seed=0):
    torch.manual_seed(seed)
    return built(torch.randn(2, 3, 64, 64), mode='loss', mask=random_token_mask(2, 16, 12))


def test_a_head_each_and_weighted():
    built = model(dict(conv=RESNET, pixels=PIXELS), dict(conv=HEAD, pixels={**HEAD, 'global_weight': 0}))
    built.init_weights()
    found = losses(built)
    names = {'loss_token_conv', 'loss_global_conv', 'loss_token_pixels'}
    assert {key for key in found if 'loss' in key} == names
    # What is watched over all channels has the names that hooks look for.
    assert {'target_diversity', 'prediction_diversity', 'prediction_cosine_pixels'} <= set(found)
    sum(found[name] for name in names).backward()
    assert all(parameter.grad is not None for name, parameter in built.named_parameters() if parameter.requires_grad)
    # The last layer of the neck is a linear layer per teacher: a loss reaches its own rows alone.
    weight = next(p for p in reversed(list(built.neck.parameters())) if p.ndim == 2 and p.shape[0] == 64 + 768)
    weight.grad = None
    losses(built)['loss_token_pixels'].backward()
    assert not weight.grad[:64].any() and weight.grad[64:].any()

    heavier = model(dict(conv=RESNET, pixels=PIXELS), dict(conv=HEAD, pixels={**HEAD, 'global_weight': 0}),
                    weights=dict(pixels=3.0))  # fmt: skip
    heavier.load_state_dict(built.state_dict())
    again = losses(heavier)
    torch.testing.assert_close(again['loss_token_pixels'], 3 * found['loss_token_pixels'])
    torch.testing.assert_close(again['loss_token_conv'], found['loss_token_conv'])


@pytest.mark.parametrize(
    ('heads', 'weights', 'message'),
    [
        (dict(conv=HEAD), {}, r'has heads for conv .* are conv, pixels'),
        (dict(conv=HEAD, pixels=HEAD), dict(clip=2.0), r'weights for clip; .* are conv, pixels'),
        (dict(conv=HEAD, pixels=HEAD), {}, 'no feature of the whole image; set head.global_weight=0'),
    ],
)
def test_heads_that_are_not_the_teachers(heads, weights, message):
    with pytest.raises(UserError, match=message):
        model(dict(conv=RESNET, pixels=PIXELS), heads, weights=weights)


def test_grids_have_to_agree(monkeypatch):
    generator = SeveralTargetGenerators(dict(conv=RESNET, pixels=PIXELS))
    generator.connect((16, 16), 3, None, None)
    monkeypatch.setattr(generator.parts['pixels'], 'describe', lambda size: TargetLayout((8, 8), 3, 0))
    with pytest.raises(UserError, match='have different grids: conv 4 x 4, pixels 8 x 8'):
        generator.describe((64, 64))
    with pytest.raises(UserError, match='two target generators or more by name, not conv'):
        SeveralTargetGenerators(dict(conv=RESNET))


def test_the_config_of_the_page(tmp_path):
    """It fits at full size."""
    page = (ROOT / 'docs' / 'teachers.md').read_text(encoding='utf-8')
    (text,) = (block.split('```')[0] for block in page.split('```python\n') if 'SeveralTargetGenerators' in block)
    (tmp_path / 'two_teachers.py').write_text(text.replace("['configs/", f"['{ROOT}/configs/"))
    cfg = Config.fromfile(tmp_path / 'two_teachers.py')
    assert set(cfg.model.target_generator.generators) == {'dino', 'clip'}
    assert check_consistency(cfg._cfg_dict) == []


class TestHOG:
    def targets(self, side, patch, **kwargs):
        generator = HOGTargetGenerator(**kwargs)
        generator.connect((patch, patch), 3, None, None)
        images = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))
        return generator.describe((side, side)), generator(images)['tokens'], images

    def test_it_is_mmpretrains(self):
        layout, tokens, images = self.targets(224, 16)
        assert (layout.grid, layout.channels, layout.pooled_channels) == ((14, 14), 108, 0)
        assert torch.equal(tokens, HOGGenerator()(images))

    def test_other_grids(self):
        layout, tokens, _ = self.targets(64, 16)
        assert layout.grid == (4, 4) and tokens.shape == (2, 16, layout.channels)
        histograms = tokens.unflatten(-1, (3, 9, 4)).norm(dim=3)
        torch.testing.assert_close(histograms, torch.ones_like(histograms))

    def test_nothing_is_saved(self):
        assert not HOGTargetGenerator().state_dict()

    def test_mistakes(self):
        with pytest.raises(UserError, match='cells of 8 px do not divide patches of 14 x 14 px'):
            self.targets(224, 14)
        generator = HOGTargetGenerator()
        generator.connect((16, 16), 3, None, None)
        with pytest.raises(UserError, match='takes square images'):
            generator.describe((64, 128))
