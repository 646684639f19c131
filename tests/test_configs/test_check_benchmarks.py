"""Each kind of problem of a downstream config is found; the recipes are those of the papers."""

import shutil

import pytest
from check_configs import ROOT
from config_checks.benchmark_models import check_benchmark_model, check_start
from config_checks.benchmarks import check_benchmark, parse_benchmark
from config_checks.files import check_chain, find_chains
from config_checks.methods import METHODS, check_method
from config_checks.names import train_dataset
from config_checks.types import check_types
from mmengine.config import Config
from mmengine.registry import init_default_scope

FOLDER = ROOT / 'configs' / 'img2vec' / 'benchmarks'
FINETUNE = FOLDER / 'classification/vit-base-p16_8xb128-coslr-100e_in1k.py'
LINEAR = FOLDER / 'classification/vit-base-p16_8xb2048-linear-coslr-90e_in1k.py'
MASK_RCNN = FOLDER / 'detection/mask-rcnn_vitdet-base-p16-sfp_64xb1-lsj-100e_coco.py'
UPERNET = FOLDER / 'segmentation/upernet_vit-base-p16_8xb2-amp-160k_ade20k-512x512.py'
CAE_V2 = ROOT / 'configs' / 'cae_v2' / 'benchmarks'
TINY = CAE_V2 / 'classification/vit-tiny-h12-p16_cae-v2-pre_8xb128-coslr-100e_in1k.py'
ATTENTIVE = CAE_V2 / 'classification/vit-base-p16_cae-v2-pre_8xb1024-attentive-coslr-90e_in1k.py'


def read(file):
    return Config.fromfile(file)._cfg_dict


def set_value(cfg, path, value):
    *parents, last = path.split('.')
    for key in parents:
        cfg = cfg[int(key)] if key.isdigit() else cfg[key]
    cfg[last] = value


def test_a_name_is_parsed():
    name = parse_benchmark('cascade-mask-rcnn_vitdet-huge-p16-sfp_64xb1-lsj-75e_coco')
    assert (name.task, name.model, name.patch, name.pyramid) == (
        'cascade-mask-rcnn',
        'vitdet-huge',
        16,
        True,
    )
    assert (name.gpus, name.batch, name.options, name.length) == (64, 1, ('lsj',), 75)
    name = parse_benchmark('upernet_vit-large-p16_8xb2-amp-160k_ade20k-512x256-ms')
    assert (name.length, name.by_epoch, name.data) == (160000, False, 'ade20k')
    assert (name.crop, name.multi_scale_test) == ((512, 256), True)
    assert parse_benchmark('mask-rcnn_vitdet-base-p16-sfp_8xb2-ms-1x_coco').length == 12
    assert parse_benchmark('vit-small-p16_8xb128-knn_in1k').length is None
    name = parse_benchmark('mask-rcnn_vitdet-small-h12-p16-sfp_cae-v2-pre_8xb2-ms-1x_coco')
    assert (name.model, name.patch, name.method) == ('vitdet-small-h12', 16, 'cae-v2')
    assert parse_benchmark('vit-base-p16_mff-pre_8xb128-knn_in1k').method == 'mff'
    assert parse_benchmark('vit-base-p16_8xb128-knn_in1k').method is None
    assert parse_benchmark('vit-base-p16_mff_8xb128-knn_in1k') is None
    assert parse_benchmark('cae-v2_vit-tiny-h12-p16_8xb256-amp-coslr-300e_in1k') is None
    assert parse_benchmark('img2vec_vit-base-p16_8xb256-amp-coslr-300e_in1k') is None
    assert parse_benchmark('vit-base-p16_8xb128-coslr_in1k') is None


@pytest.mark.parametrize(
    ('file', 'old', 'new', 'problem'),
    [
        (FINETUNE, 'vit-base', 'vit-large', 'model.backbone.arch'),
        (FINETUNE, 'p16', 'p14', 'model.backbone.patch_size is 16'),
        (FINETUNE, '8xb128', '4xb128', 'auto_scale_lr.base_batch_size is 1024'),
        (FINETUNE, '8xb128', '4xb256', 'train_dataloader.batch_size is 128'),
        (FINETUNE, '100e', '50e', 'train_cfg.max_epochs is 100'),
        (FINETUNE, '-coslr', '', "stands for, its name does not"),
        (FINETUNE, '-coslr', '-linear-coslr', "has the option 'linear'"),
        (FINETUNE, 'in1k', 'coco', 'the data is ImageNet'),
        (LINEAR, '-linear', '', "what 'linear' stands for"),
        (MASK_RCNN, 'mask-rcnn', 'cascade-mask-rcnn', 'model.type is MaskRCNN'),
        (MASK_RCNN, 'vitdet', 'vit', 'model.backbone.type is ViTDet'),
        (MASK_RCNN, '-sfp', '', 'simple feature pyramid'),
        (MASK_RCNN, '-lsj', '-ms', "what 'lsj' stands for"),
        (UPERNET, '160k', '160e', 'train_cfg.max_epochs is None'),
        (UPERNET, '512x512', '640x640', 'training images are (512, 512)'),
        (UPERNET, '512x512', '512x512-ms', 'SegTTAModel'),
        (TINY, 'tiny-h12', 'small-h12', 'model.backbone.arch'),
        (ATTENTIVE, '-attentive', '', "what 'attentive' stands for"),
        (ATTENTIVE, '-attentive', '-linear', "has the option 'linear'"),
        (FINETUNE, '-coslr', '-attentive-coslr', 'FrozenVisionTransformer'),
    ],
)  # fmt: skip
def test_a_name_that_lies(file, old, new, problem):
    found = check_benchmark(read(file), parse_benchmark(file.stem.replace(old, new)))
    assert any(problem in text for text in found), found


@pytest.mark.parametrize(
    ('file', 'path', 'value', 'problem'),
    [
        (FINETUNE, 'optim_wrapper.dtype', 'float32', 'not in bfloat16'),
        (FINETUNE, 'auto_scale_lr.enable', False, 'auto_scale_lr.enable'),
        (FINETUNE, 'param_scheduler.1.end', 90, 'ends at 90 of 100'),
        (FINETUNE, 'param_scheduler.1.begin', 6, 'it goes on at 6'),
        (FINETUNE, 'model.data_preprocessor.num_classes', 10, 'num_classes is 10'),
        (MASK_RCNN, 'param_scheduler.1.milestones', [89, 101], 'not all before the end'),
        (MASK_RCNN, 'model.roi_head.mask_head.num_classes', 91, 'num_classes is 91'),
        (UPERNET, 'default_hooks.checkpoint.by_epoch', True, 'counts epochs'),
        (UPERNET, 'param_scheduler.1.by_epoch', True, 'does not count as'),
    ],
)
def test_a_content_that_is_not_the_name(file, path, value, problem):
    cfg, name = read(file), parse_benchmark(file.stem)
    assert check_benchmark(cfg, name) == []
    set_value(cfg, path, value)
    found = check_benchmark(cfg, name)
    assert any(problem in text for text in found), found


@pytest.mark.parametrize(
    ('file', 'path', 'value', 'problem'),
    [
        (FINETUNE, 'model.head.in_channels', 384, 'do not fit'),
        (FINETUNE, 'optim_wrapper.paramwise_cfg.norm_decay_mult', 1.0, 'pos_embed'),
        (MASK_RCNN, 'model.neck.in_channels', 1024, 'do not fit'),
        (MASK_RCNN, 'model.rpn_head.anchor_generator.strides', [8, 8, 16, 32, 64], 'has stride 4'),
        (MASK_RCNN, 'model.roi_head.bbox_head.in_channels', 128, 'do not fit'),
        (UPERNET, 'model.decode_head.in_channels', [768, 768, 768, 384], 'do not fit'),
        (UPERNET, 'model.decode_head.unknown', 1, 'cannot be built'),
    ],
)
def test_parts_that_do_not_fit(file, path, value, problem):
    pytest.importorskip('mmdet' if file == MASK_RCNN else 'mmseg')
    cfg = read(file)
    if problem == 'pos_embed':  # its exemption is what is taken away
        path, value = 'optim_wrapper.paramwise_cfg.custom_keys', {}
    set_value(cfg, path, value)
    check_types(cfg, cfg.default_scope)  # imports what the scope registers
    init_default_scope(cfg.default_scope)
    found = check_benchmark_model(cfg, parse_benchmark(file.stem))
    assert any(problem in text for text in found), found


def test_types_of_the_own_scope():
    pytest.importorskip('mmseg')
    cfg = read(UPERNET)
    assert check_types(cfg, 'mmseg') == []
    cfg.model.neck.type = 'SimpleFeaturePyramid'
    assert 'lacks its scope; mmimg2vec.SimpleFeaturePyramid?' in check_types(cfg, 'mmseg')[0]


def test_where_it_starts(monkeypatch):
    monkeypatch.delenv('IMG2VEC_BACKBONE', raising=False)
    cfg = read(FINETUNE)
    assert check_start(cfg, FINETUNE) == []
    cfg.model.backbone.arch = 'large'
    assert 'model.backbone.arch is large' in check_start(cfg, FINETUNE)[0]
    cfg.model.backbone.init_cfg.checkpoint = 'work_dirs/img2vec_gone/backbone.pth'
    assert 'no config of img2vec' in check_start(cfg, FINETUNE)[0]
    cfg.model.backbone.init_cfg.prefix = None
    assert 'not a backbone.pth' in check_start(cfg, FINETUNE)[0]


def test_the_method_in_the_name():
    for folder in METHODS:
        for file in (ROOT / 'configs' / folder / 'benchmarks').rglob('*.py'):
            assert f'_{METHODS[folder]}-pre_' in file.stem or METHODS[folder] is None
    cfg = read(TINY)

    def found(stem, file=TINY):
        return check_method(cfg, parse_benchmark(stem), file)

    assert found(TINY.stem) == []
    assert 'that of the folder cae_v2 is cae-v2' in found(TINY.stem.replace('cae-v2', 'mff'))[0]
    assert 'is None, that of the folder cae_v2' in found(TINY.stem.replace('_cae-v2-pre', ''))[0]
    assert 'that of the folder img2vec is None' in found(TINY.stem, FINETUNE)[0]
    assert 'CAE v2 has no tiny, but' in found(TINY.stem.replace('-h12', ''))[0]
    demo = ROOT / 'configs' / 'demo' / 'any.py'
    assert 'mae-pre in its name' in found(TINY.stem.replace('cae-v2', 'mae'), demo)[0]
    assert found('vit-tiny-p8_cae-v2-pre_1xb64-coslr-5e_shapes', demo) == []
    assert found('vit-tiny-p8_1xb64-coslr-5e_shapes', demo) == []


@pytest.mark.parametrize(
    ('path', 'value', 'problem'),
    [
        ('model.backbone.layer_scale_init_value', 0.0, 'layer_scale_init_value is 0, and CAE v2'),
        ('model.backbone.qkv_bias', False, 'qkv_bias is False'),
    ],
)
def test_a_backbone_that_is_not_cae_v2s(path, value, problem, monkeypatch):
    monkeypatch.delenv('IMG2VEC_BACKBONE', raising=False)
    cfg = read(TINY)
    set_value(cfg, path, value)
    assert problem in check_method(cfg, parse_benchmark(TINY.stem), TINY)[0]
    assert path.split('.')[-1] in check_start(cfg, TINY)[0]


def test_heads_of_another_number(monkeypatch):
    monkeypatch.delenv('IMG2VEC_BACKBONE', raising=False)
    cfg = read(TINY)
    cfg.model.backbone.arch.num_heads = 3
    assert any('model.backbone.arch' in p for p in check_benchmark(cfg, parse_benchmark(TINY.stem)))
    assert 'model.backbone.arch' in check_start(cfg, TINY)[0]


RECIPES = {  # name: (lr for the batch of the name, weight decay, layer decay, drop path)
    'vit-base-p16_8xb128-coslr-100e_in1k': (2e-3, 0.05, 0.65, 0.1),
    'vit-large-p16_8xb128-coslr-50e_in1k': (4e-3, 0.05, 0.75, 0.2),
    'vit-huge-p14_8xb128-coslr-50e_in1k': (4e-3, 0.05, 0.75, 0.3),
    'vit-large-p16_8xb2048-linear-coslr-90e_in1k': (6.4, 0.0, None, 0.0),
    'mask-rcnn_vitdet-base-p16-sfp_64xb1-lsj-100e_coco': (1e-4, 0.1, 0.7, 0.1),
    'cascade-mask-rcnn_vitdet-large-p16-sfp_64xb1-lsj-100e_coco': (1e-4, 0.1, 0.8, 0.4),
    'mask-rcnn_vitdet-huge-p16-sfp_64xb1-lsj-75e_coco': (1e-4, 0.1, 0.9, 0.5),
    'upernet_vit-base-p16_8xb2-amp-160k_ade20k-512x512': (1e-4, 0.05, 0.65, 0.1),
    'upernet_vit-large-p16_8xb2-amp-160k_ade20k-512x512': (4e-5, 0.05, 0.95, 0.2),
    'vit-base-p16_mff-pre_8xb128-coslr-100e_in1k': (2e-3, 0.05, 0.65, 0.1),
    'vit-small-p16_mff-pre_8xb2048-linear-coslr-90e_in1k': (6.4, 0.0, None, 0.0),
    'vit-tiny-h12-p16_cae-v2-pre_8xb128-coslr-100e_in1k': (4e-3, 0.05, 0.85, 0.0),
    'vit-small-h12-p16_cae-v2-pre_8xb128-coslr-200e_in1k': (4e-4, 0.05, 0.75, 0.1),
    'vit-base-p16_cae-v2-pre_8xb128-coslr-100e_in1k': (2e-4, 0.05, 0.75, 0.1),
    'vit-base-p16_cae-v2-pre_8xb1024-linear-coslr-90e_in1k': (3.2, 0.0, None, 0.0),
    'vit-tiny-h12-p16_cae-v2-pre_8xb2048-linear-coslr-90e_in1k': (6.4, 0.0, None, 0.0),
    'vit-large-p16_cae-v2-pre_8xb1024-attentive-coslr-90e_in1k': (0.4, 0.0, None, 0.0),
    'upernet_vit-base-p16_cae-v2-pre_8xb2-amp-160k_ade20k-512x512': (2e-4, 0.05, 0.65, 0.1),
}


@pytest.mark.parametrize('stem', RECIPES)
def test_recipes(stem):
    (file,) = (ROOT / 'configs').rglob(f'{stem}.py')
    cfg = read(file)
    optimizer = cfg.optim_wrapper.optimizer
    found = (
        optimizer.lr,
        optimizer.weight_decay,
        cfg.optim_wrapper.get('paramwise_cfg', {}).get('layer_decay_rate'),
        cfg.model.backbone.get('drop_path_rate', 0.0),
    )
    assert found == pytest.approx(RECIPES[stem])


def test_mixing_and_smoothing_of_cae_v2():
    """Official code: mixup 0.2 alone for the tiny size, stronger RandAugment, no smoothing; 0.8, cutmix 1 and 0.1 else."""
    tiny, small = read(TINY), read(next(CAE_V2.rglob('vit-small-h12*200e_in1k.py')))
    augments = [dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]
    assert small.model.train_cfg.augments == augments
    assert small.model.head.loss.label_smooth_val == 0.1
    assert tiny.model.train_cfg.augments == [dict(type='Mixup', alpha=0.2)]
    assert tiny.model.head.loss == dict(type='CrossEntropyLoss', use_soft=True)
    assert (small.param_scheduler[0].end, tiny.param_scheduler[0].end) == (20, 5)
    levels = [
        next(s.magnitude_level for s in train_dataset(cfg).pipeline if s.type == 'RandAugment') for cfg in (tiny, small)
    ]
    assert levels == [10, 9]


@pytest.mark.parametrize('chain', find_chains(ROOT), ids=lambda chain: chain.stem)
def test_shipped_chains(chain):
    assert check_chain(chain, ROOT) == []


def test_a_chain_whose_config_is_gone(tmp_path):
    shutil.copytree(ROOT / 'configs' / 'chains', tmp_path / 'chains')
    found = check_chain(tmp_path / 'chains' / 'img2vec_vit-base.py', tmp_path)
    assert any(text.startswith('stage finetune: no file configs/img2vec/') for text in found)
