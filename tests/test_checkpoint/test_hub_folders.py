"""Folders as the hubs of timm and transformers have them."""

import json

import pytest
import torch
from test_export import IMAGES, PREPROCESSING, features
from tiny_vit import ARCH, random_vit

from mmimg2vec.checkpoint.export import export_backbone, import_backbone
from mmimg2vec.errors import UserError

CONFIG = dict(arch=ARCH, img_size=32, patch_size=8)


def test_timm_reads_the_folder_with_its_mean_and_std(save, tmp_path):
    timm = pytest.importorskip('timm')
    model = random_vit(layer_scale_init_value=0.1)
    source = save(model, config=dict(**CONFIG, layer_scale_init_value=0.1), data_preprocessor=PREPROCESSING)
    export_backbone(source, tmp_path / 'timm', 'timm')
    built = timm.create_model(f'local-dir:{tmp_path / "timm"}', pretrained=True).eval()
    with torch.no_grad():
        torch.testing.assert_close(built.forward_features(IMAGES), features(model), atol=1e-4, rtol=0)
    settings = timm.data.resolve_data_config(model=built)
    assert list(settings['mean']) == [1.0, 0.2, 0.0] and list(settings['std']) == [0.2, 0.2, 0.2]
    assert list(settings['input_size']) == [3, 32, 32]


def test_transformers_reads_the_folder(save, tmp_path):
    transformers = pytest.importorskip('transformers')
    model = random_vit()
    metadata = export_backbone(save(model, data_preprocessor=PREPROCESSING), tmp_path / 'vit', 'transformers')
    assert len(metadata['parity']) == 2
    built = transformers.AutoModel.from_pretrained(tmp_path / 'vit', add_pooling_layer=False).eval()
    with torch.no_grad():
        torch.testing.assert_close(built(IMAGES).last_hidden_state, features(model), atol=1e-4, rtol=0)
    processor = json.loads((tmp_path / 'vit' / 'preprocessor_config.json').read_text())
    assert processor['image_mean'] == [1.0, 0.2, 0.0] and processor['size'] == {'height': 32, 'width': 32}


def test_from_transformers_and_back_is_bit_identical(save, tmp_path):
    pytest.importorskip('transformers')
    source = save(random_vit())
    export_backbone(source, tmp_path / 'vit.safetensors', 'transformers')
    import_backbone(tmp_path / 'vit.safetensors', tmp_path / 'back.pth', 'transformers')
    ours, back = (torch.load(path, weights_only=True)['state_dict'] for path in (source, tmp_path / 'back.pth'))
    assert back.keys() == ours.keys() and all(torch.equal(back[key], ours[key]) for key in ours)


@pytest.mark.parametrize(
    ('options', 'what'),
    [
        (dict(layer_scale_init_value=0.1), 'LayerScale'),
        (dict(pre_norm=True), 'a norm before'),
        (dict(with_cls_token=False), 'without a class token'),
        (dict(final_norm=False), 'without a final norm'),
    ],
)
def test_what_transformers_lacks(save, tmp_path, options, what):
    pytest.importorskip('transformers')
    source = save(random_vit(**options), config=dict(**CONFIG, **options))
    with pytest.raises(UserError, match=f'ViTModel does not know .*{what}'):
        export_backbone(source, tmp_path / 'vit', 'transformers')
    assert not (tmp_path / 'vit').exists()
