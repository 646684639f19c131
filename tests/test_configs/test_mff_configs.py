"""Every MFF config runs one real step at a tiny size through its runner, with all its hooks."""

import copy
import math

import cv2
import numpy as np
import pytest
import torch
from check_configs import ROOT
from config_checks.consistency import check_consistency
from config_checks.files import check_file
from config_checks.names import walk
from config_checks.types import check_types
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, DefaultScope
from shrink import ARCH, GRID

from mmimg2vec.engine.command_line import build_runner

FULL_SIZE = sorted((ROOT / 'configs' / 'mff').glob('*.py'))
REFERENCE = ROOT / 'configs/mff/mff_vit-base-p16_8xb512-amp-coslr-300e_in1k.py'
DEMO = ROOT / 'configs/demo/mff_vit-tiny-p8_1xb128-coslr-8e_shapes.py'
CONFIGS = [*FULL_SIZE, DEMO]


def shrink(file, files, work_dir):
    """A config that runs one iteration of two images of 4 x 4 patches on the CPU."""
    cfg = Config.fromfile(file)
    cfg.work_dir = str(work_dir)
    cfg.experiment_name = f'{file.stem}_{np.random.randint(1 << 30)}'
    cfg.log_level = 'ERROR'
    size = GRID * cfg.model.backbone.patch_size
    cfg.model.backbone.update(arch=dict(ARCH), img_size=size)
    if cfg.model.fusion is not None:
        cfg.model.fusion.blocks = (0, 2)
    cfg.model.neck.update(embed_dims=32, depth=1, num_heads=2)
    cfg.train_dataloader.update(batch_size=2, num_workers=0, persistent_workers=False)
    dataset = cfg.train_dataloader.dataset.dataset
    if dataset.type == 'mmpretrain.ImageNet':
        dataset.update(data_root=str(files.images), metainfo=dict(classes=['class_0', 'class_1']))
    else:
        dataset.data_root = str(files.images / 'train')
    for hook in cfg.custom_hooks:
        if hook['type'] == 'mmimg2vec.KNNHook':
            hook.update(k=2, interval=1)
            for name in ('bank_dataloader', 'query_dataloader'):
                hook[name].update(num_workers=0, batch_size=1)
                hook[name]['dataset']['data_root'] = str(files.images)
    for _, node in walk(cfg._cfg_dict):
        if node.get('type') == 'mmpretrain.RandomResizedCrop':
            node['scale'] = size
        elif str(node.get('type')).startswith('mmpretrain.torchvision/'):
            node['size'] = size
    cfg.train_cfg.max_epochs = 1
    warmup, cosine = cfg.param_scheduler
    # No warm-up, which would make the one step too small to be seen.
    warmup.update(start_factor=1.0, end=1)
    cosine.update(begin=1, end=2)
    return cfg


@pytest.mark.parametrize('file', CONFIGS, ids=lambda file: file.stem)
@pytest.mark.usefixtures('quick_start')
def test_one_step(file, tiny_files, tmp_path):
    cfg = shrink(file, tiny_files, tmp_path)
    rate = cfg.optim_wrapper.optimizer.lr * 2 / cfg.auto_scale_lr.base_batch_size
    assert file == DEMO or math.isclose(rate, 1.5e-4 * 2 / 256, rel_tol=1e-9)
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
    assert math.isfinite(loss) and math.isclose(token, loss)  # what is watched is not added
    shares = [value.current() for key, value in scalars.items() if 'fusion_weight' in key]
    if cfg.model.fusion is None:
        assert not shares
    else:
        assert shares == [0.5, 0.5]
    assert list(tmp_path.rglob('features*.png'))
    assert [key for key in scalars if key.startswith('knn/')] if file == DEMO else True

    state = torch.load(tmp_path / 'backbone.pth', weights_only=True)['state_dict']
    kwargs = {k: v for k, v in cfg.model.backbone.items() if k != 'pos_embed'}
    plain = MODELS.build({**kwargs, 'type': 'mmpretrain.VisionTransformer'})
    plain.load_state_dict({key[len('backbone.') :]: value for key, value in state.items()})


@pytest.mark.parametrize('scope', ['mmpretrain', 'mmdet', 'mmseg'])
def test_parts_build_under_every_default_scope(scope, tiny_files):
    pytest.importorskip(scope)
    cfg = shrink(REFERENCE, tiny_files, tiny_files.folder)
    with DefaultScope.overwrite_default_scope(scope):
        model = MODELS.build(copy.deepcopy(cfg.model))
        model.init_weights()
        sample = DATASETS.build(cfg.train_dataloader.dataset)[0]
    batch = {key: torch.stack([sample[key]]) for key in ('inputs', 'mask', 'token_rank')}
    losses = model(**model.data_preprocessor(batch, True), mode='loss')
    assert losses['loss_token'].isfinite()


@pytest.mark.parametrize('file', CONFIGS, ids=lambda file: file.stem)
def test_parts_fit_at_full_size(file):
    cfg = Config.fromfile(file)._cfg_dict
    assert check_file(file) == []
    assert check_types(cfg) == []
    assert check_consistency(cfg, decay=file != DEMO) == []


def test_augmentation_shows_the_whole_image_and_no_black(tmp_path):
    """The short side becomes 224 px, what the padding adds is reflected, colors stay in their order."""
    folder = tmp_path / 'train' / 'class_0'
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / '0.png'), np.full((300, 300, 3), (250, 150, 50), np.uint8))
    cfg = Config.fromfile(REFERENCE).train_dataloader.dataset
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
