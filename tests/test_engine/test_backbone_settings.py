"""What a config takes from the file that its backbone starts from, and what stays the config's."""

import pytest
import torch
from mmengine.config import Config
from tiny_vit import ARCH, random_vit

from mmimg2vec.engine.backbone_settings import take_backbone_settings
from mmimg2vec.errors import UserError

FOUR_HEADS = {**ARCH, 'num_heads': 4}


def save(path, arch=ARCH, config=True, **kwargs):
    model = random_vit(arch=arch, **kwargs)
    backbone = dict(type='mmpretrain.VisionTransformer', arch=arch, img_size=32, patch_size=8, **kwargs)
    meta = {'config': f'model = {dict(backbone=backbone)!r}'} if config else {}
    state = {f'backbone.{name}': value for name, value in model.state_dict().items()}
    torch.save({'state_dict': state, 'meta': meta}, path)
    return str(path)


def taken(path, arch=ARCH, **kwargs):
    """The backbone of a config that starts from a file."""
    backbone = dict(type='mmpretrain.VisionTransformer', arch=arch, img_size=32, patch_size=8)
    backbone.update(kwargs.pop('backbone', {}))
    init_cfg = dict(type='Pretrained', checkpoint=path, prefix='backbone.')
    cfg = Config(dict(model=dict(backbone={**backbone, 'init_cfg': init_cfg}), **kwargs))
    take_backbone_settings(cfg)
    return {key: value for key, value in cfg.model.backbone.items() if backbone.get(key) != value and key != 'init_cfg'}


def test_heads_and_layer_scale_are_the_files(tmp_path, capsys):
    assert taken(save(tmp_path / 'same.pth')) == {} and capsys.readouterr().err == ''
    path = save(tmp_path / 'other.pth', FOUR_HEADS, layer_scale_init_value=0.1)
    assert taken(path) == {'arch': FOUR_HEADS, 'layer_scale_init_value': 1e-5}
    assert capsys.readouterr().err.startswith(f'mmimg2vec: note: as {path} has it: model.backbone ')
    assert taken(path, backbone=dict(layer_scale_init_value=0.3, arch=FOUR_HEADS)) == {}
    without = save(tmp_path / 'without.pth')
    assert taken(without, backbone=dict(layer_scale_init_value=0.3)) == {'layer_scale_init_value': 0.0}


def test_width_and_depth_stay_the_configs(tmp_path):
    deeper = {**FOUR_HEADS, 'num_layers': ARCH['num_layers'] + 1}
    assert taken(save(tmp_path / 'deeper.pth', deeper)) == {}
    assert taken(save(tmp_path / 'deeper.pth', deeper), arch='deit-tiny') == {}


@pytest.mark.parametrize('kind', ['ResNet', 'mmpretrain.SwinTransformer'])
def test_other_backbones_and_files_that_are_not_there(tmp_path, kind):
    path = save(tmp_path / 'file.pth', FOUR_HEADS)
    assert taken(path, backbone=dict(type=kind)) == {}
    assert taken('https://somewhere/backbone.pth') == {}


def test_the_whole_architecture_where_nothing_is_trained(tmp_path):
    path = save(tmp_path / 'file.pth', FOUR_HEADS, qkv_bias=False)
    changed = taken(path, arch='deit-tiny', knn=dict())
    assert {key: changed['arch'][key] for key in FOUR_HEADS} == FOUR_HEADS and changed['qkv_bias'] is False
    assert 'img_size' not in changed and 'out_type' not in changed
    assert taken(save(tmp_path / 'same.pth'), knn=dict()) == {}  # what a config leaves out is mmpretrain's default
    bare = save(tmp_path / 'bare.pth', config=False)
    assert 'arch' not in taken(bare, arch=ARCH, knn=dict())
    with pytest.raises(UserError, match=r'bare\.pth carries no config that tells the number of attention heads'):
        taken(bare, arch='deit-tiny', knn=dict())
