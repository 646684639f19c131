"""K masked views of an image are trained on as K images would be, and what is before the mask is computed once."""

import copy

import pytest
import torch
from contracts import random_mask
from mmpretrain.registry import MODELS
from tiny_models import ARCH, IMG2VEC

from mmimg2vec import UserError
from mmimg2vec.models.utils import TokenMask

IMAGES, MASKS, TOKENS = 3, 4, 16
CAE_V2 = dict(
    type='mmimg2vec.CAEv2',
    backbone=dict(**IMG2VEC['backbone'], key_bias=False),
    neck=dict(type='mmimg2vec.LatentRegressor', embed_dims=16, depth=1, num_heads=2),
    head=dict(type='mmimg2vec.TokenAlignmentHead'),
    target_generator=dict(
        type='mmimg2vec.CLIPTargetGenerator',
        teacher=dict(arch=ARCH, img_size=64, patch_size=16, out_channels=24),
        random_weights=0,
    ),
)
MFF = dict(
    type='mmimg2vec.MFF',
    backbone=IMG2VEC['backbone'],
    fusion=IMG2VEC['fusion'],
    neck=dict(type='mmimg2vec.SelfAttentionDecoder', embed_dims=16, depth=1, num_heads=2),
    head=dict(type='mmimg2vec.FeatureHead', global_weight=0),
    data_preprocessor=IMG2VEC['data_preprocessor'],
)
METHODS = {'Img2Vec': IMG2VEC, 'CAE v2': CAE_V2, 'MFF': MFF}


def build(cfg):
    torch.manual_seed(0)
    model = MODELS.build(copy.deepcopy(cfg))
    model.init_weights()
    return model.train()


def batch():
    """Three images with four masks each, as a dataloader gives them."""
    images = torch.randint(0, 256, (IMAGES, 3, 64, 64), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    mask, rank = random_mask(IMAGES * MASKS, TOKENS, 8)
    shape = (IMAGES, MASKS, TOKENS)
    return dict(inputs=images, mask=mask.view(shape), token_rank=rank.view(shape))


def repeated(data):
    """The same views, each with an image of its own."""
    images = data['inputs'].repeat_interleave(MASKS, dim=0)
    return dict(inputs=images, **{key: data[key].flatten(0, 1) for key in ('mask', 'token_rank')})


def losses_and_gradients(model, data):
    losses = model(**model.data_preprocessor(data, True), mode='loss')
    model.zero_grad()
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    return losses, {name: p.grad for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize('cfg', METHODS.values(), ids=METHODS)
def test_views_are_trained_on_as_images_would_be(cfg):
    model = build(cfg)
    found, wanted = (losses_and_gradients(model, data) for data in (batch(), repeated(batch())))
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.keys() == theirs.keys()
        for name in ours:
            torch.testing.assert_close(ours[name], theirs[name], rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize('cfg', METHODS.values(), ids=METHODS)
def test_one_mask_is_what_it_was(cfg):
    data = {key: value[:, 0] if key != 'inputs' else value for key, value in batch().items()}
    several = {**data, **{key: data[key].unsqueeze(1) for key in ('mask', 'token_rank')}}
    model = build(cfg)
    plain, of_one = (losses_and_gradients(model, case) for case in (data, several))
    for first, second in zip(plain, of_one, strict=True):
        assert all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.parametrize('cfg', METHODS.values(), ids=METHODS)
def test_teacher_and_patch_embedding_see_each_image_once(cfg):
    model, seen = build(cfg), {}
    for name in ('target_generator', 'backbone.patch_embed', 'backbone.layers.0', 'neck'):
        model.get_submodule(name).register_forward_hook(
            lambda module, args, output, name=name: seen.update({name: seen.get(name, 0) + len(args[0])})
        )
    model(**model.data_preprocessor(batch(), True), mode='loss')
    views = IMAGES * MASKS
    assert seen == {
        'target_generator': IMAGES, 'backbone.patch_embed': IMAGES, 'backbone.layers.0': views, 'neck': views
    }  # fmt: skip


def test_pictures_show_the_first_mask_of_each_image():
    model = build(IMG2VEC).eval()
    prepared = model.data_preprocessor(batch())
    shown = model.predict_features(prepared['inputs'], prepared['mask'])
    assert torch.equal(shown['mask'], batch()['mask'][:, 0])
    assert len(shown['positions']) == len(shown['prediction']) == len(shown['target']) == IMAGES
    alone = model.predict_features(prepared['inputs'], TokenMask.checked(batch()['mask'][:, 0]))
    assert torch.equal(shown['prediction'], alone['prediction'])


def test_masks_of_another_number_of_images_are_named():
    data = batch()
    model = build(IMG2VEC)
    with pytest.raises(UserError, match='there are 12 masks, 4 per image, for a batch of 2 images'):
        model(**model.data_preprocessor({**data, 'inputs': data['inputs'][:2]}), mode='loss')
