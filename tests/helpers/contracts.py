"""What every part of a kind has to fulfil; a new part adds a class with its factory only."""

from __future__ import annotations

import copy
import io
import math

import pytest
import torch
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from mmimg2vec import UserError
from mmimg2vec.models.utils import TokenMask

init_default_scope('mmpretrain')


def random_mask(batch: int, tokens: int, masked: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Masks ``(B, L)`` with ``masked`` patches each, and the ranks that they were drawn from."""
    generator = torch.Generator().manual_seed(seed)
    rank = torch.rand(batch, tokens, generator=generator).argsort(dim=1)
    return rank >= tokens - masked, rank


def random_token_mask(batch: int, tokens: int, masked: int, seed: int = 0) -> TokenMask:
    """The same as the data preprocessor makes it."""
    return TokenMask.checked(*random_mask(batch, tokens, masked, seed))


def evaluated(module: nn.Module) -> nn.Module:
    """The module in eval mode (mmpretrain's backbones return None from ``eval()``)."""
    module.eval()
    return module


def reached(gradient: Tensor | None) -> bool:
    """Whether a gradient is there and is not zero throughout."""
    return gradient is not None and bool(gradient.abs().max() > 0)


class BackboneContract:
    """A masked backbone sees visible patches only, and without a mask it is its parent."""

    img_size = (64, 64)
    patch = 16
    channels = 3

    def build(self) -> nn.Module:
        raise NotImplementedError('a test class names its part here')

    def build_parent(self) -> nn.Module:
        raise NotImplementedError('a test class names its parent here')

    @pytest.fixture()
    def images(self) -> Tensor:
        return torch.randn(2, self.channels, *self.img_size, generator=torch.Generator().manual_seed(1))

    @pytest.fixture()
    def mask(self) -> TokenMask:
        tokens = self.img_size[0] // self.patch * (self.img_size[1] // self.patch)
        return random_token_mask(2, tokens, tokens // 2)

    def test_masked_pixels_change_nothing(self, images, mask):
        backbone = evaluated(self.build())
        before = backbone(images, mask)[-1]
        grid = (self.img_size[0] // self.patch, self.img_size[1] // self.patch)
        pixels = mask.masked.view(-1, 1, *grid).repeat_interleave(self.patch, 2)
        pixels = pixels.repeat_interleave(self.patch, 3).expand_as(images)
        changed = torch.where(pixels, torch.randn_like(images) * 100, images)
        assert not torch.equal(images, changed)
        assert torch.equal(before, backbone(changed, mask)[-1])
        seen = torch.where(pixels, images, images + 1)
        assert not torch.allclose(before, backbone(seen, mask)[-1])

    def test_without_a_mask_it_is_the_parent(self, images):
        backbone, parent = evaluated(self.build()), evaluated(self.build_parent())
        parent.load_state_dict(backbone.state_dict())

        for ours, theirs in zip(backbone(images), parent(images), strict=True):
            assert torch.equal(ours, theirs)

    def test_state_is_the_parents(self):
        ours, theirs = self.build().state_dict(), self.build_parent().state_dict()
        assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}

    def test_visible_tokens_in_raster_order(self, images, mask):
        backbone = evaluated(self.build())
        output = backbone(images, mask, blocks=(0, backbone.num_layers - 1))
        assert [x.shape for x in output] == [(2, 1 + mask.num_visible, backbone.embed_dims)] * 2
        assert torch.equal(backbone(images, mask)[0], output[1])

    def test_nothing_masked_is_the_parents_forward(self, images):
        backbone = evaluated(self.build())
        torch.nn.init.normal_(backbone.pos_embed)  # the class token's too
        tokens = self.img_size[0] // self.patch * (self.img_size[1] // self.patch)
        (found,) = backbone(images, TokenMask.nothing(2, tokens))
        torch.testing.assert_close(backbone.norm1(found), backbone(images)[-1])


class TargetGeneratorContract:
    """Frozen whatever anyone calls, out of every list of parameters and every checkpoint."""

    img_size = (64, 64)
    patch = 16

    def build(self):
        raise NotImplementedError('a test class names its part here')

    def connected(self, in_channels: int = 3):
        generator = self.build()
        generator.connect((self.patch, self.patch), in_channels, None, None)
        self.layout = generator.describe(self.img_size)
        return generator

    def images(self, batch: int = 2) -> Tensor:
        return torch.rand(batch, 3, *self.img_size, generator=torch.Generator().manual_seed(2)) * 255

    def test_targets_lie_on_the_students_grid(self):
        targets = self.connected()(self.images())
        rows, columns = self.img_size[0] // self.patch, self.img_size[1] // self.patch
        assert self.layout.grid == (rows, columns)
        assert targets['tokens'].shape == (2, rows * columns, self.layout.channels)
        assert targets['pooled'].shape == (2, self.layout.pooled_channels)
        assert not any(value.requires_grad for value in targets.values())

    def test_frozen_whatever_anyone_calls(self):
        generator = self.connected()
        before = generator(self.images())['tokens']
        holder = nn.ModuleDict({'target_generator': generator})
        holder.train()
        holder.requires_grad_(True)
        holder.half()
        holder.apply(lambda m: [nn.init.zeros_(t) for t in m.buffers(recurse=False)])
        holder.float()
        for _ in range(2):
            generator(self.images(3))
        assert not any(module.training for module in generator.modules())
        assert torch.equal(before, generator(self.images())['tokens'])

    def test_absent_from_parameters_checkpoint_and_copies(self):
        generator = self.connected()
        generator.load()
        holder = nn.ModuleDict({'target_generator': generator, 'student': nn.Linear(2, 2)})
        assert len(list(holder.parameters())) == 2
        assert set(holder.state_dict()) == {'student.weight', 'student.bias'}
        assert copy.deepcopy(holder)['target_generator'] is generator
        assert sum(buffer.numel() for buffer in generator.buffers()) > 0
        file = io.BytesIO()
        torch.save(holder.state_dict(), file)
        file.seek(0)
        missing = holder.load_state_dict(torch.load(file, weights_only=True))
        assert not missing.missing_keys and not missing.unexpected_keys

    def test_nothing_is_loaded_before_it_is_needed(self):
        generator = self.connected()
        assert sum(buffer.numel() for buffer in generator.buffers()) < 100
        state = torch.random.get_rng_state()
        generator.load()
        assert torch.equal(state, torch.random.get_rng_state())


class NeckContract:
    """Predicts at the asked positions, from the visible latents and where they stand."""

    grid = (4, 4)
    channels = 32
    out_channels = 24

    def build(self) -> nn.Module:
        raise NotImplementedError('a test class names its part here')

    @pytest.fixture()
    def neck(self) -> nn.Module:
        torch.manual_seed(0)
        neck = self.build()
        neck.init_weights()
        return evaluated(neck)

    def inputs(self, masked: int = 12) -> tuple[Tensor, TokenMask, Tensor]:
        mask = random_token_mask(2, self.grid[0] * self.grid[1], masked)
        return torch.randn(2, 1 + mask.num_visible, self.channels), mask, mask.masked_index

    def test_predictions_follow_the_asked_positions(self, neck):
        latents, mask, masked = self.inputs()
        everything = neck(latents, mask, masked)
        assert everything.shape == (2, 12, self.out_channels)
        some = neck(latents, mask, masked[:, [5, 2]])
        torch.testing.assert_close(some, everything[:, [5, 2]], rtol=1e-4, atol=1e-5)
        assert not torch.allclose(everything[:, 0], everything[:, 1])

    def test_samples_are_independent(self, neck):
        latents, mask, masked = self.inputs()
        alone = neck(latents[1:], TokenMask(mask.masked[1:], 12), masked[1:])
        torch.testing.assert_close(alone, neck(latents, mask, masked)[1:], rtol=1e-4, atol=1e-5)

    def test_the_place_of_a_visible_patch_matters(self, neck):
        latents, mask, masked = self.inputs()
        moved = latents.clone()
        moved[:, 1], moved[:, 2] = latents[:, 2], latents[:, 1]
        difference = neck(latents, mask, masked) - neck(moved, mask, masked)
        assert difference.abs().max() > 1e-4

    def test_every_parameter_gets_a_gradient(self, neck):
        latents, mask, masked = self.inputs()
        neck(latents.requires_grad_(), mask, masked).square().sum().backward()
        assert latents.grad.abs().sum(dim=(0, 2)).min() > 0
        for name, parameter in neck.named_parameters():
            assert not parameter.requires_grad or reached(parameter.grad), name


class HeadContract:
    """Says where prediction and target are compared, and leads the prediction to the target there."""

    channels = 8
    class_channels = 8
    tokens = 16

    def build(self, **kwargs) -> nn.Module:
        raise NotImplementedError('a test class names its part here')

    def inputs(self, head: nn.Module, masked: int = 12) -> tuple[TokenMask, Tensor, Tensor, Tensor, dict[str, Tensor]]:
        """Masks, positions, prediction, class token and target."""
        draw = torch.Generator().manual_seed(3)
        mask = random_token_mask(2, self.tokens, masked)
        positions = head.positions(mask)
        prediction = torch.randn(*positions.shape, self.channels, generator=draw, requires_grad=True)
        class_token = torch.randn(2, self.class_channels, generator=draw, requires_grad=True)
        target = {
            'tokens': torch.randn(2, self.tokens, self.channels, generator=draw),
            'pooled': torch.randn(2, self.channels, generator=draw),
        }
        return mask, positions, prediction, class_token, target

    @pytest.mark.parametrize('supervision', ['masked', 'visible', 'all'])
    @pytest.mark.parametrize('share', [1.0, 0.3])
    def test_positions_are_a_share_of_the_kind_that_is_compared(self, supervision, share):
        head = self.build(supervision=supervision, share=share)
        mask = random_token_mask(2, self.tokens, 12)
        wanted = {'masked': mask.masked, 'visible': ~mask.masked, 'all': torch.ones_like(mask.masked)}[supervision]
        positions, candidates = head.positions(mask), head.candidates(mask)
        assert candidates.shape == (2, int(wanted[0].sum())) and wanted.gather(1, candidates).all()
        assert positions.shape == (2, math.ceil(share * candidates.shape[1]))
        assert wanted.gather(1, positions).all()
        assert (positions.diff(dim=1) > 0).all()  # raster order, none twice

    def test_losses_lead_to_the_target(self):
        head = self.build()
        _, positions, prediction, class_token, target = self.inputs(head)
        result = head.loss(prediction, positions, class_token, target)
        losses = [value for name, value in result.items() if 'loss' in name]
        assert losses and all(value.ndim == 0 and value.requires_grad for value in losses)
        sum(losses).backward()
        wanted = target['tokens'].gather(1, positions[..., None].expand(-1, -1, self.channels))
        assert (prediction.grad * (prediction - wanted)).sum() > 0
        assert prediction.grad.abs().sum(dim=-1).min() > 0  # at every position
        for name, parameter in head.named_parameters():
            assert reached(parameter.grad), name

    def test_only_tokens_at_the_positions_count(self):
        head = self.build(supervision='masked')
        mask, positions, prediction, class_token, target = self.inputs(head)
        changed = {**target, 'tokens': torch.where(mask.masked[..., None], target['tokens'], 100.0)}
        first, second = (head.loss(prediction, positions, class_token, t) for t in (target, changed))
        assert all(torch.equal(first[name], second[name]) for name in first)

    def test_watched_quantities_are_no_losses(self):
        head = self.build()
        _, positions, prediction, class_token, target = self.inputs(head)
        result = head.loss(prediction, positions, class_token, target)
        watched = {name: value for name, value in result.items() if 'loss' not in name}
        assert {'target_diversity', 'prediction_diversity', 'prediction_cosine'} <= set(watched)
        assert not any(value.requires_grad for value in watched.values())

    @pytest.mark.parametrize(
        ('kwargs', 'message'),
        [
            (dict(supervision='hidden'), "choose one of 'masked', 'visible', 'all'"),
            (dict(share=0), r'head.share=0 is out of range'),
            (dict(share=1.5), r'head.share=1.5 is out of range'),
        ],
    )
    def test_options_out_of_range_are_named(self, kwargs, message):
        with pytest.raises(UserError, match=message):
            self.build(**kwargs)
