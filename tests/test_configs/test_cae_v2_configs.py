"""CAE v2's configs of every size and kind run one real step at a tiny size through their runners, with all their hooks."""

import copy
import math

import numpy as np
import pytest
import torch
from check_configs import ROOT
from config_checks.consistency import check_backbone_keys, check_consistency, count_tokens
from config_checks.names import check_content, parse_name, walk
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, DefaultScope
from shrink import ARCH, GRID

from mmimg2vec.engine.command_line import build_runner

CONFIGS = sorted((ROOT / 'configs' / 'cae_v2').glob('*.py'))
REFERENCE = ROOT / 'configs/cae_v2/cae-v2_vit-base-p16_8xb256-amp-coslr-300e_in1k.py'
# All sizes, and of the ablations one of each kind.
KINDS = ('amp', 'amp-visiblepatches-mask25', 'amp-maskedpatches', 'amp-fusion')
STEPS = [file for file in CONFIGS if any(f'b256-{kind}-coslr' in file.stem for kind in KINDS)]
# By the official code; that of the large size is the project's choice.
HIDDEN = {'vit-tiny-h12': 30, 'vit-small-h12': 49, 'vit-base': 98, 'vit-large': 98}
SIZE = 16 * GRID
TEACHER = dict(arch=dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=128), img_size=SIZE)


def clip_file(folder):
    """A tiny CLIP with the names of OpenAI's release, something of its text tower among them."""
    width, tokens, draw = 32, GRID**2 + 1, torch.Generator().manual_seed(0)
    shapes = {
        'visual.class_embedding': (width,),
        'visual.positional_embedding': (tokens, width),
        'visual.conv1.weight': (width, 3, 16, 16),
        'visual.proj': (width, 512),
        'text_projection': (width, 512),
    }
    norms = ['visual.ln_pre', 'visual.ln_post']
    for index in range(2):
        block = f'visual.transformer.resblocks.{index}'
        norms += [f'{block}.ln_1', f'{block}.ln_2']
        shapes[f'{block}.attn.in_proj_weight'] = (3 * width, width)
        shapes[f'{block}.attn.in_proj_bias'] = (3 * width,)
        for name, rows, columns in (
            ('attn.out_proj', width, width),
            ('mlp.c_fc', 4 * width, width),
            ('mlp.c_proj', width, 4 * width),
        ):
            shapes[f'{block}.{name}.weight'] = (rows, columns)
            shapes[f'{block}.{name}.bias'] = (rows,)
    state = {name: torch.randn(shape, generator=draw) * 0.2 for name, shape in shapes.items()}
    for name in norms:
        state[f'{name}.weight'], state[f'{name}.bias'] = torch.ones(width), torch.zeros(width)
    torch.save(state, folder / 'clip.pth')
    return str(folder / 'clip.pth')


def shrink(file, files, work_dir):
    """A config that runs one iteration of two images of 4 x 4 patches on the CPU."""
    cfg = Config.fromfile(file)
    cfg.work_dir = str(work_dir)
    cfg.experiment_name = f'{file.stem}_{np.random.randint(1 << 30)}'
    cfg.log_level = 'ERROR'
    cfg.model.backbone.update(arch=dict(ARCH), img_size=SIZE)
    if cfg.model.get('fusion'):
        cfg.model.fusion.blocks = (0, 2)
    # The regressor is as wide as the student, but for the tiny one half as wide.
    cfg.model.neck.update(embed_dims=24 if 'tiny' in file.stem else 48, depth=2, num_heads=3)
    cfg.model.target_generator.teacher.update(copy.deepcopy(TEACHER))
    cfg.model.target_generator.teacher.init_cfg.checkpoint = clip_file(work_dir)
    cfg.train_dataloader.update(batch_size=2, num_workers=0, persistent_workers=False)
    dataset = cfg.train_dataloader.dataset.dataset
    dataset.update(data_root=str(files.images), metainfo=dict(classes=['class_0', 'class_1']))
    for _, node in walk(cfg._cfg_dict):
        if node.get('type') == 'mmpretrain.RandomResizedCrop':
            node['scale'] = SIZE
        elif node.get('type') == 'mmimg2vec.BlockTokenMask':
            node['min_block'] = 2  # of 16 patches
    cfg.train_cfg.max_epochs = 1
    warmup, cosine = cfg.param_scheduler
    # No warm-up, which would make the one step too small to be seen.
    warmup.update(start_factor=1.0, end=1)
    cosine.update(begin=1, end=2)
    return cfg


@pytest.mark.parametrize('file', STEPS, ids=lambda file: file.stem)
@pytest.mark.usefixtures('quick_start')
def test_one_step(file, tiny_files, tmp_path):
    cfg = shrink(file, tiny_files, tmp_path)
    rate = cfg.optim_wrapper.optimizer.lr * 2 / cfg.auto_scale_lr.base_batch_size
    assert math.isclose(rate, 1.5e-3 * 2 / 2048, rel_tol=1e-9)
    runner = build_runner(cfg)
    before = {}
    first_hook = runner.hooks[0]
    original = first_hook.before_train

    def remember(hook_runner):
        parameters = hook_runner.model.named_parameters()
        before.update({name: value.detach().clone() for name, value in parameters})
        original(hook_runner)

    first_hook.before_train = remember
    runner.train()

    assert runner.iter == 1
    # Everything that is trained has moved; what is not has not.
    for name, value in runner.model.named_parameters():
        assert torch.equal(value, before[name]) != value.requires_grad, name
        assert value.isfinite().all(), name
    group = runner.optim_wrapper.optimizer.param_groups[0]
    assert math.isclose(group['initial_lr'], rate, rel_tol=1e-6)
    scalars = runner.message_hub.log_scalars
    token, loss = (scalars[f'train/{key}'].current() for key in ('loss_token', 'loss'))
    assert 0 < loss < 2 and math.isclose(token, loss)  # what is watched is not added
    assert -1 <= scalars['train/class_cosine'].current() <= 1
    assert [v.current() for k, v in scalars.items() if 'fusion_weight' in k] == (
        [0.5, 0.5] if cfg.model.get('fusion') else []
    )
    frozen = {
        name.split('.')[1]
        for name, p in runner.model.named_parameters()
        if not p.requires_grad and name.startswith('neck')
    }
    regressor = {'mask_token', 'blocks'}
    assert frozen == (regressor if cfg.model.head.supervision == 'visible' else set())
    assert list(tmp_path.rglob('features*.png'))

    checkpoint = torch.load(tmp_path / 'epoch_1.pth', weights_only=True)
    assert not [key for key in checkpoint['state_dict'] if 'target_generator' in key]
    assert checkpoint['meta']['teacher_fingerprint'] == runner.model.target_generator.fingerprint
    state = torch.load(tmp_path / 'backbone.pth', weights_only=True)['state_dict']
    kwargs = {k: v for k, v in cfg.model.backbone.items() if k not in ('pos_embed', 'key_bias')}
    plain = MODELS.build({**kwargs, 'type': 'mmpretrain.VisionTransformer'})
    plain.load_state_dict({key[len('backbone.') :]: value for key, value in state.items()})
    assert not any(layer.attn.qkv.bias.chunk(3)[1].any() for layer in plain.layers)


@pytest.mark.parametrize('scope', ['mmpretrain', 'mmdet', 'mmseg'])
def test_parts_build_under_every_default_scope(scope, tiny_files, tmp_path):
    pytest.importorskip(scope)
    cfg = shrink(REFERENCE, tiny_files, tmp_path)
    with DefaultScope.overwrite_default_scope(scope):
        model = MODELS.build(copy.deepcopy(cfg.model))
        model.init_weights()
        sample = DATASETS.build(cfg.train_dataloader.dataset)[0]
    batch = {key: torch.stack([sample[key]]) for key in ('inputs', 'mask', 'token_rank')}
    losses = model(**model.data_preprocessor(batch, True), mode='loss')
    assert losses['loss_token'].isfinite()


@pytest.mark.parametrize('file', CONFIGS, ids=lambda file: file.stem)
def test_hidden_patches(file):
    name = parse_name(file.stem)
    said = {'mask15': 30, 'mask25': 49, 'mask50': 98}
    hidden = next((said[word] for word in name.options if word in said), HIDDEN[name.model])
    assert count_tokens(Config.fromfile(file)._cfg_dict, (224, 224)) == (196, hidden)


def test_ablations_are_there():
    """ViT-B: supervision x mask ratio; the other sizes: every ratio; fusion, which Img2Vec has without asking."""
    grid = {}
    for file in CONFIGS:
        cfg, name = Config.fromfile(file)._cfg_dict, parse_name(file.stem)
        if 'fusion' not in name.options:
            hidden = count_tokens(cfg, (224, 224))[1]
            grid.setdefault(name.model, set()).add((cfg.model.head.supervision, hidden))
    counts = (30, 49, 98)
    assert grid.pop('vit-base') == {(s, n) for s in ('all', 'visible', 'masked') for n in counts}
    assert all(points == {('all', n) for n in counts} for points in grid.values())
    assert set(grid) == set(HIDDEN) - {'vit-base'}
    blocks = (0, 2, 4, 6, 8, 11)
    (fusion,) = (file for file in CONFIGS if '-fusion-' in file.stem)
    img2vec = ROOT / 'configs/img2vec/img2vec_vit-base-p16_8xb256-amp-coslr-300e_in1k.py'
    for file in (fusion, img2vec):
        assert tuple(Config.fromfile(file).model.fusion.blocks) == blocks


class TestCheck:
    """What the check of the configs says of this method's own mistakes."""

    @pytest.fixture
    def reference(self):
        return Config.fromfile(REFERENCE)._cfg_dict

    @pytest.mark.parametrize(
        ('path', 'value', 'problem'),
        [
            ('model.head.supervision', 'visible', "what the option 'visiblepatches' stands for"),
            ('model.head.supervision', 'masked', "what the option 'maskedpatches' stands for"),
            ('model.fusion', dict(blocks=(0, 11)), "what the option 'fusion' stands for"),
            ('model.backbone.arch', dict(embed_dims=768), 'model.backbone.arch is'),
            ('pipeline.4.mask_ratio', 0.25, '[25] percent of the patches are hidden'),
            ('optim_wrapper.optimizer.lr', 1.5e-4, 'for 2048 images per update 0.0015'),
            ('pipeline.4.patch_size', 14, 'patch_size is 14, the model has 16'),
        ],
    )
    def test_content_that_is_not_the_name(self, path, value, problem, reference):
        change(reference, path, value)
        found = check_content(reference, parse_name(REFERENCE.stem))
        assert any(problem in text for text in found), found

    def test_heads_of_another_number(self):
        file = next(file for file in CONFIGS if 'tiny' in file.stem)
        cfg = Config.fromfile(file)._cfg_dict
        cfg.model.backbone.arch.num_heads = 3
        assert ['model.backbone.arch is' in text for text in check_content(cfg, parse_name(file.stem))] == [True]

    @pytest.mark.parametrize(
        ('path', 'value', 'problem'),
        [
            ('pipeline.4.min_block', 99, 'fewer than the smallest block has, 99'),
            ('pipeline.4.patch_size', 14, 'the masks have 256 tokens, the backbone 196 patches'),
            ('pipeline.4.patch_size', 15, 'not divisible into patches'),
            ('pipeline.4.type', 'mmpretrain.RandomFlip', 'the training pipeline has 0 of'),
            ('model.target_generator.input_size', 112, 'the teacher gives 7 x 7 tokens'),
            ('model.neck.num_heads', 7, 'the model cannot be built'),
        ],
    )
    def test_parts_that_do_not_fit(self, path, value, problem, reference):
        change(reference, path, value)
        found = check_consistency(reference, decay=False)
        assert any(problem in text for text in found), found

    def test_a_prediction_of_another_width(self, reference):
        reference.model.neck.out_channels = 256
        reference.model.head.class_token = False
        found = check_consistency(reference, decay=False)
        assert any('the parts do not fit one another' in text for text in found), found

    def test_decay_of_the_layer_scale(self, reference):
        del reference.optim_wrapper.paramwise_cfg.custom_keys['.gamma']
        reference.optim_wrapper.paramwise_cfg.pop('bias_decay_mult')
        found = check_consistency(reference)
        assert any('gamma1.weight has the weight decay' in text for text in found), found

    def test_an_architecture_of_its_own_has_the_parents_keys(self, reference):
        with torch.device('meta'):
            model = MODELS.build(copy.deepcopy(reference.model))
        assert check_backbone_keys(reference, model) == []


def change(cfg, path, value):
    first, *parents, last = path.split('.')
    node = cfg.train_dataloader.dataset.dataset.pipeline if first == 'pipeline' else cfg[first]
    for key in parents:
        node = node[int(key)] if key.isdigit() else node[key]
    node[last] = value
