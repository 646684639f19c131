"""Every pre-training config, and every row of docs/ablations.md, runs one real step at a tiny size with all its
hooks."""

import copy
import math

import cv2
import numpy as np
import pytest
import torch
from ablations import read_rows
from check_configs import ROOT
from config_checks.consistency import check_consistency, count_tokens
from config_checks.files import find_configs
from config_checks.names import BASE_LR, parse_name
from mmengine.config import Config
from mmengine.registry import DATASETS, FUNCTIONS, HOOKS, MODELS, OPTIM_WRAPPERS, DefaultScope
from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from shrink import shrink, shrink_model
from torch import nn

from mmimg2vec.engine.command_line import build_runner

METHODS = ('img2vec', 'cae_v2', 'mff')
FOLDER = ROOT / 'configs' / 'img2vec'
REFERENCE = FOLDER / 'img2vec_vit-base-p16_8xb256-amp-coslr-300e_in1k.py'
FSDP = FOLDER / 'img2vec_vit-huge-p14_8xb256-amp-fsdp-coslr-800e_in1k.py'
DEMO = ROOT / 'configs/demo/mff_vit-tiny-p8_1xb128-coslr-8e_shapes.py'
FILES = {file.stem: file for file in find_configs(ROOT) if file.parent.name in METHODS or file == DEMO}
ROWS = {row.name: row for row in read_rows() if row.config.split('/')[1] in METHODS}
# Rows that change the number of epochs or of masked patches alone take the step of their config.
STEPS = [
    name for name, row in ROWS.items() if not all('max_epochs' in key or 'mask_ratio' in key for key in row.options)
]


def load(case):
    """The config of a file, or of a row of the table."""
    return ROWS[case].load() if case in ROWS else Config.fromfile(FILES[case])


@pytest.mark.parametrize('case', [*FILES, *(name for name in STEPS if 'patches-mask' not in name)])
@pytest.mark.usefixtures('quick_start')
def test_one_step(case, tiny_files, tmp_path):
    cfg = shrink(load(case), tiny_files, tmp_path)
    # What an update sees per image of a step: the rate goes with the masked views.
    views = cfg.optim_wrapper.get('accumulative_counts', 1) * mask_transform(cfg).get('masks_per_image', 1)
    rate = cfg.optim_wrapper.optimizer.lr * 2 / cfg.auto_scale_lr.base_batch_size
    name = parse_name((FILES[case] if case in FILES else ROOT / ROWS[case].config).stem)
    if case != DEMO.stem and 'continued' not in name.words:
        assert math.isclose(rate, BASE_LR[name.head] * 2 * views / 256, rel_tol=1e-9)
    runner = build_runner(cfg)
    before = {}

    def remember(hook_runner):
        before.update({name: value.detach().clone() for name, value in hook_runner.model.named_parameters()})

    first_hook = runner.hooks[0]
    original = first_hook.before_train
    first_hook.before_train = lambda hook_runner: (remember(hook_runner), original(hook_runner))
    runner.train()

    assert runner.iter == 1
    # Everything that is trained has moved; what is not has not.
    for name, value in runner.model.named_parameters():
        assert torch.equal(value, before[name]) != value.requires_grad, name
        assert value.isfinite().all(), name
    # The learning rate follows the real batch: 1 process x 2 images.
    found = max(group['initial_lr'] for group in runner.optim_wrapper.optimizer.param_groups)
    assert math.isclose(found, rate, rel_tol=1e-6)
    _check_log(cfg, runner)
    checkpoint = torch.load(tmp_path / 'epoch_1.pth', weights_only=True)
    assert not [key for key in checkpoint['state_dict'] if 'target_generator' in key]
    if 'teacher' in cfg.model.target_generator:
        assert checkpoint['meta']['teacher_fingerprint'] == runner.model.target_generator.fingerprint
    plain = load_downstream(tmp_path / 'backbone.pth', cfg.model.backbone)
    if not cfg.model.backbone.get('key_bias', True):
        assert not any(layer.attn.qkv.bias.chunk(3)[1].any() for layer in plain.layers)
    pictures = list(tmp_path.rglob('features*.png'))
    assert bool(pictures) == any(hook['type'] == 'mmimg2vec.FeaturePictureHook' for hook in cfg.custom_hooks)


def _check_log(cfg, runner):
    scalars = {key: value.current() for key, value in runner.message_hub.log_scalars.items()}
    assert math.isfinite(scalars['train/loss'])
    # What is watched is not added.
    terms = [value for key, value in scalars.items() if key.startswith('train/loss_')]
    assert math.isclose(sum(terms), scalars['train/loss'], rel_tol=1e-5)
    shares = [value for key, value in scalars.items() if 'fusion_weight' in key]
    assert len(shares) == (2 if cfg.model.get('fusion') else 0)
    if any(hook['type'] == 'mmimg2vec.KNNHook' for hook in cfg.custom_hooks):
        assert [0 <= value <= 100 for key, value in scalars.items() if key.startswith('knn/')]
    if cfg.model.type == 'mmimg2vec.CAEv2':
        assert 0 < scalars['train/loss'] < 2 and -1 <= scalars['train/class_cosine'] <= 1
        parameters = runner.model.neck.named_parameters()
        frozen = {name.split('.')[0] for name, p in parameters if not p.requires_grad}
        assert frozen == ({'mask_token', 'blocks'} if cfg.model.head.supervision == 'visible' else set())


def load_downstream(path, backbone):
    """The exported backbone fills mmpretrain's own network, nothing missing and nothing left over."""
    kwargs = {k: v for k, v in backbone.items() if k not in ('pos_embed', 'init_cfg', 'key_bias')}
    state = torch.load(path, weights_only=True)['state_dict']
    assert all(key.startswith('backbone.') for key in state)
    model = MODELS.build({**kwargs, 'type': 'mmpretrain.VisionTransformer'})
    model.load_state_dict({key[len('backbone.') :]: value for key, value in state.items()})
    return model


@pytest.mark.parametrize('case', ROWS)
def test_a_row_at_full_size(case):
    """It builds on the meta device, the parts fit, and the options change the config in no other place."""
    row = ROWS[case]
    cfg, base = row.load(), Config.fromfile(ROOT / row.config)
    if case in STEPS:
        assert check_consistency(cfg._cfg_dict, decay=False) == []
    assert count_tokens(cfg._cfg_dict, (224, 224))[1] == round(196 * mask_transform(cfg).mask_ratio)
    for option, value in row.options.items():
        if '_delete_' in option:
            continue
        found = cfg._cfg_dict
        for key in option.split('.'):
            found = found[int(key)] if key.isdigit() else found[key]
        assert found == value
    changed = {key for key in base if cfg.get(key) != base[key]}
    schedule = {'param_scheduler'} if 'train_cfg.max_epochs' in row.options else set()
    assert changed == {option.split('.')[0] for option in row.options} | schedule


def mask_transform(cfg):
    (found,) = (step for step in cfg.train_dataloader.dataset.dataset.pipeline if 'mask_ratio' in step)
    return found


def test_cae_v2s_questions_are_rows():
    """ViT-B: supervision x mask ratio; the other sizes: every ratio. Counts of the official code; Large: our choice."""
    masked = {'tiny-h12': 30, 'small-h12': 49, 'base': 98, 'large': 98}
    cases = [(parse_name(stem).size, load(stem)) for stem in FILES if stem.startswith('cae-v2')]
    for size, cfg in cases:
        assert count_tokens(cfg._cfg_dict, (224, 224)) == (196, masked[size])
    rows = [row for row in ROWS.values() if 'cae_v2' in row.config and row.name != 'fusion']
    cases += [(parse_name(row.config.split('/')[-1][:-3]).size, row.load()) for row in rows]
    grid = {}
    for size, cfg in cases:
        grid.setdefault(size, []).append((cfg.model.head.supervision, count_tokens(cfg._cfg_dict, (224, 224))[1]))
    counts = (30, 49, 98)
    assert sorted(grid.pop('base')) == sorted((s, n) for s in ('all', 'visible', 'masked') for n in counts)
    assert set(grid) == {'tiny-h12', 'small-h12', 'large'}
    assert all(sorted(points) == [('all', n) for n in counts] for points in grid.values())
    assert list(load('fusion').model.fusion.blocks) == list(load(REFERENCE.stem).model.fusion.blocks)


@pytest.mark.parametrize('scope', ['mmpretrain', 'mmdet', 'mmseg'])
@pytest.mark.parametrize(
    'case',
    [
        'selfattn',
        'mse',
        'fusion',
        *(word for word in FILES if '-knn-coslr' in word or 'mff_' in word),
    ],
)
def test_parts_build_under_every_default_scope(case, scope, tiny_files):
    pytest.importorskip(scope)
    cfg = shrink(load(case), tiny_files, tiny_files.folder)
    with DefaultScope.overwrite_default_scope(scope):
        model = MODELS.build(copy.deepcopy(cfg.model))
        model.init_weights()
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
        for hook in (*cfg.custom_hooks, cfg.default_hooks.checkpoint):
            HOOKS.build(hook)
        parameters = list(model.parameters())
        wrapper = {**cfg.optim_wrapper, 'optimizer': torch.optim.AdamW(parameters, lr=1e-3)}
        OPTIM_WRAPPERS.build({k: v for k, v in wrapper.items() if k != 'paramwise_cfg'})
    batch = {key: torch.stack([dataset[0][key]]) for key in ('inputs', 'mask', 'token_rank')}
    losses = model(**model.data_preprocessor(batch, True), mode='loss')
    assert losses['loss_token'].isfinite()


def test_mffs_augmentation_shows_the_whole_image_and_no_black(tmp_path):
    """The short side becomes 224 px, what the padding adds is reflected, colors stay in their order."""
    folder = tmp_path / 'train' / 'class_0'
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / '0.png'), np.full((300, 300, 3), (250, 150, 50), np.uint8))
    cfg = load('mff_vit-base-p16_8xb512-amp-coslr-300e_in1k').train_dataloader.dataset
    cfg.dataset.update(data_root=str(tmp_path), metainfo=dict(classes=['class_0']))
    dataset = DATASETS.build(cfg)
    for index in range(8):
        sample = dataset[(0, index, 0)]
        assert sample['inputs'].shape == (3, 224, 224) and sample['inputs'].dtype == torch.uint8
        assert [set(channel.unique().tolist()) for channel in sample['inputs']] == [
            {250},
            {150},
            {50},
        ]
        assert sample['mask'].sum() == 147
    ramp = np.repeat(np.arange(224, dtype=np.uint8)[None], 224, 0)
    cv2.imwrite(str(folder / '0.png'), np.stack([ramp] * 3, -1))
    seen = {tuple(dataset[(0, index, 0)]['inputs'][0, 100, [0, 112]].tolist()) for index in range(40)}
    # Shifts by up to 4 pixels to both sides, and flips.
    assert {center for _, center in seen} <= set(range(107, 117)) and len(seen) > 8
    assert all(edge <= 4 or edge >= 219 for edge, _ in seen)
    assert torch.equal(dataset[(0, 1, 0)]['inputs'], dataset[(0, 1, 0)]['inputs'])


class TestFSDP:
    """What of the FSDP config can be tried without a GPU."""

    def test_strategy_and_wrap_policy(self, tiny_files, tmp_path):
        from mmengine._strategy import FSDPStrategy
        from torch.distributed.fsdp import MixedPrecision, StateDictType

        cfg = Config.fromfile(FSDP)
        strategy = FSDPStrategy.__new__(FSDPStrategy)
        strategy._init_state_dict_cfg(cfg.strategy.state_dict_cfg)
        assert strategy.state_dict_type == StateDictType.FULL_STATE_DICT
        dtypes = {key: getattr(torch, v) if isinstance(v, str) else v
                  for key, v in cfg.strategy.model_wrapper.mixed_precision.items()}  # fmt: skip
        assert MixedPrecision(**dtypes).param_dtype == torch.bfloat16

        shrink_model(cfg.model, tiny_files)
        model = MODELS.build(cfg.model)
        # As mmengine resolves the policy.
        policy = cfg.strategy.model_wrapper.auto_wrap_policy
        with FUNCTIONS.switch_scope_and_registry(None):
            wrap = FUNCTIONS.get(policy.type)
        units = [module for module in model.modules() if wrap(module, False, 0)]
        assert units == list(model.backbone.layers)
        assert all(isinstance(unit, TransformerEncoderLayer) for unit in units)
        assert wrap(nn.Linear(1, 1), True, 0)

    def test_the_teacher_is_no_part_of_the_shards(self, tiny_files):
        cfg = Config.fromfile(FSDP)
        shrink_model(cfg.model, tiny_files)
        model = MODELS.build(cfg.model)
        model.init_weights()
        assert list(model.target_generator.buffers())
        assert not list(model.target_generator.parameters())


@pytest.mark.slow
def test_vit_base_at_full_size(tmp_path):
    """One step of the reference config at batch 2 on the CPU, with random teacher weights."""
    images = tmp_path / 'images' / 'train' / 'class_0'
    images.mkdir(parents=True)
    for index in range(2):
        image = np.random.RandomState(index).randint(0, 256, (300, 400, 3), dtype=np.uint8)
        cv2.imwrite(str(images / f'{index}.jpg'), image)
    cfg = Config.fromfile(REFERENCE)
    cfg.merge_from_dict(
        {
            'work_dir': str(tmp_path / 'run'),
            'experiment_name': f'full_size_{tmp_path.name}',
            'train_cfg.max_epochs': 1,
            'train_dataloader.batch_size': 2,
            'train_dataloader.num_workers': 0,
            'train_dataloader.persistent_workers': False,
            'train_dataloader.dataset.dataset.data_root': str(tmp_path / 'images'),
            'train_dataloader.dataset.dataset.metainfo': dict(classes=['class_0']),
            'model.target_generator.random_weights': 0,
            'default_hooks.checkpoint.save_optimizer': False,
        }
    )
    del cfg.model.target_generator.teacher['init_cfg']
    cfg.param_scheduler = None
    runner = build_runner(cfg)
    runner.train()
    assert runner.iter == 1
    assert math.isfinite(runner.message_hub.get_scalar('train/loss').current())
    load_downstream(tmp_path / 'run' / 'backbone.pth', cfg.model.backbone)
