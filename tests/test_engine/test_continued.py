"""A released backbone goes on: the network of its file as student and as teacher, its features at step 0."""

import pytest
import torch
from check_configs import ROOT
from mmengine.registry import MODELS

from mmimg2vec.checkpoint.export import import_backbone
from mmimg2vec.engine.backbone_settings import take_released_backbone
from mmimg2vec.errors import UserError
from mmimg2vec.utils.config import load_config

timm = pytest.importorskip('timm')
(CONTINUED,) = (ROOT / 'configs' / 'img2vec').glob('*-continued-*.py')
GRID = 4
MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


def network(patch, **kwargs):
    """timm's ViT with weights of no usual value."""
    model = timm.models.vision_transformer.VisionTransformer(
        img_size=GRID * patch, patch_size=patch, embed_dim=32, depth=3, num_heads=2, num_classes=0, **kwargs
    )
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data = 0.2 * torch.randn(parameter.shape, generator=generator) + 0.05
    return model.eval()


def dinov2(folder):
    """Patches of 14, LayerScale, and the mask token that the release has beside."""
    model = network(14, init_values=1.0)
    torch.save({**model.state_dict(), 'mask_token': torch.zeros(1, 32)}, folder / 'release.pth')
    return model


def mae(folder):
    """The encoder beside a decoder, below `model`."""
    model = network(16)
    beside = {'mask_token': torch.zeros(1, 1, 8), 'decoder_embed.weight': torch.zeros(8, 32)}
    torch.save({'model': {**model.state_dict(), **beside}}, folder / 'release.pth')
    return model


def dino(folder):
    model = network(8)
    torch.save(model.state_dict(), folder / 'release.pth')
    return model


def continued(path, monkeypatch, side):
    """The shipped config on a file, its images at the size of the release."""
    monkeypatch.setenv('IMG2VEC_BACKBONE', str(path))
    cfg = load_config(str(CONTINUED), {'model.backbone.img_size': side, 'model.target_generator.dtype': 'float32'})
    cfg.model.neck.update(embed_dims=16, depth=1, num_heads=2)
    take_released_backbone(cfg)
    return cfg


@pytest.mark.parametrize('release', [dinov2, mae, dino])
def test_features_at_step_0_are_the_releases(release, tmp_path, monkeypatch, capsys):
    theirs = release(tmp_path)
    import_backbone(tmp_path / 'release.pth', tmp_path / 'backbone.pth', num_heads=2)
    patch = theirs.patch_embed.patch_size[0]
    cfg = continued(tmp_path / 'backbone.pth', monkeypatch, GRID * patch)
    assert 'student and teacher are the network of' in capsys.readouterr().err
    (mask,) = (step for step in cfg.train_dataloader.dataset.dataset.pipeline if 'mask_ratio' in step)
    assert mask.patch_size == cfg.model.backbone.patch_size == patch
    model = MODELS.build(cfg.model)
    model.init_weights()
    model.eval()
    gray = torch.rand(2, 3, GRID * patch, GRID * patch, generator=torch.Generator().manual_seed(1)) * 255
    images = (gray - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    with torch.no_grad():
        wanted, (found,) = theirs.forward_features(images), model.backbone(images)
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
        tokens = model.target_generator(images)['tokens']
    normal = torch.nn.functional.layer_norm(wanted[:, 1:], wanted.shape[-1:])
    torch.testing.assert_close(tokens, normal, rtol=1e-4, atol=1e-4)
    assert model.backbone.pos_embed.requires_grad  # it goes on learning


def test_another_config_stays(tmp_path):
    for file in (ROOT / 'configs' / 'img2vec').glob('*.py'):
        if file != CONTINUED:
            cfg = load_config(str(file))
            before = cfg.to_dict()
            take_released_backbone(cfg)
            assert cfg.to_dict() == before


@pytest.mark.parametrize('name', ['reg_token', 'register_tokens'])
def test_registers_are_refused(name, tmp_path):
    dinov2(tmp_path)
    state = torch.load(tmp_path / 'release.pth')
    torch.save({**state, name: torch.zeros(1, 4, 32)}, tmp_path / 'release.pth')
    with pytest.raises(UserError, match=rf'has register tokens \({name}\).*take this one as a teacher'):
        import_backbone(tmp_path / 'release.pth', tmp_path / 'backbone.pth', num_heads=2)
    assert not (tmp_path / 'backbone.pth').exists()


def test_mistakes(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r'no backbone .*gone.pth to continue: convert a release'):
        continued(tmp_path / 'gone.pth', monkeypatch, 64)
    dinov2(tmp_path)
    import_backbone(tmp_path / 'release.pth', tmp_path / 'backbone.pth', num_heads=2)
    with pytest.raises(UserError, match='patches of 14 px, which do not divide the images of 64 px'):
        continued(tmp_path / 'backbone.pth', monkeypatch, 64)
