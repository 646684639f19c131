import pytest
import torch
from contracts import BackboneContract, evaluated
from mmpretrain.models.backbones import VisionTransformer
from mmpretrain.models.selfsup.mae import MAEViT

from mmimg2vec import UserError
from mmimg2vec.models import MaskedVisionTransformer
from mmimg2vec.models.utils import TokenMask

ARCH = dict(embed_dims=32, num_layers=3, num_heads=2, feedforward_channels=64)


class TestMaskedVisionTransformer(BackboneContract):
    def build(self):
        torch.manual_seed(0)
        backbone = MaskedVisionTransformer(
            arch=ARCH, img_size=self.img_size, patch_size=self.patch, in_channels=self.channels
        )
        backbone.init_weights()
        return backbone

    def build_parent(self):
        return VisionTransformer(
            arch=ARCH,
            img_size=self.img_size,
            patch_size=self.patch,
            in_channels=self.channels,
            out_type='raw',
        )


class TestNotSquare(TestMaskedVisionTransformer):
    img_size = (32, 96)


class TestFiveChannels(TestMaskedVisionTransformer):
    channels = 5


def test_norm_before_the_blocks_is_in_the_masked_path_too():
    torch.manual_seed(0)
    backbone = evaluated(MaskedVisionTransformer(arch=ARCH, img_size=64, pre_norm=True))
    torch.nn.init.normal_(backbone.pre_norm.weight)
    images = torch.randn(2, 3, 64, 64)
    (found,) = backbone(images, TokenMask.nothing(2, 16))
    torch.testing.assert_close(backbone.norm1(found), backbone(images)[-1])


def test_patch_embedding_starts_as_a_linear_layer():
    """MAE's start: Xavier's uniform bounds of the flattened patch, not those of a convolution."""
    backbone = MaskedVisionTransformer(arch=ARCH, img_size=64, patch_size=16)
    backbone.init_weights()
    bound = (6 / (3 * 16 * 16 + 32)) ** 0.5
    largest = backbone.patch_embed.projection.weight.abs().max()
    assert 0.99 * bound < largest <= bound


def test_masked_path_equals_mae():
    torch.manual_seed(0)
    mae = MAEViT(arch=ARCH, img_size=64, patch_size=16)
    mae.init_weights()
    mae.eval()
    ours = MaskedVisionTransformer(arch=ARCH, img_size=64, patch_size=16)
    ours.init_weights()
    assert torch.equal(ours.pos_embed, mae.pos_embed) and not ours.pos_embed.requires_grad
    ours.load_state_dict(mae.state_dict())
    images = torch.randn(2, 3, 64, 64)
    theirs, mask, restore = mae(images)
    # MAE keeps the visible patches in random order; raster order is that of the sorted kept indices.
    kept = restore.argsort(dim=1)[:, : theirs.shape[1] - 1]
    order = kept.argsort(dim=1)
    theirs = torch.cat((theirs[:, :1], theirs[:, 1:].gather(1, order[..., None].expand(-1, -1, 32))), 1)
    result = evaluated(ours)(images, TokenMask.checked(mask.bool()))[0]
    torch.testing.assert_close(ours.norm1(result), theirs)


def test_other_image_size_than_built_for():
    backbone = evaluated(MaskedVisionTransformer(arch=ARCH, img_size=64, patch_size=16))
    mask = TokenMask.checked(torch.arange(8).expand(1, -1) % 2 == 0)
    assert backbone(torch.randn(1, 3, 32, 64), mask)[0].shape == (1, 5, 32)


def test_weights_of_init_cfg_are_used_and_have_to_fill_it(tmp_path):
    source = MaskedVisionTransformer(arch=ARCH, img_size=96, patch_size=16)
    source.init_weights()
    state = {f'backbone.{key}': value for key, value in source.state_dict().items()}
    torch.save({'state_dict': {**state, 'neck.weight': torch.zeros(1)}}, tmp_path / 'whole.pth')
    cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'whole.pth'), prefix='backbone.')
    for init_cfg in (cfg, dict(cfg, prefix=None)):
        target = MaskedVisionTransformer(arch=ARCH, img_size=64, patch_size=16, init_cfg=init_cfg)
        target.init_weights()
        assert torch.equal(target.layers[2].ffn.layers[1].weight, source.layers[2].ffn.layers[1].weight)
        assert target.pos_embed.shape == (1, 17, 32) and target.pos_embed.abs().sum() > 0
    del state['backbone.layers.1.attn.qkv.bias']
    torch.save(state, tmp_path / 'part.pth')
    cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'part.pth'))
    with pytest.raises(UserError, match=r'1 of \d+ tensors are missing.*layers.1.attn.qkv.bias'):
        MaskedVisionTransformer(arch=ARCH, img_size=64, patch_size=16, init_cfg=cfg).init_weights()
    wider = dict(ARCH, embed_dims=64)
    cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'whole.pth'))
    with pytest.raises(UserError, match='width 32 in the file, 64 in the model'):
        MaskedVisionTransformer(arch=wider, img_size=96, patch_size=16, init_cfg=cfg).init_weights()


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(img_size=60), 'does not divide into patches'),
        (dict(img_size=64, pos_embed='cosine'), "choose 'sincos' or 'learned'"),
    ],
)
def test_mistakes_are_named(kwargs, message):
    with pytest.raises(UserError, match=message):
        MaskedVisionTransformer(arch=ARCH, patch_size=16, **kwargs)
