import copy
import itertools

import pytest
import tiny_models
import torch
import torch.nn.functional as F
from contracts import evaluated
from mmengine.model import BaseModel
from mmengine.registry import MODELS, DefaultScope, init_default_scope
from mmengine.runner import load_checkpoint
from mmpretrain.models.backbones import VisionTransformer
from mmpretrain.models.utils import MultiheadAttention, resize_pos_embed

from mmimg2vec import UserError
from mmimg2vec.models import MaskedVisionTransformer, ViTDet
from mmimg2vec.models.backbones.vitdet import GridAttention
from mmimg2vec.models.layers.windows import (
    merge_windows,
    relative_position_bias,
    resize_table,
    split_windows,
)

ARCH = dict(embed_dims=32, num_layers=4, num_heads=2, feedforward_channels=64)


def randomize(module, seed=0, std=0.2):
    """Every parameter different from its initial value, also those that start at zero or one."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data.add_(torch.randn(parameter.shape, generator=generator) * std)
    return module


def vitdet(**kwargs):
    torch.manual_seed(0)
    return randomize(ViTDet(**{'arch': ARCH, 'img_size': 64, **kwargs}))


def images(*size, batch=2):
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(1))


class TestEqualsTheParent:
    """With one window over the whole image, and no relative positions."""

    @pytest.mark.parametrize('windows', [dict(window_size=0), dict(window_size=None), {}])
    @pytest.mark.parametrize(
        'kwargs',
        [
            {},
            dict(out_indices=[0, 2, 3], final_norm=False),
            dict(layer_scale_init_value=0.1, qkv_bias=False),
            dict(pre_norm=True, out_type='raw'),
            dict(out_type='avg_featmap', img_size=(32, 96)),
            dict(patch_size=8, layer_cfgs=dict(ffn_type='swiglu_fused')),
        ],
    )
    def test_features(self, windows, kwargs):
        kwargs = {'img_size': 64, 'out_type': 'featmap', **kwargs}
        parent = VisionTransformer(arch=ARCH, with_cls_token=False, **copy.deepcopy(kwargs))
        parent = evaluated(randomize(parent))
        ours = ViTDet(arch=ARCH, rel_pos=False, global_blocks=(), **windows, **kwargs)
        ours.load_state_dict(parent.state_dict(), strict=True)
        for size in ((64, 64), (48, 96), (96, 48), (50, 70)):
            found, wanted = evaluated(ours)(images(*size)), parent(images(*size))
            assert len(found) == len(wanted)
            for a, b in zip(found, wanted, strict=True):
                torch.testing.assert_close(a, b, rtol=0, atol=1e-5)

    def test_windows_do_change_features(self):
        whole, cut = (vitdet(window_size=size, rel_pos=False, global_blocks=()) for size in (4, 2))
        cut.load_state_dict(whole.state_dict())
        x = images(64, 64)
        assert not torch.allclose(evaluated(whole)(x)[0], evaluated(cut)(x)[0], atol=1e-2)

    def test_training_starts_from_the_pretrained_function(self):
        plain = evaluated(vitdet(window_size=2, rel_pos=False))
        relative = ViTDet(arch=ARCH, img_size=64, window_size=2)
        left_out = relative.load_state_dict(plain.state_dict(), strict=False).missing_keys
        assert len(left_out) == 8
        x = images(64, 64)
        torch.testing.assert_close(evaluated(relative)(x)[0], plain(x)[0], rtol=0, atol=1e-5)


class TestWindows:
    @pytest.mark.parametrize('window', [(2, 3), (4, 4), (5, 7), (1, 1)])
    def test_in_raster_order_and_back(self, window):
        x = torch.randn(2, 5, 7, 3)
        rows, columns = window
        padded = F.pad(x, (0, 0, 0, -7 % columns, 0, -5 % rows))
        expected = [
            sample[i : i + rows, j : j + columns]
            for sample in padded
            for i in range(0, 5, rows)
            for j in range(0, 7, columns)
        ]
        windows = split_windows(x, window)
        assert torch.equal(windows, torch.stack(expected))
        assert torch.equal(merge_windows(windows, (5, 7)), x)

    @pytest.mark.parametrize('grid', [(4, 6), (5, 7), (3, 9)])
    def test_attention_is_that_of_each_window_alone(self, grid):
        plain = randomize(MultiheadAttention(32, 2, layer_scale_init_value=0.5)).eval()
        x = torch.randn(2, *grid, 32)
        padded = F.pad(x, (0, 0, 0, -grid[1] % 3, 0, -grid[0] % 3))
        expected = torch.zeros_like(padded)
        for i, j in itertools.product(range(0, grid[0], 3), range(0, grid[1], 3)):
            tokens = padded[:, i : i + 3, j : j + 3].flatten(1, 2)
            expected[:, i : i + 3, j : j + 3] = plain(tokens).unflatten(1, (3, 3))
        found = GridAttention(plain, window_size=3).eval()(x)
        torch.testing.assert_close(found, expected[:, : grid[0], : grid[1]], rtol=0, atol=1e-5)

    def test_global_blocks(self):
        model = evaluated(vitdet(window_size=2, global_blocks=(1,), out_indices=[0, 1]))
        x, changed = images(64, 64), images(64, 64)
        changed[:, :, :16, :16] += 1
        # The first block sees the changed patch within its window of 2 x 2 tokens, the second one everywhere.
        first, second = ((a - b).abs().amax((0, 1)) > 1e-6 for a, b in zip(model(x), model(changed), strict=True))
        assert first[:2, :2].all() and first.sum() == 4 and second.all()

    @pytest.mark.parametrize(
        ('depth', 'blocks'),
        [
            (12, (2, 5, 8, 11)),
            (24, (5, 11, 17, 23)),
            (32, (7, 15, 23, 31)),
            (3, (0, 1, 2)),
            (1, (0,)),
        ],
    )
    def test_global_blocks_of_the_paper(self, depth, blocks):
        arch = dict(embed_dims=8, num_layers=depth, num_heads=1, feedforward_channels=8)
        assert ViTDet(arch=arch, img_size=32).global_blocks == blocks


class TestRelativePositions:
    def naive(self, query, window, table_h, table_w):
        rows, columns = window
        bias = torch.zeros(*query.shape[:3], rows * columns)
        for q, k in itertools.product(range(rows * columns), repeat=2):
            down = q // columns - k // columns + rows - 1
            across = q % columns - k % columns + columns - 1
            bias[:, :, q, k] = query[:, :, q] @ table_h[down] + query[:, :, q] @ table_w[across]
        return bias

    def test_bias_and_its_gradients_equal_a_double_loop(self):
        window = (3, 4)
        query = torch.randn(2, 2, 12, 5, requires_grad=True)
        tables = [torch.randn(2 * side - 1, 5, requires_grad=True) for side in window]
        weight = torch.randn(2, 2, 12, 12)
        results = []
        for function in (relative_position_bias, self.naive):
            bias = function(query, window, *tables)
            results.append((bias, *torch.autograd.grad((bias * weight).sum(), [query, *tables])))
        for ours, wanted in zip(*results, strict=True):
            torch.testing.assert_close(ours, wanted, rtol=1e-5, atol=1e-5)

    @pytest.mark.parametrize(('window', 'grid'), [(2, (4, 6)), (3, (4, 6)), (0, (4, 6))])
    def test_attention_and_its_gradients_equal_plain_scores(self, window, grid):
        """Also where the fused function takes another way backwards than forwards."""
        plain = randomize(MultiheadAttention(16, 2))
        sides = (window, window) if window else grid
        attention = randomize(GridAttention(plain, window, sides))
        x = torch.randn(2, *grid, 16)
        parameters = list(attention.parameters())
        found = attention(x)
        found_gradients = torch.autograd.grad(found.square().sum(), parameters)

        qkv = plain.qkv(split_windows(x, sides)).flatten(1, 2).unflatten(2, (3, 2, 8))
        query, key, value = (part.transpose(1, 2) for part in qkv.unbind(2))
        bias = self.naive(query, sides, attention.rel_pos_h, attention.rel_pos_w)
        scores = query @ key.transpose(2, 3) / 8**0.5 + bias
        tokens = (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)
        wanted = plain.proj(merge_windows(tokens.unflatten(1, sides), grid))
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
        wanted_gradients = torch.autograd.grad(wanted.square().sum(), parameters)
        for ours, theirs in zip(found_gradients, wanted_gradients, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)

    def test_tables_are_resampled_linearly(self):
        table = torch.arange(5.0)[:, None].expand(5, 3)  # distances -2 .. 2
        assert resize_table(table, 5) is table
        torch.testing.assert_close(resize_table(table, 9)[4], table[2])  # distance 0 stays
        resized = resize_table(table, 15)[1:-1, 0]
        torch.testing.assert_close(resized.diff(), torch.full((12,), 1 / 3))

    def test_other_image_sizes(self):
        model = evaluated(vitdet(window_size=3))
        for size in ((64, 64), (96, 48), (32, 32), (16, 80)):
            (features,) = model(images(*size))
            assert features.shape == (2, 32, size[0] // 16, size[1] // 16)
            assert features.isfinite().all()

    def test_names_that_pretraining_does_not_have(self):
        import re

        names = set(vitdet().state_dict()) - set(vitdet(rel_pos=False).state_dict())
        assert len(names) == 8
        (pattern,) = ViTDet.new_parameters
        assert {name for name in vitdet().state_dict() if re.fullmatch(pattern, name)} == names
        assert not any(p.any() for n, p in ViTDet(arch=ARCH, img_size=64).named_parameters() if n in names)


class TestTraining:
    def gradients(self, model):
        model.train()
        torch.manual_seed(3)
        model.zero_grad()
        sum(x.square().sum() for x in model(images(64, 96, batch=8))).backward()
        return {name: p.grad.clone() for name, p in model.named_parameters()}

    def test_checkpointing_changes_no_gradient(self):
        kwargs = dict(window_size=3, global_blocks=(1,), drop_path_rate=0.3, drop_rate=0.1)
        plain, frugal = (vitdet(with_cp=with_cp, **kwargs) for with_cp in (False, True))
        wanted, found = self.gradients(plain), self.gradients(frugal)
        for name, gradient in wanted.items():
            torch.testing.assert_close(found[name], gradient, msg=name)
            assert gradient.any(), name

    def test_checkpointing_computes_blocks_twice(self):
        counts = []
        for with_cp in (False, True):
            model = vitdet(with_cp=with_cp)
            calls = []
            model.layers[1].ffn.register_forward_pre_hook(lambda *_, calls=calls: calls.append(1))
            self.gradients(model)
            counts.append(len(calls))
        assert counts == [1, 2]

    def test_attention_dropout_is_of_training_alone(self):
        plain = randomize(MultiheadAttention(16, 2, attn_drop=0.5))
        attention, x = GridAttention(plain, window_size=2), torch.randn(2, 4, 4, 16)
        attention.eval()
        assert torch.equal(attention(x), attention(x))
        attention.train()
        assert not torch.equal(attention(x), attention(x))

    def test_drop_path_drops_samples_and_not_windows(self):
        plain = randomize(MultiheadAttention(16, 2, dropout_layer=dict(type='DropPath', drop_prob=0.5)))
        output = GridAttention(plain, window_size=2).train()(torch.randn(32, 4, 4, 16))
        dropped = (output == 0).flatten(1)
        assert set(dropped.float().mean(1).tolist()) == {0.0, 1.0}

    def test_bfloat16(self):
        model = vitdet(window_size=3, global_blocks=(1,))
        with torch.autocast('cpu', dtype=torch.bfloat16):
            (features,) = model(images(64, 64))
        features.float().square().mean().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
        torch.testing.assert_close(features.float(), model(images(64, 64))[0], rtol=0.1, atol=0.2)

    def test_frozen_blocks_freeze_their_tables(self):
        model = vitdet(frozen_stages=2)
        tables = {n: p.requires_grad for n, p in model.named_parameters() if n.endswith('rel_pos_w')}
        assert list(tables.values()) == [False, False, True, True]


class TestLoading:
    def save(self, folder, backbone, **more):
        state = {f'backbone.{key}': value for key, value in backbone.state_dict().items()}
        torch.save({'state_dict': {**state, **more}}, folder / 'backbone.pth')
        return dict(type='Pretrained', checkpoint=str(folder / 'backbone.pth'), prefix='backbone.')

    def load(self, cfg, **kwargs):
        model = ViTDet(**{'arch': ARCH, 'img_size': 64, 'init_cfg': cfg, **kwargs})
        model.init_weights()
        return evaluated(model)

    @pytest.mark.parametrize('size', [64, 96, (48, 128)])
    @pytest.mark.parametrize('class_token', [True, False])
    @pytest.mark.parametrize('form', [dict, list])
    def test_pretrained_weights_of_another_grid(self, tmp_path, size, class_token, form):
        source = VisionTransformer(arch=ARCH, img_size=64, with_cls_token=class_token, out_type='featmap')
        cfg = self.save(tmp_path, randomize(source))
        model = self.load(cfg if form is dict else [cfg], img_size=size, window_size=0)
        positions = source.pos_embed[:, int(class_token) :]
        grid = tuple(model.patch_resolution)
        assert torch.equal(model.pos_embed, resize_pos_embed(positions, (4, 4), grid, 'bicubic', 0))
        missing = set(model.state_dict()) - set(source.state_dict())
        assert missing == {n for n in model.state_dict() if 'rel_pos' in n}
        for name, value in model.state_dict().items():
            assert 'rel_pos' in name or name == 'pos_embed' or torch.equal(value, source.state_dict()[name])
        # The images of pre-training give the features of mmpretrain's network without its class token.
        parent = VisionTransformer(arch=ARCH, img_size=64, with_cls_token=False, out_type='featmap')
        state = {**source.state_dict(), 'pos_embed': positions}
        state.pop('cls_token', None)
        parent.load_state_dict(state)
        if size == 64:
            x = images(64, 64)
            torch.testing.assert_close(model(x)[0], evaluated(parent)(x)[0], rtol=0, atol=1e-5)

    @pytest.mark.parametrize('shape', [(64, 64), (96, 48), (128, 160)])
    def test_positions_are_resized_once(self, tmp_path, shape, monkeypatch):
        """With pre-training's size, the images' table is that of the checkpoint after one interpolation."""
        source = randomize(VisionTransformer(arch=ARCH, img_size=64))
        settings = dict(img_size=96, window_size=0, rel_pos=False)
        once = self.load(self.save(tmp_path, source), pos_embed_size=64, **settings)
        assert torch.equal(once.pos_embed, source.pos_embed[:, 1:])
        added = []
        once.drop_after_pos.register_forward_pre_hook(lambda module, inputs: added.append(inputs[0]))
        x = images(*shape)
        once(x)
        grid = (shape[0] // 16, shape[1] // 16)
        wanted = resize_pos_embed(source.pos_embed[:, 1:], (4, 4), grid, 'bicubic', 0)
        torch.testing.assert_close(added[0] - once.patch_embed(x)[0], wanted.expand(len(x), -1, -1), rtol=0, atol=1e-5)
        said = []
        monkeypatch.setattr('mmimg2vec.models.backbones.vitdet.print_log', lambda text, *_: said.append(text))
        twice = self.load(self.save(tmp_path, source), **settings)
        assert said == ['position embedding resized from 4 x 4 to 6 x 6']
        assert twice.pos_embed.shape == (1, 36, 32)

    def test_positions_of_a_detector_are_not_made_smaller(self):
        earlier = vitdet(img_size=96, rel_pos=False)
        with pytest.raises(UserError, match=r'set model.backbone.pos_embed_size=None'):
            ViTDet(arch=ARCH, img_size=96, rel_pos=False, pos_embed_size=64).load_state_dict(earlier.state_dict())
        again = ViTDet(arch=ARCH, img_size=96, rel_pos=False, pos_embed_size=64)
        again.load_state_dict(again.state_dict(), strict=True)
        with pytest.raises(UserError, match='pos_embed_size=50 of ViTDet does not divide'):
            ViTDet(arch=ARCH, img_size=96, pos_embed_size=50)

    def test_what_our_pretraining_leaves(self, tmp_path):
        source = MaskedVisionTransformer(arch=ARCH, img_size=64)
        source.init_weights()
        model = self.load(self.save(tmp_path, source), img_size=96)
        assert torch.equal(model.layers[2].attn.proj.weight, source.layers[2].attn.proj.weight)
        assert model.pos_embed.shape == (1, 36, 32) and model.pos_embed.requires_grad

    def test_nothing_is_unexpected(self, tmp_path):
        source = randomize(VisionTransformer(arch=ARCH, img_size=32, patch_size=14))
        state = source.state_dict()
        result = ViTDet(arch=ARCH, img_size=96, rel_pos=False).load_state_dict(state, strict=True)
        assert not result.missing_keys and not result.unexpected_keys
        assert 'cls_token' in state and state['pos_embed'].shape == (1, 10, 32)  # not the caller's

    def test_patch_embedding_of_another_size(self, tmp_path):
        source = randomize(VisionTransformer(arch=ARCH, img_size=56, patch_size=14))
        kernel = source.patch_embed.projection.weight
        model = self.load(self.save(tmp_path, source), patch_size=16)
        found = model.patch_embed.projection.weight
        assert torch.equal(found, F.interpolate(kernel, size=(16, 16), mode='bicubic'))
        assert torch.equal(model.patch_embed.projection.bias, source.patch_embed.projection.bias)

    @pytest.mark.parametrize('size', [64, (48, 128), (32, 112)])
    def test_whole_checkpoints_and_resume_change_nothing(self, tmp_path, size):
        model = Holder(vitdet(img_size=size, window_size=3, global_blocks=(3,)))
        torch.save({'state_dict': model.state_dict()}, tmp_path / 'whole.pth')
        again = Holder(ViTDet(arch=ARCH, img_size=size, window_size=3, global_blocks=(3,)))
        load_checkpoint(again, str(tmp_path / 'whole.pth'), strict=True)
        assert all(torch.equal(v, again.state_dict()[k]) for k, v in model.state_dict().items())
        again = copy.deepcopy(again)
        again.load_state_dict(model.state_dict(), strict=True)
        assert torch.equal(again.backbone.pos_embed, model.backbone.pos_embed)

    def test_whole_checkpoint_for_another_size(self, tmp_path):
        source = evaluated(vitdet(window_size=2, global_blocks=(3,)))
        target = ViTDet(arch=ARCH, img_size=(48, 96), window_size=3, global_blocks=(3,))
        target.load_state_dict(source.state_dict(), strict=True)
        block = target.layers[3].attn
        assert torch.equal(block.rel_pos_h, resize_table(source.layers[3].attn.rel_pos_h, 5))
        assert torch.equal(block.rel_pos_w, resize_table(source.layers[3].attn.rel_pos_w, 11))
        assert target.layers[0].attn.rel_pos_h.shape == (5, 16)
        # Tables and positions resized at loading are those that the source resizes in its forward.
        target = ViTDet(arch=ARCH, img_size=(48, 96), window_size=2, global_blocks=(3,))
        target.load_state_dict(source.state_dict(), strict=True)
        x = images(48, 96)
        torch.testing.assert_close(evaluated(target)(x)[0], source(x)[0], rtol=0, atol=1e-5)

    def test_without_weights_positions_are_random(self):
        model = self.load(None)
        assert 0.01 < model.pos_embed.std() < 0.03

    def test_positions_of_no_square_grid_are_named(self, tmp_path):
        source = VisionTransformer(arch=ARCH, img_size=(48, 80))
        with pytest.raises(UserError, match='15 patches, which are no square grid'):
            self.load(self.save(tmp_path, source), img_size=96)
        model = self.load(self.save(tmp_path, randomize(source)), img_size=(48, 80))
        assert torch.equal(model.pos_embed, source.pos_embed[:, 1:])


class Holder(BaseModel):
    """Holds a backbone as a detector does."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.backbone(inputs)


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(with_cls_token=True), 'no place for a class token'),
        (dict(global_blocks=(1, 4)), 'counted from 0 to 3'),
        (dict(window_size=-1), 'window_size=-1'),
        (dict(arch='tiny'), 'model.backbone cannot be built'),
        (dict(windows=7), "cannot be built.*'windows'"),
    ],
)
def test_mistakes_are_named(kwargs, message):
    with pytest.raises(UserError, match=message):
        ViTDet(**{'arch': ARCH, 'img_size': 64, **kwargs})


@pytest.fixture
def mmdet():
    mmdet = pytest.importorskip('mmdet')
    pytest.importorskip('mmdet.models')
    before = DefaultScope.get_current_instance()
    init_default_scope('mmdet')
    yield mmdet
    init_default_scope(before.scope_name)


def mask_rcnn(mmdet):
    backbone = dict(type='mmimg2vec.ViTDet', arch=ARCH, img_size=64, window_size=3, with_cp=True, drop_path_rate=0.1)
    model = tiny_models.mask_rcnn(mmdet, backbone)
    model.test_cfg.rcnn.score_thr = 0.0
    return MODELS.build(model)


def test_mask_rcnn_trains_and_predicts(mmdet):
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.optim import build_optim_wrapper
    from mmengine.structures import InstanceData

    torch.manual_seed(0)
    model = mask_rcnn(mmdet)
    model.init_weights()
    shape = dict(img_shape=(64, 64), ori_shape=(64, 64), pad_shape=(64, 64), scale_factor=(1, 1))
    sample = DetDataSample(metainfo=shape)
    masks = torch.zeros(2, 64, 64, dtype=torch.uint8)
    masks[0, 4:36, 8:40] = 1
    masks[1, 30:62, 20:60] = 1
    boxes = torch.tensor([[8.0, 4, 40, 36], [20, 30, 60, 62]])
    sample.gt_instances = InstanceData(
        bboxes=boxes, labels=torch.tensor([0, 1]), masks=BitmapMasks(masks.numpy(), 64, 64)
    )
    data = dict(inputs=[torch.randint(0, 255, (3, 64, 64), dtype=torch.uint8)], data_samples=[sample])
    cfg = dict(
        type='mmimg2vec.AutocastOptimWrapper',
        dtype='float32',  # mmcv's non-maximum suppression on the CPU knows no other
        constructor='mmimg2vec.LayerDecayOptimWrapperConstructor',
        paramwise_cfg=dict(layer_decay_rate=0.7),
        optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.1),
    )
    wrapper = build_optim_wrapper(model, cfg)
    before = copy.deepcopy(model.state_dict())
    model.train()
    logs = [model.train_step(copy.deepcopy(data), wrapper) for _ in range(3)]
    assert {'loss_rpn_cls', 'loss_rpn_bbox', 'loss_cls', 'loss_bbox', 'loss_mask'} <= set(logs[0])
    assert all(log['loss'].isfinite() for log in logs) and logs[-1]['loss'] < logs[0]['loss']
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert {n for n, _ in model.named_parameters() if n.startswith(('backbone', 'neck'))} <= moved
    model.eval()
    with torch.no_grad():
        (prediction,) = model.test_step(copy.deepcopy(data))
    found = prediction.pred_instances
    assert len(found) > 0 and found.masks.shape == (len(found), 64, 64)
    assert found.bboxes.min() >= 0 and found.bboxes.max() <= 64
