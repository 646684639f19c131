"""MFF against mmpretrain's own, with the same weights, images and masks."""

import copy

import pytest
import torch
from contracts import TargetGeneratorContract, random_mask, random_token_mask
from mmengine.runner.checkpoint import load_state_dict
from mmpretrain.models.backbones import VisionTransformer
from mmpretrain.models.necks import MAEPretrainDecoder
from mmpretrain.registry import MODELS

from mmimg2vec import UserError
from mmimg2vec.checkpoint.layouts.mff import to_mmimg2vec, to_mmpretrain
from mmimg2vec.models import PixelTargetGenerator
from mmimg2vec.models.utils import TokenMask

ARCH = dict(embed_dims=32, num_layers=4, num_heads=2, feedforward_channels=64)
BLOCKS = (0, 2, 3)
OURS = dict(
    type='mmimg2vec.MFF',
    backbone=dict(type='mmimg2vec.MaskedVisionTransformer', arch=ARCH, img_size=64, patch_size=8),
    fusion=dict(type='mmimg2vec.MultiLevelFusion', blocks=BLOCKS),
    neck=dict(type='mmimg2vec.SelfAttentionDecoder', embed_dims=16, depth=2, num_heads=2),
    head=dict(
        type='mmimg2vec.FeatureHead',
        loss=dict(type='mmpretrain.PixelReconstructionLoss', criterion='L2'),
        global_weight=0,
    ),
)
HEAD = dict(
    type='mmpretrain.MAEPretrainHead',
    norm_pix=True,
    patch_size=8,
    loss=dict(type='mmpretrain.PixelReconstructionLoss', criterion='L2'),
)
THEIRS = dict(
    type='mmpretrain.MFF',
    backbone=dict(type='mmpretrain.MFFViT', arch=ARCH, img_size=64, patch_size=8, out_indices=BLOCKS),
    neck=dict(
        type='mmpretrain.MAEPretrainDecoder',
        num_patches=64,
        patch_size=8,
        embed_dim=32,
        decoder_embed_dim=16,
        decoder_depth=2,
        decoder_num_heads=2,
    ),
    head=HEAD,
)


def build(**changes):
    cfg = copy.deepcopy(OURS)
    for name, change in changes.items():
        cfg[name] = change if change is None else {**cfg.get(name, {}), **change}
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    model.init_weights()
    return model


def build_theirs(fused: bool = True, norm_pix: bool = True):
    cfg = copy.deepcopy(THEIRS)
    cfg['head']['norm_pix'] = norm_pix
    if not fused:
        cfg['type'] = 'mmpretrain.MAE'
        cfg['backbone']['type'] = 'mmpretrain.MAEViT'
        del cfg['backbone']['out_indices']
    torch.manual_seed(1)
    model = MODELS.build(cfg)
    model.init_weights()
    if fused:  # equal shares would hide an exchange of two blocks
        model.backbone.proj_weights.data.copy_(torch.randn(3, 1, 1, 1))
    for parameter in model.parameters():
        if parameter.requires_grad:  # no zero biases, which would hide that they are used
            parameter.data.add_(torch.randn_like(parameter) * 0.02)
    return model


def images(seed: int = 3):
    return torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


def total(losses):
    return sum(value for name, value in losses.items() if 'loss' in name)


@pytest.mark.parametrize('norm_pix', [True, False])
@pytest.mark.parametrize('fused', [True, False], ids=['MFF', 'MAE'])
def test_loss_and_gradients_are_mmpretrains(fused, norm_pix):
    theirs = build_theirs(fused, norm_pix)
    ours = build(
        **(dict() if fused else dict(fusion=None)),
        target_generator=dict(type='mmimg2vec.PixelTargetGenerator', norm_pix=norm_pix),
    )
    result = ours.load_state_dict(theirs.state_dict())
    assert not result.missing_keys and not result.unexpected_keys

    torch.manual_seed(7)
    wanted = theirs.loss(images(), None)
    torch.manual_seed(7)  # the mask that mmpretrain has just drawn
    mask = theirs.backbone(images())[1].bool()
    assert mask.sum(dim=1).tolist() == [48] * 4
    found = ours(images(), mode='loss', mask=TokenMask.checked(mask))
    torch.testing.assert_close(total(found), wanted['loss'], rtol=1e-5, atol=1e-5)

    total(found).backward()
    wanted['loss'].backward()
    gradients = to_mmimg2vec({n: p.grad for n, p in theirs.named_parameters()})
    names = dict(ours.named_parameters())
    assert names.keys() == gradients.keys()
    for name, parameter in names.items():
        if gradients[name] is None:
            assert parameter.grad is None, name
            continue
        scale = gradients[name].abs().max()
        if not name.endswith('qkv.bias'):  # whose third for the keys has the true gradient zero
            assert scale > 1e-6, name
        assert (parameter.grad - gradients[name]).abs().max() <= 1e-4 * scale + 1e-8, name
    if fused:
        for index, block in enumerate(BLOCKS):
            share = found[f'fusion_weight_{block}']
            torch.testing.assert_close(share, wanted[f'weight_{index}'].detach())
            assert not share.requires_grad
    else:
        assert not [name for name in found if 'fusion' in name]


def test_parts_are_mmpretrains():
    model = build()
    assert isinstance(model.neck, MAEPretrainDecoder)
    assert type(model.head.loss_module).__module__.startswith('mmpretrain.')
    theirs = MODELS.build(HEAD).construct_target(images())
    torch.testing.assert_close(model.target_generator(images())['tokens'], theirs, rtol=1e-5, atol=1e-6)


def test_features_of_whole_images_are_the_plain_transformers():
    model = build().eval()
    prefix = 'backbone.'
    state = {k[len(prefix) :]: v for k, v in model.state_dict().items() if k.startswith(prefix)}
    plain = VisionTransformer(arch=ARCH, img_size=64, patch_size=8, out_type='raw')
    result = plain.load_state_dict(state)
    assert not result.missing_keys and not result.unexpected_keys
    plain.eval()
    model.fusion.proj_weights.data.normal_()
    for found in (model.extract_feat(images()), model(images())):
        assert found[0].shape == (4, 65, 32)
        assert torch.equal(found[0], plain(images())[0])


def test_fused_features_by_name():
    model = build().eval()
    model.fusion.proj_weights.data.normal_()
    blocks = []
    for layer in model.backbone.layers:
        layer.register_forward_hook(lambda _, __, output: blocks.append(output))
    plain = model.extract_feat(images())[0]
    weights = model.fusion.proj_weights.flatten().softmax(0)
    first, second = model.fusion.proj_layers
    fused = weights[0] * first(blocks[0]) + weights[1] * second(blocks[2]) + weights[2] * blocks[3]
    (found,) = model.extract_fused_feat(images())
    torch.testing.assert_close(found, model.backbone.ln1(fused))
    assert not torch.allclose(found, plain, atol=1e-2)
    # Another size than that of pre-training, not square.
    assert model.extract_fused_feat(torch.randn(1, 3, 48, 80))[0].shape == (1, 1 + 60, 32)
    with pytest.raises(UserError, match='no fused features; use extract_feat'):
        build(fusion=None).extract_fused_feat(images())


def test_masked_pixels_reach_the_target_only():
    model = build().eval()
    token_mask = random_token_mask(4, 64, 48)
    mask = token_mask.masked
    pixels = mask.view(4, 1, 8, 8).repeat_interleave(8, 2).repeat_interleave(8, 3)
    changed = torch.where(pixels, torch.randn(images().shape) * 10, images())
    before, after = (model.predict_features(x, token_mask) for x in (images(), changed))
    assert torch.equal(before['prediction'], after['prediction'])
    assert not torch.equal(before['target'], after['target'])
    # Of the visible pixels nothing is compared: other ones do not change the target, but the prediction.
    seen = model.predict_features(torch.where(pixels, images(), images() + 1), token_mask)
    assert not torch.allclose(before['prediction'], seen['prediction'])
    masked = mask.unsqueeze(-1).expand_as(before['target'])
    assert torch.equal(before['target'][masked], seen['target'][masked])
    assert torch.equal(before['positions'], mask.nonzero()[:, 1].view(4, 48))


@pytest.mark.parametrize('fused', [True, False])
def test_training_lowers_the_loss(fused):
    model = build(**(dict() if fused else dict(fusion=None))).train()
    mask, _ = random_mask(4, 64, 48)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=3e-3)
    losses = []
    for _ in range(15):
        losses.append(total(model(images(), mode='loss', mask=TokenMask.checked(mask))))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.97 * losses[0]  # noise, of which there is little to learn
    assert not [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]


class TestPixelTargets(TargetGeneratorContract):
    def build(self):
        return PixelTargetGenerator()

    def test_targets_lie_on_the_students_grid(self):
        generator = self.connected()
        (name, tokens), *rest = generator(self.images()).items()
        assert (name, rest) == ('tokens', [])
        assert self.layout.grid == (4, 4) and self.layout.pooled_channels == 0
        assert tokens.shape == (2, 16, self.layout.channels) and not tokens.requires_grad

    def test_absent_from_parameters_checkpoint_and_copies(self):
        generator = self.connected()
        assert not list(generator.parameters()) and not generator.state_dict()
        assert generator.fingerprint is None

    @pytest.mark.parametrize('channels', [1, 3, 5])
    def test_values(self, channels):
        generator = PixelTargetGenerator(norm_pix=False)
        generator.connect((16, 16), channels, None, None)
        x = torch.randn(2, channels, 64, 64)
        raw = generator(x)['tokens']
        # Token 6 is the patch in row 1, column 2.
        patch = x[:, :, 16:32, 32:48].permute(0, 2, 3, 1).flatten(1)
        assert torch.equal(raw[:, 6], patch)
        generator.norm_pix = True
        mean, std = patch.mean(1, keepdim=True), patch.std(1, keepdim=True)
        torch.testing.assert_close(generator(x)['tokens'][:, 6], (patch - mean) / std)

    def test_patches_that_are_not_square(self):
        generator = PixelTargetGenerator(norm_pix=False)
        generator.connect((8, 16), 3, None, None)
        assert generator.describe((32, 64)).grid == (4, 4)
        x = torch.randn(2, 3, 32, 64)
        # Token 6 is the patch in row 1, column 2.
        assert torch.equal(generator(x)['tokens'][:, 6], x[:, :, 8:16, 32:48].permute(0, 2, 3, 1).flatten(1))


@pytest.mark.parametrize('fused', [True, False], ids=['MFF', 'MAE'])
@pytest.mark.parametrize('img_size', [(32, 64), (64, 32)])
def test_images_that_are_not_square(fused, img_size):
    """The loss is the mean over masked patches of the squared difference to the patch cut by hand."""
    changes = dict(backbone=dict(img_size=img_size), **({} if fused else dict(fusion=None)))
    model = build(**changes).eval()
    x = torch.randn(2, 3, *img_size, generator=torch.Generator().manual_seed(3))
    mask = random_token_mask(2, 32, 24)
    found = model(x, mode='loss', mask=mask)
    columns = img_size[1] // 8
    positions = mask.masked.nonzero()[:, 1].view(2, 24)
    prediction = model.neck(model.encode(x, mask), mask, positions)
    wanted = []
    for sample in range(2):
        for place, token in enumerate(positions[sample].tolist()):
            row, column = divmod(token, columns)
            patch = x[sample, :, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8].permute(1, 2, 0).flatten()
            patch = (patch - patch.mean()) / (patch.var() + 1e-6).sqrt()
            wanted.append((prediction[sample, place] - patch).square().mean())
    (loss,) = (value for name, value in found.items() if 'loss' in name)
    torch.testing.assert_close(loss, torch.stack(wanted).mean())
    loss.backward()
    assert not [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(fusion=dict(blocks=(0, 2))), r'has to end with the last of the 4 blocks'),
        (dict(head=dict(global_weight=1.0)), 'set head.global_weight=0'),
        (dict(data_preprocessor=dict(mean=[0.0], std=[1.0])), r'in_channels=3 and 1 values'),
        (dict(backbone=dict(arch='vit')), 'model.backbone cannot be built'),
    ],
)
def test_parts_that_do_not_fit_are_named(changes, message):
    with pytest.raises(UserError, match=message) as caught:
        build(**changes)
    assert '\n' not in str(caught.value)


def test_batches_that_do_not_fit_are_named():
    model = build()
    with pytest.raises(UserError, match='masks have 16 tokens and the images 8 x 8 patches'):
        model(images(), mode='loss', mask=random_token_mask(4, 16, 12))
    with pytest.raises(UserError, match='images are 32 x 64'):
        model(images()[:, :, :32], mode='loss', mask=random_token_mask(4, 32, 24))
    uneven = random_mask(4, 64, 48)[0]
    uneven[1] = ~uneven[1]
    with pytest.raises(UserError, match='mask between 16 and 48 patches'):
        model.data_preprocessor(dict(inputs=images(), mask=uneven))


class TestLoading:
    """mmpretrain's checkpoints as they are, through torch's and through mmengine's way of loading."""

    def test_both_names_load(self):
        theirs = build_theirs()
        for names in (lambda state: state, to_mmimg2vec):
            ours = build()
            load_state_dict(ours, names(theirs.state_dict()), strict=True)
            back = to_mmpretrain(ours.state_dict())
            assert back.keys() == theirs.state_dict().keys()
            assert all(torch.equal(back[k], v) for k, v in theirs.state_dict().items())

    def test_ours_loads_there(self):
        ours, theirs = build(), build_theirs()
        theirs.load_state_dict(to_mmpretrain(ours.state_dict()), strict=True)

    def test_another_number_of_blocks(self):
        ours = build(fusion=dict(blocks=(1, 3)))
        with pytest.raises(UserError, match=r'fuses 3 blocks and model.fusion.blocks=\(1, 3\)'):
            load_state_dict(ours, build_theirs().state_dict())

    def test_under_a_prefix(self):
        holder = torch.nn.ModuleDict({'module': build()})
        state = {f'module.{k}': v for k, v in build_theirs().state_dict().items()}
        holder.load_state_dict(state, strict=True)
