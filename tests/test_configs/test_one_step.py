"""Every shipped Img2Vec config runs one real step at a tiny size through its runner, with all its hooks."""

import math

import cv2
import numpy as np
import pytest
import torch
from check_configs import ROOT
from config_checks.files import find_configs
from config_checks.names import parse_name
from mmengine.config import Config
from mmengine.registry import DATASETS, FUNCTIONS, HOOKS, MODELS, OPTIM_WRAPPERS, DefaultScope
from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from shrink import shrink, shrink_model
from torch import nn

from mmimg2vec.engine.command_line import build_runner

CONFIGS = [file for file in find_configs(ROOT) if file.parent.name == 'img2vec']
FOLDER = ROOT / 'configs' / 'img2vec'
REFERENCE = FOLDER / 'img2vec_vit-base-p16_8xb256-amp-coslr-300e_in1k.py'
FSDP = FOLDER / 'img2vec_vit-huge-p14_8xb256-amp-fsdp-coslr-800e_in1k.py'


@pytest.mark.parametrize('file', CONFIGS, ids=lambda file: file.stem)
@pytest.mark.usefixtures('quick_start')
def test_one_step(file, tiny_files, tmp_path):
    cfg = shrink(Config.fromfile(file), tiny_files, tmp_path)
    runner = build_runner(cfg)
    before = {}

    def remember(hook_runner):
        model = hook_runner.model
        before.update({name: value.clone() for name, value in model.named_parameters()})

    first_hook = runner.hooks[0]
    original = first_hook.before_train
    first_hook.before_train = lambda hook_runner: (remember(hook_runner), original(hook_runner))
    runner.train()

    assert runner.iter == 1
    # Everything that is trained has moved; what is not has not.
    for name, value in runner.model.named_parameters():
        moved = not torch.equal(value, before[name])
        assert moved == value.requires_grad, name
        assert value.isfinite().all(), name
    # The learning rate follows the real batch: 1 process x 2 images x accumulation.
    group = runner.optim_wrapper.optimizer.param_groups[0]
    accumulation = parse_name(file.stem).accumulation
    assert math.isclose(group['initial_lr'], 1.5e-4 * 2 * accumulation / 256, rel_tol=1e-6)
    assert math.isfinite(runner.message_hub.get_scalar('train/loss').current())

    checkpoint = torch.load(tmp_path / 'epoch_1.pth', weights_only=True)
    assert not [key for key in checkpoint['state_dict'] if 'target_generator' in key]
    assert checkpoint['meta']['teacher_fingerprint'] == runner.model.target_generator.fingerprint
    load_downstream(tmp_path / 'backbone.pth', cfg.model.backbone)
    hooks = {hook['type'] for hook in cfg.custom_hooks}
    pictures = list(tmp_path.rglob('features*.png'))
    assert bool(pictures) == ('mmimg2vec.FeaturePictureHook' in hooks)
    if 'mmimg2vec.KNNHook' in hooks:
        assert 0 <= runner.message_hub.get_scalar('knn/accuracy_cls_token').current() <= 100


def load_downstream(path, backbone):
    """The exported backbone fills mmpretrain's own network, nothing missing and nothing left over."""
    kwargs = {**backbone, 'type': 'mmpretrain.VisionTransformer'}
    kwargs.pop('pos_embed')
    kwargs.pop('init_cfg', None)
    state = torch.load(path, weights_only=True)['state_dict']
    assert all(key.startswith('backbone.') for key in state)
    model = MODELS.build(kwargs)
    model.load_state_dict({key[len('backbone.') :]: value for key, value in state.items()})


@pytest.mark.parametrize('scope', ['mmpretrain', 'mmdet', 'mmseg'])
@pytest.mark.parametrize('word', ['amp', 'selfattn', 'cosine', 'mse', 'dinov2init', 'knn'])
def test_parts_build_under_every_default_scope(word, scope, tiny_files):
    pytest.importorskip(scope)
    file = next(file for file in CONFIGS if f'-{word}-' in file.stem)
    cfg = shrink(Config.fromfile(file), tiny_files, tiny_files.folder)
    with DefaultScope.overwrite_default_scope(scope):
        model = MODELS.build(cfg.model)
        model.init_weights()
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
        for hook in (*cfg.custom_hooks, cfg.default_hooks.checkpoint):
            HOOKS.build(hook)
        parameters = list(model.parameters())
        wrapper = {**cfg.optim_wrapper, 'optimizer': torch.optim.AdamW(parameters, lr=1e-3)}
        OPTIM_WRAPPERS.build({k: v for k, v in wrapper.items() if k != 'paramwise_cfg'})
    sample = dataset[0]
    assert sample['mask'].shape == (model.backbone.grid[0] * model.backbone.grid[1],)
    assert type(model.target_generator.teacher).__module__.startswith('mmpretrain')


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
