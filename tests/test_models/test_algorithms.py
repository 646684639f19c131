import copy

import pytest
import tiny_models
import torch
from contracts import random_mask
from mmengine.model import ExponentialMovingAverage
from mmengine.registry import init_default_scope
from mmpretrain.models.backbones import VisionTransformer
from mmpretrain.registry import MODELS
from tiny_models import ARCH, IMG2VEC, batch
from torch import nn

from mmimg2vec import UserError


def build(**changes):
    return tiny_models.build(IMG2VEC, **changes)


def losses(model, data=None) -> dict:
    return tiny_models.losses(model, data or batch())


def total(values: dict) -> torch.Tensor:
    return sum(value for name, value in values.items() if 'loss' in name)


VARIANTS = {
    'default': dict(),
    'no fusion': dict(fusion=None),
    'no global term': dict(head=dict(global_weight=0)),
    'all patches': dict(head=dict(supervision='all', share=1.0)),
    'visible patches': dict(head=dict(supervision='visible')),
    'cosine': dict(head=dict(loss=dict(type='mmimg2vec.CosineFeatureLoss'))),
    'self-attention': dict(neck=dict(type='mmimg2vec.SelfAttentionDecoder')),
    'whitened': dict(target_generator=dict(normalization='whiten')),
}


@pytest.mark.parametrize('changes', VARIANTS.values(), ids=VARIANTS)
def test_training_lowers_the_loss_and_leaves_the_teacher_alone(changes):
    model = build(**changes).train()
    teacher = {k: v.clone() for k, v in model.target_generator.named_buffers()}
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=3e-3)
    first = total(losses(model)).item()
    for _ in range(15):
        optimizer.zero_grad()
        total(losses(model)).backward()
        optimizer.step()
    assert total(losses(model)).item() < 0.9 * first
    assert not [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    after = dict(model.target_generator.named_buffers())
    assert all(torch.equal(value, after[name]) for name, value in teacher.items())
    assert not any('target_generator' in key for key in model.state_dict())


@pytest.mark.parametrize('scope', ['mmpretrain', 'mmdet', 'mmseg'])
def test_builds_under_every_default_scope(scope):
    if scope != 'mmpretrain':
        pytest.importorskip(scope)
    init_default_scope(scope)
    try:
        from mmengine.registry import MODELS as ROOT

        model = ROOT.build(copy.deepcopy(IMG2VEC))
        model.init_weights()
        assert total(losses(model)).isfinite()
        assert type(model.target_generator.teacher.network).__module__.startswith('mmpretrain')
    finally:
        init_default_scope('mmpretrain')


def test_backbone_loads_into_the_plain_vision_transformer():
    model = build()
    prefix = 'backbone.'
    state = {k[len(prefix) :]: v for k, v in model.state_dict().items() if k.startswith(prefix)}
    plain = VisionTransformer(arch=ARCH, img_size=64, patch_size=16, out_type='raw')
    result = plain.load_state_dict(state)
    assert not result.missing_keys and not result.unexpected_keys
    plain.eval(), model.eval()
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(plain(images)[0], model.extract_feat(images)[0])


def test_masked_pixels_reach_the_target_only():
    model = build().eval()
    data = model.data_preprocessor(batch())
    pixels = data['mask'].masked.view(4, 1, 4, 4).repeat_interleave(16, 2).repeat_interleave(16, 3)
    changed = torch.where(pixels, data['inputs'] + 1, data['inputs'])
    before, after = (model.predict_features(x, data['mask']) for x in (data['inputs'], changed))
    assert torch.equal(before['prediction'], after['prediction'])
    assert not torch.equal(before['target'], after['target'])


def test_fusion_starts_with_equal_shares_and_learns():
    model = build()
    torch.testing.assert_close(model.fusion.weights, torch.full((3,), 1 / 3))
    found = losses(model)
    total(found).backward()
    assert model.fusion.proj_weights.grad.abs().max() > 0
    # Watched, under the names of the blocks, and no part of what is minimised.
    shares = {name: value for name, value in found.items() if 'fusion' in name}
    assert list(shares) == [f'fusion_weight_{block}' for block in (0, 2, 3)]
    assert all(value.item() == pytest.approx(1 / 3) for value in shares.values())
    assert not any(value.requires_grad for value in shares.values())
    assert not any('fusion' in name for name in losses(build(fusion=None)))


def test_ema_shares_the_teacher():
    model = build()
    ema = ExponentialMovingAverage(model)
    assert ema.module.target_generator is model.target_generator
    assert ema.module.backbone is not model.backbone
    assert not any('target_generator' in key for key in ema.state_dict())


def test_inference_loads_no_teacher():
    model = MODELS.build(copy.deepcopy(IMG2VEC))
    model.eval()
    model(torch.randn(1, 3, 64, 64))
    assert model.target_generator.teacher is None


def test_five_channels():
    model = build(
        backbone=dict(in_channels=5),
        data_preprocessor=dict(mean=[100.0] * 5, std=[50.0] * 5, to_rgb=False),
    )
    assert total(losses(model, batch(5))).isfinite()


class TestPreprocessor:
    def test_normalizes_rgb(self):
        data = batch()
        prepared = build().data_preprocessor(data, True)
        rgb = data['inputs'].flip(1).float()
        mean, std = torch.tensor([120.0, 115, 100]), torch.tensor([58.0, 57, 57])
        expected = (rgb - mean.view(3, 1, 1)) / std.view(3, 1, 1)
        torch.testing.assert_close(prepared['inputs'], expected)
        assert prepared['mask'].num_masked == 12 and torch.equal(prepared['mask'].masked, data['mask'])
        assert torch.equal(prepared['mask'].rank, data['token_rank']) and 'token_rank' not in prepared
        assert torch.equal(data['inputs'], batch()['inputs'])

    def test_first_three_of_more_channels_become_rgb(self):
        cfg = dict(mean=[0.0] * 5, std=[1.0] * 5, to_rgb=True)
        images = batch(5)['inputs']
        prepared = MODELS.build(dict(type='mmimg2vec.MaskedImagePreprocessor', **cfg))(dict(inputs=images))
        assert torch.equal(prepared['inputs'], images[:, [2, 1, 0, 3, 4]].float())

    def test_uneven_masks(self):
        data = batch()
        data['mask'][1] = ~data['mask'][1]
        with pytest.raises(UserError, match='mask between 4 and 12 patches'):
            losses(build(), data)

    def test_every_image_needs_a_mask(self):
        data = batch()
        with pytest.raises(UserError, match='there are 3 masks, 1 per image, for a batch of 4 images'):
            losses(build(), {**data, 'mask': data['mask'][:3], 'token_rank': data['token_rank'][:3]})

    def test_no_masked_patch(self):
        data = batch()
        with pytest.raises(UserError, match='the masks leave no patch masked'):
            build().data_preprocessor({**data, 'mask': data['mask'] & False})

    def test_a_file_of_another_model_is_refused(self):
        with pytest.raises(UserError, match=r'holds nothing of this model \(no backbone\., but e\.g\. encoder\.x'):
            build().load_state_dict({'encoder.x': torch.zeros(1)}, strict=False)

    def test_wrong_channels(self):
        with pytest.raises(UserError, match=r'images have 5 channels and data_preprocessor.mean 3'):
            losses(build(), batch(5))


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(fusion=dict(blocks=(0, 2))), r'has to end with the last of the 4 blocks'),
        (dict(target_generator=dict(output_stride=None)), 'teacher gives 2 x 2 tokens'),
        (
            dict(
                backbone=dict(in_channels=2),
                data_preprocessor=dict(mean=[1.0, 2], std=[1.0, 1], to_rgb=False),
            ),
            'say which of them are red, green and blue',
        ),
        (dict(backbone=dict(in_channels=1)), r'in_channels=1 and 3 values in .*mean'),
        (dict(backbone=dict(arch='vit-small')), 'model.backbone cannot be built: Arch vit-small'),
        (dict(data_preprocessor=dict(std=[1.0])), 'need one value per channel each'),
    ],
)
def test_parts_that_do_not_fit_are_named(changes, message):
    with pytest.raises(UserError, match=message):
        build(**changes)


def test_images_and_masks_of_another_size_are_named():
    # Neck and head know one grid: a transposed crop would train on with wrong positions.
    model = build(backbone=dict(img_size=(32, 64)))
    mask, rank = random_mask(2, 8, 6)
    images = torch.zeros(2, 3, 64, 32, dtype=torch.uint8)
    with pytest.raises(UserError, match=r'images are 64 x 32 .*\(32, 64\): set scale=\(32, 64\) \(height, width\)'):
        losses(model, dict(inputs=images, mask=mask, token_rank=rank))
    mask, rank = random_mask(2, 16, 6)
    with pytest.raises(UserError, match='masks have 16 tokens and the images 2 x 4 patches'):
        losses(model, dict(inputs=images.transpose(2, 3), mask=mask, token_rank=rank))


def test_batch_without_masks_is_named():
    model = build()
    with pytest.raises(UserError, match='the batch has no masks'):
        losses(model, dict(inputs=batch()['inputs']))


def test_target_generator_of_another_kind_is_named():
    cfg = copy.deepcopy(IMG2VEC)
    cfg['target_generator'] = dict(type='mmpretrain.HOGGenerator')
    with pytest.raises(UserError, match='target_generator is a HOGGenerator'):
        MODELS.build(cfg)


def test_every_part_is_registered_under_our_scope():
    import mmimg2vec.models as parts
    from mmimg2vec.registry import MODELS as OURS

    bases = {'MaskedImageModel', 'TargetGenerator', 'TokenDecoder', 'TokenHead'}
    for name in set(parts.__all__) - bases:
        assert OURS.get(name) is getattr(parts, name), name
        assert issubclass(OURS.get(name), nn.Module)
