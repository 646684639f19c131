import pytest
import tiny_vit


@pytest.fixture
def save(tmp_path):
    usual = dict(arch=tiny_vit.ARCH, img_size=32, patch_size=8)

    def save(model, name='backbone.pth', config=usual, **others):
        return tiny_vit.save_backbone(tmp_path / name, model, config, **others)

    return save
