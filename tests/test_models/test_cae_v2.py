import copy

import pytest
import torch
import torch.nn.functional as F
from contracts import BackboneContract, NeckContract, random_mask, random_token_mask, reached
from mmpretrain.models.backbones import VisionTransformer
from mmpretrain.registry import MODELS

from mmimg2vec import UserError
from mmimg2vec.models import LatentRegressor, MaskedVisionTransformer, TokenAlignmentHead
from mmimg2vec.models.utils import gather_tokens

ARCH = dict(embed_dims=32, num_layers=3, num_heads=2, feedforward_channels=64)
CAE_V2 = dict(
    type='mmimg2vec.CAEv2',
    backbone=dict(
        type='mmimg2vec.MaskedVisionTransformer',
        arch=ARCH,
        img_size=64,
        patch_size=16,
        key_bias=False,
        layer_scale_init_value=0.1,
    ),
    neck=dict(type='mmimg2vec.LatentRegressor', embed_dims=16, depth=2, num_heads=2),
    head=dict(type='mmimg2vec.TokenAlignmentHead'),
    target_generator=dict(
        type='mmimg2vec.CLIPTargetGenerator',
        teacher=dict(arch=ARCH, img_size=64, patch_size=16, out_channels=24),
        random_weights=0,
    ),
    data_preprocessor=dict(mean=[120.0, 115, 100], std=[58.0, 57, 57], to_rgb=True),
)


def build(**changes):
    torch.manual_seed(0)
    cfg = copy.deepcopy(CAE_V2)
    for name, change in changes.items():
        cfg[name] = {**cfg[name], **change}
    model = MODELS.build(cfg)
    model.init_weights()
    return model


def batch(masked: int = 8, seed: int = 0) -> dict:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (4, 3, 64, 64), generator=generator, dtype=torch.uint8)
    mask, rank = random_mask(4, 16, masked, seed)
    return dict(inputs=images, mask=mask, token_rank=rank)


def losses(model, data=None) -> dict:
    return model(**model.data_preprocessor(data or batch(), True), mode='loss')


class TestBackboneWithoutKeyBias(BackboneContract):
    def build(self):
        torch.manual_seed(0)
        backbone = MaskedVisionTransformer(arch=ARCH, img_size=64, key_bias=False, layer_scale_init_value=0.1)
        backbone.init_weights()
        for layer in backbone.layers:
            torch.nn.init.normal_(layer.attn.qkv.bias)
            layer.attn.qkv.bias.data[32:64] = 0
        return backbone

    def build_parent(self):
        return VisionTransformer(arch=ARCH, img_size=64, layer_scale_init_value=0.1, out_type='raw')


def test_the_keys_bias_is_zero_and_stays_out_of_the_update():
    model = build().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        losses(model)['loss_token'].backward()
        optimizer.step()
    for layer in model.backbone.layers:
        query, key, value = layer.attn.qkv.bias.detach().chunk(3)
        assert query.abs().max() > 0.01 and value.abs().max() > 0.01
        assert torch.equal(key, torch.zeros_like(key))
    copied = copy.deepcopy(model)  # an EMA's, or FSDP's: no hook on a parameter would survive
    losses(copied)['loss_token'].backward()
    assert not copied.backbone.layers[0].attn.qkv.bias.grad[32:64].any()


def test_key_bias_goes_with_a_bias():
    with pytest.raises(UserError, match='goes with qkv_bias=True'):
        MaskedVisionTransformer(arch=ARCH, img_size=64, key_bias=False, qkv_bias=False)


@torch.no_grad()
def test_initialization_is_the_official_codes():
    """Of a normal distribution cut at one deviation, 0.5396 of the deviation is left."""
    arch = dict(embed_dims=192, num_layers=1, num_heads=2, feedforward_channels=384)
    model = build(backbone=dict(arch=arch), neck=dict(embed_dims=192, depth=1))
    projection = model.backbone.patch_embed.projection
    assert float(projection.weight.std()) == pytest.approx(0.0108, rel=0.01)
    assert not projection.bias.any()
    for token in (model.backbone.cls_token, model.neck.mask_token):
        assert float(token.std()) == pytest.approx(0.0108, rel=0.15)
        assert 0.019 < token.abs().max() <= 0.02
    # Xavier: uniform up to the square root of 6 / (in + out), of which 1 / sqrt(3) is the deviation.
    for linear in (model.backbone.layers[0].attn.qkv, model.neck.blocks[0].query, model.neck.blocks[0].mlp[0]):
        bound = (6 / sum(linear.weight.shape)) ** 0.5
        assert 0.99 * bound < linear.weight.abs().max() <= bound
        assert float(linear.weight.std()) == pytest.approx(bound / 3**0.5, rel=0.02)
        assert not linear.bias.any()


def test_a_backbone_from_a_file_is_not_drawn_anew(tmp_path):
    source = build().backbone
    source.cls_token.data.fill_(3)
    torch.save(source.state_dict(), tmp_path / 'backbone.pth')
    model = build(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'backbone.pth'))))
    for name, value in source.state_dict().items():
        assert torch.equal(model.backbone.state_dict()[name], value), name


class TestLatentRegressor(NeckContract):
    width = 16

    def build(self):
        return LatentRegressor(
            self.channels,
            self.out_channels,
            self.grid,
            embed_dims=self.width,
            depth=2,
            num_heads=2,
            layer_scale_init_value=0.5,
        )

    def test_every_parameter_gets_a_gradient(self, neck):
        latents, mask, masked = self.inputs()
        prediction = neck(latents.requires_grad_(), mask, masked)
        prediction.square().sum().backward(retain_graph=True)
        # The class token takes no part in the regression.
        influence = latents.grad.abs().sum(dim=(0, 2))
        assert influence[0] == 0 and influence[1:].min() > 0
        neck.predict_class(latents).square().sum().backward()
        assert latents.grad[:, 0].abs().min() > 0
        for name, parameter in neck.named_parameters():
            assert reached(parameter.grad), name

    def test_visible_tokens_pass_unchanged(self, neck):
        latents, mask, _ = self.inputs()
        by_hand = neck.pred(neck.norm(neck.embed(latents[:, 1:])))
        torch.testing.assert_close(neck(latents, mask, mask.visible), by_hand)
        neck.predict_visible_only()
        torch.testing.assert_close(neck(latents, mask, mask.visible), by_hand)

    def test_all_positions_in_the_order_asked(self, neck):
        latents, mask, _ = self.inputs()
        raster = torch.arange(16).expand(2, -1)
        everything = neck(latents, mask, raster)
        torch.testing.assert_close(neck(latents, mask, mask.order), gather_tokens(everything, mask.order))


class TestSameWidth(TestLatentRegressor):
    width = 32


class TestNotSquare(TestLatentRegressor):
    grid = (2, 8)


def test_without_layer_scale_the_branches_weigh_one():
    neck = LatentRegressor(8, 8, (2, 2), embed_dims=8, num_heads=2, layer_scale_init_value=0)
    assert (neck.blocks[0].gamma1.weight == 1).all()
    assert not neck.blocks[0].gamma1.weight.requires_grad


def test_drop_path_grows_to_the_last_block():
    neck = LatentRegressor(8, 8, (2, 2), embed_dims=8, depth=3, num_heads=2, drop_path_rate=0.1)
    assert [block.drop_path.drop_prob for block in neck.blocks] == pytest.approx([0, 0.05, 0.1])


class TestHead:
    @pytest.fixture()
    def target(self):
        return dict(tokens=torch.randn(2, 16, 8), pooled=torch.randn(2, 8))

    @pytest.mark.parametrize('supervision', ['all', 'visible', 'masked'])
    @pytest.mark.parametrize('class_token', [True, False])
    def test_one_mean_over_the_compared_tokens(self, supervision, class_token, target):
        head = TokenAlignmentHead(8, 8, supervision=supervision, class_token=class_token)
        token_mask = random_token_mask(2, 16, 6)
        mask, positions = token_mask.masked, head.positions(token_mask)
        wanted = {'all': torch.ones_like(mask), 'visible': ~mask, 'masked': mask}[supervision]
        prediction, predicted_class = torch.randn(2, positions.shape[1], 8), torch.randn(2, 8)
        assert (mask.gather(1, positions) & ~wanted.gather(1, positions)).sum() == 0
        assert positions.shape[1] == wanted[0].sum()
        result = head.loss(prediction, positions, predicted_class, target)
        terms = []
        for index in range(2):
            if class_token:
                pair = predicted_class[index], target['pooled'][index]
                terms.append(1 - F.cosine_similarity(*pair, dim=0))
            for token, place in zip(prediction[index], positions[index], strict=True):
                given = target['tokens'][index, place]
                terms.append(1 - F.cosine_similarity(token, given, dim=0))
        torch.testing.assert_close(result['loss_token'], torch.stack(terms).mean())
        assert ('class_cosine' in result) == class_token
        assert [name for name in result if 'loss' in name] == ['loss_token']

    def test_mistakes_are_named(self):
        with pytest.raises(UserError, match="choose one of 'masked', 'visible', 'all'"):
            TokenAlignmentHead(8, 8, supervision='both')
        with pytest.raises(UserError, match='gives no feature of the whole image'):
            TokenAlignmentHead(4, 0)
        with pytest.raises(UserError, match=r'class token is 8 wide and its patches 4; set head\.class_token=False'):
            TokenAlignmentHead(4, 8)


VARIANTS = {
    'default': dict(),
    'visible': dict(head=dict(supervision='visible')),
    'masked': dict(head=dict(supervision='masked')),
    'half of them': dict(head=dict(share=0.5)),
    'no class token': dict(head=dict(class_token=False)),
    'same width': dict(neck=dict(embed_dims=32)),
}


@pytest.mark.parametrize('changes', VARIANTS.values(), ids=VARIANTS)
def test_training_lowers_the_loss_and_leaves_the_teacher_alone(changes):
    model = build(**changes).train()
    teacher = {k: v.clone() for k, v in model.target_generator.named_buffers()}
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=3e-3)
    first = losses(model)['loss_token'].item()
    for _ in range(15):
        optimizer.zero_grad()
        losses(model)['loss_token'].backward()
        optimizer.step()
    assert losses(model)['loss_token'].item() < 0.9 * first
    # DDP waits for the gradient of everything that is trained.
    assert not [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    after = dict(model.target_generator.named_buffers())
    assert len(teacher) > 20 and all(torch.equal(x, after[name]) for name, x in teacher.items())
    assert not any('target_generator' in key for key in model.state_dict())


def test_visible_supervision_neither_runs_nor_trains_the_regressor(monkeypatch):
    model = build(head=dict(supervision='visible'))
    monkeypatch.setattr(LatentRegressor, '_regress', None)
    losses(model)['loss_token'].backward()
    frozen = {name for name, p in model.neck.named_parameters() if not p.requires_grad}
    assert {name.split('.')[0] for name in frozen} == {'mask_token', 'blocks'}


@pytest.mark.parametrize('supervision', ['visible', 'masked', 'all'])
def test_pictures_show_what_is_trained(supervision):
    """Predictions at the compared patches, by what is trained: never by the regressor that visible ones leave out."""
    model = build(head=dict(supervision=supervision)).eval()
    data = model.data_preprocessor(batch(masked=5))
    inputs, mask = data['inputs'], data['mask']
    shown = model.predict_features(inputs, mask)
    wanted = {'visible': ~mask.masked, 'masked': mask.masked, 'all': mask.masked | True}[supervision]
    assert torch.equal(torch.zeros_like(wanted).scatter(1, shown['positions'], True), wanted)
    compared, _ = model.compare(model.encode(inputs, mask), model.target_generator(inputs), mask)
    assert torch.equal(shown['prediction'], compared)
    torch.nn.init.normal_(model.neck.mask_token, std=9.0)
    again = model.predict_features(inputs, mask)['prediction']
    assert torch.equal(again, compared) == (supervision == 'visible')


def test_masked_pixels_reach_the_target_only():
    model = build().eval()
    data = model.data_preprocessor(batch())
    pixels = data['mask'].masked.view(4, 1, 4, 4).repeat_interleave(16, 2).repeat_interleave(16, 3)
    changed = torch.where(pixels, data['inputs'] + 1, data['inputs'])
    before, after = (model.encode(x, data['mask']) for x in (data['inputs'], changed))
    assert torch.equal(before, after)
    everywhere = torch.arange(16).expand(4, -1)
    predictions = [model.neck(x, data['mask'], everywhere) for x in (before, after)]
    assert torch.equal(*predictions)
    pictures = [model.predict_features(x, data['mask']) for x in (data['inputs'], changed)]
    assert torch.equal(pictures[0]['prediction'], pictures[1]['prediction'])
    assert not torch.equal(pictures[0]['target'], pictures[1]['target'])


def test_backbone_loads_into_the_plain_vision_transformer():
    model = build().eval()
    plain = VisionTransformer(arch=ARCH, img_size=64, patch_size=16, layer_scale_init_value=0.1, out_type='raw')
    plain.load_state_dict(model.backbone.state_dict())
    plain.eval()
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(plain(images)[0], model.extract_feat(images)[0])


def test_fusion_by_one_line():
    cfg = copy.deepcopy(CAE_V2)
    cfg['fusion'] = dict(type='mmimg2vec.MultiLevelFusion', blocks=(0, 2))
    model = MODELS.build(cfg)
    model.init_weights()
    losses(model)['loss_token'].backward()
    assert model.fusion.proj_weights.grad.abs().max() > 0


class TestMistakes:
    """One line each, at the latest at the first batch, before anything is updated."""

    def test_masks_of_another_size(self):
        data = dict(zip(('mask', 'token_rank'), random_mask(4, 9, 4), strict=True), inputs=batch()['inputs'])
        with pytest.raises(UserError, match='the masks have 9 tokens and the images 4 x 4'):
            losses(build(), data)

    def test_uneven_masks(self):
        data = batch()
        data['mask'][0] = True
        with pytest.raises(UserError, match='mask between 8 and 16 patches'):
            losses(build(), data)

    def test_parts_of_another_method(self):
        neck = dict(type='mmimg2vec.CrossAttentionDecoder', embed_dims=16, depth=1, num_heads=2)
        with pytest.raises(UserError, match=r'has to be a mmimg2vec.LatentRegressor'):
            MODELS.build({**copy.deepcopy(CAE_V2), 'neck': neck})
        head = dict(type='mmimg2vec.FeatureHead')
        with pytest.raises(UserError, match=r'has to be a mmimg2vec.TokenAlignmentHead'):
            MODELS.build({**copy.deepcopy(CAE_V2), 'head': head})

    def test_targets_of_another_token_count(self):
        with pytest.raises(UserError, match=r'2 x 2 tokens .* student has 4 x 4'):
            build(target_generator=dict(input_size=32))

    def test_backbone_without_class_token(self):
        with pytest.raises(UserError, match='CAEv2 aligns the class token'):
            build(backbone=dict(with_cls_token=False))
