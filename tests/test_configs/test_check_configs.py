"""The shipped configs have no problem, and each kind of problem is found; the recipes are those of the papers."""

import shutil

import check_configs
import pytest
import torch
from ablations import read_rows
from check_configs import ROOT, check_config
from config_checks.benchmark_models import check_benchmark_model
from config_checks.consistency import check_backbone_keys, check_consistency
from config_checks.files import check_chain, check_file, check_twins, find_chains, find_configs, inheritance_depth
from config_checks.names import check_content, parse_name
from config_checks.nodes import get, train_dataset, walk
from config_checks.types import check_types
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, init_default_scope

CONFIGS = find_configs(ROOT)
FILES = {file.stem: file for file in CONFIGS}
IMG2VEC = 'img2vec_vit-base-p16_8xb256-amp-coslr-300e_in1k'
CAE_V2 = 'cae-v2_vit-base-p16_8xb256-amp-coslr-300e_in1k'
FINETUNE = 'vit-base-p16_8xb128-coslr-100e_in1k'
LINEAR = 'vit-base-p16_8xb2048-linear-coslr-90e_in1k'
ATTENTIVE = 'vit-base-p16_8xb1024-attentive-coslr-90e_in1k'
TINY = 'vit-tiny-h12-p16_cae-v2-pre_8xb128-coslr-100e_in1k'
MASK_RCNN = 'mask-rcnn_vitdet-base-p16-sfp_64xb1-lsj-100e_coco'
UPERNET = 'upernet_vit-base-p16_8xb2-amp-160k_ade20k-512x512'


def read(stem):
    return Config.fromfile(FILES[stem])._cfg_dict


def set_value(cfg, path, value):
    *parents, last = path.replace('pipeline.', 'train_dataloader.dataset.dataset.pipeline.').split('.')
    for key in parents:
        cfg = cfg[int(key)] if key.isdigit() else cfg[key]
    cfg[last] = value


@pytest.mark.parametrize('file', CONFIGS, ids=lambda file: file.stem)
def test_shipped_configs(file):
    assert check_config(file) == []


def test_there_are_at_most_120_and_no_twins():
    assert len(list((ROOT / 'configs').rglob('*.py'))) <= 120
    assert check_twins(ROOT) == []


@pytest.mark.parametrize('chain', find_chains(ROOT), ids=lambda chain: chain.stem)
def test_shipped_chains(chain):
    assert check_chain(chain, ROOT) == []


def test_a_chain_whose_config_is_gone(tmp_path, monkeypatch):
    chains = tmp_path / 'chains'
    shutil.copytree(ROOT / 'configs' / 'chains', chains)
    file = chains / 'img2vec_vit-base.py'
    file.write_text(file.read_text().replace('-coslr-100e', '-coslr-101e'))
    assert any(text.startswith('stage finetune: no file configs/benchmarks/') for text in check_chain(file, ROOT))


def test_names_are_parsed():
    name = parse_name('img2vec_vit-base-p16_1xb256-accum8-amp-knn-coslr-300e_own-images')
    assert (name.head, name.kind, name.size, name.patch, name.downstream) == ('img2vec', 'vit', 'base', 16, False)
    assert (name.gpus, name.batch, name.accumulation) == (1, 256, 8)
    assert (name.words, name.length, name.data) == (('amp', 'knn', 'coslr'), 300, 'own-images')
    name = parse_name('cascade-mask-rcnn_vitdet-huge-p16-sfp_64xb1-lsj-75e_coco')
    assert (name.head, name.kind, name.size, name.pyramid) == ('cascade-mask-rcnn', 'vitdet', 'huge', True)
    name = parse_name('upernet_vit-large-p16_8xb2-amp-160k_ade20k-512x256')
    assert (name.length, name.by_epoch, name.data, name.crop) == (160000, False, 'ade20k', (512, 256))
    assert parse_name('mask-rcnn_vitdet-base-p16-sfp_8xb2-ms-1x_coco').length == 12
    name = parse_name('vit_8xb128-knn_in1k')
    assert (name.size, name.patch, name.length, name.words, name.downstream) == (None, None, None, ('knn',), True)
    name = parse_name('vit-small-h12-p16_cae-v2-pre_8xb128-coslr-200e_in1k')
    assert (name.head, name.size, name.method) == (None, 'small-h12', 'cae-v2')
    assert parse_name('mae_resnet-tiny_2xb64-coslr-30e_shapes').patch is None


@pytest.mark.parametrize(
    'stem',
    [
        'img2vec_vit-base-p16_8xb256-amp-coslr-300e',
        'img2vec_vit-base-p16_b256-amp-coslr-300e_in1k',
        'img2vec_vit-base-p16_8xb256-amp-coslr-300_in1k',
        'Img2Vec_vit-base-p16_8xb256-amp-coslr-300e_in1k',
        'img2vec_vit-base-p16_8xb256--amp-coslr-300e_in1k',
        'vit-base-p16_mff_8xb128-knn_in1k',
        'vit-base-p16_8xb128-coslr_in1k',
        'vit-base-p16_8xb128-coslr-100e_imagenet',
    ],
)
def test_names_outside_the_grammar(stem):
    assert parse_name(stem) is None


@pytest.mark.parametrize(
    ('stem', 'old', 'new', 'problem'),
    [
        (IMG2VEC, 'vit-base', 'vit-large', 'model.backbone.arch'),
        (IMG2VEC, 'p16', 'p14', 'model.backbone.patch_size'),
        (IMG2VEC, '8xb256', '4xb256', 'auto_scale_lr.base_batch_size'),
        (IMG2VEC, '8xb256', '4xb256', 'optimizer.lr'),
        (IMG2VEC, '8xb256', '16xb128', 'train_dataloader.batch_size'),
        (IMG2VEC, 'b256', 'b256-accum2', 'accumulative_counts'),
        (IMG2VEC, '-amp', '', "what 'amp' stands for"),
        (IMG2VEC, '-amp', '-amp-fsdp', "the name says 'fsdp'"),
        (IMG2VEC, '-amp', '-amp-magic', "the word 'magic'"),
        (IMG2VEC, '300e', '400e', 'train_cfg.max_epochs'),
        (IMG2VEC, 'in1k', 'own-images', 'dataset.type is ImageNet'),
        (IMG2VEC, 'img2vec', 'mae', 'model.type'),
        (IMG2VEC, 'img2vec', 'cae-v2', 'percent masked'),
        (FINETUNE, 'vit-base', 'vit-large', 'model.backbone.arch'),
        (FINETUNE, 'p16', 'p14', 'model.backbone.patch_size is 16'),
        (FINETUNE, '8xb128', '4xb128', 'auto_scale_lr.base_batch_size is 1024'),
        (FINETUNE, '-coslr', '', "what 'coslr' stands for"),
        (FINETUNE, '-coslr', '-linear-coslr', "the name says 'linear'"),
        (FINETUNE, '-coslr', '-attentive-coslr', 'FrozenVisionTransformer'),
        (FINETUNE, '_8xb', '_cae-v2-pre_8xb', 'LayerScale'),
        (FINETUNE, 'in1k', 'coco', 'dataset.type is ImageNet'),
        (LINEAR, '-linear', '', "what 'linear' stands for"),
        (ATTENTIVE, '-attentive', '', "what 'attentive' stands for"),
        (MASK_RCNN, 'mask-rcnn', 'cascade-mask-rcnn', 'model.type is MaskRCNN'),
        (MASK_RCNN, 'vitdet', 'vit', 'model.backbone.type is ViTDet'),
        (MASK_RCNN, '-sfp', '', 'simple feature pyramid'),
        (MASK_RCNN, '-lsj', '-ms', "what 'lsj' stands for"),
        (UPERNET, '160k', '160e', 'train_cfg.max_epochs is None'),
        (UPERNET, '512x512', '640x640', 'size of the training images'),
        (TINY, 'tiny-h12', 'small-h12', 'model.backbone.arch'),
    ],
)
def test_a_name_that_lies(stem, old, new, problem):
    cfg = read(stem)
    assert check_content(cfg, parse_name(stem)) == []
    found = check_content(cfg, parse_name(stem.replace(old, new)))
    assert any(problem in text for text in found), found


@pytest.mark.parametrize(
    ('stem', 'path', 'value', 'problem'),
    [
        (IMG2VEC, 'optim_wrapper.type', 'mmengine.OptimWrapper', "'amp'"),
        (IMG2VEC, 'optim_wrapper.dtype', 'float32', "'amp'"),
        (IMG2VEC, 'optim_wrapper.optimizer.lr', 1e-3, 'optimizer.lr'),
        (IMG2VEC, 'auto_scale_lr.enable', False, 'auto_scale_lr.enable'),
        (IMG2VEC, 'param_scheduler.1.end', 200, 'ends at 200 of 300'),
        (IMG2VEC, 'param_scheduler.1.begin', 30, 'goes on at 30'),
        (IMG2VEC, 'param_scheduler.1.type', 'PolyLR', "the name says 'coslr'"),
        (IMG2VEC, 'model.target_generator.dtype', 'float32', 'bfloat16 in model.target_generator'),
        (IMG2VEC, 'pipeline.2.patch_size', 14, 'patch_size is 14'),
        (IMG2VEC, 'pipeline.2.mask_ratio', 0.6, 'is 60, by the name 75'),
        (CAE_V2, 'pipeline.4.mask_ratio', 0.25, 'is 25, by the name 50'),
        (CAE_V2, 'optim_wrapper.optimizer.lr', 1.5e-4, 'by the name 0.0015'),
        (FINETUNE, 'optim_wrapper.dtype', 'float32', "the name says 'amp'"),
        (FINETUNE, 'model.data_preprocessor.num_classes', 10, 'num_classes is 10'),
        (TINY, 'model.backbone.arch.num_heads', 3, 'model.backbone.arch'),
        (TINY, 'model.backbone.layer_scale_init_value', 0.0, 'LayerScale'),
        (MASK_RCNN, 'param_scheduler.1.milestones', [89, 101], 'not all before the end'),
        (MASK_RCNN, 'model.roi_head.mask_head.num_classes', 91, 'num_classes is 91'),
        (UPERNET, 'default_hooks.checkpoint.by_epoch', True, 'counts epochs'),
        (UPERNET, 'param_scheduler.1.by_epoch', True, 'does not count as'),
    ],
)
def test_a_content_that_is_not_the_name(stem, path, value, problem):
    cfg = read(stem)
    set_value(cfg, path, value)
    found = check_content(cfg, parse_name(stem))
    assert any(problem in text for text in found), found


@pytest.mark.parametrize(
    ('kind', 'problem'),
    [
        ('ResNet', 'lacks its scope'),
        ('FeatureHead', 'lacks its scope; mmimg2vec.FeatureHead?'),
        ('mmimg2vec.ResNet', 'does not exist'),
        ('mmimg2vec.engine.fsdp.wrap_nothing', 'does not exist'),
        ('NoSuchThing', 'does not exist'),
        ('mmpretrain.ResNet', None),
        ('AdamW', None),
        ('RandomGrayscale', None),  # mmcv's, which mmpretrain lists too
        ('mmimg2vec.engine.fsdp.wrap_transformer_blocks', None),
    ],
)
def test_types(kind, problem):
    found = check_types(ConfigDict(model=dict(layers=[dict(type=kind)])))
    assert (found == []) if problem is None else (problem in found[0])


def test_a_type_that_two_scopes_have(monkeypatch):
    scopes = dict(mmengine=dict(Same=int, Other=int), mmdet=dict(Same=int, Other=str))
    monkeypatch.setattr('config_checks.types.names_by_scope', lambda scope=None: scopes)
    assert check_types(ConfigDict(a=dict(type='Same'))) == []
    assert "mmengine's and mmdet's" in check_types(ConfigDict(a=dict(type='Other')))[0]


@pytest.mark.parametrize(
    ('stem', 'path', 'value', 'problem'),
    [
        (IMG2VEC, 'model.target_generator.output_stride', None, 'the teacher gives 7 x 7 tokens'),
        (IMG2VEC, 'model.fusion.blocks', (0, 5), 'has to end with the last'),
        (IMG2VEC, 'optim_wrapper.paramwise_cfg.norm_decay_mult', 1.0, 'ln1.weight has the weight decay'),
        (IMG2VEC, 'pipeline.0.scale', 192, 'scale gives (192, 192) pixels'),
        (CAE_V2, 'pipeline.4.min_block', 99, 'fewer than the smallest block has, 99'),
        (CAE_V2, 'pipeline.4.patch_size', 14, 'the masks have 256 tokens, the backbone 196 patches'),
        (CAE_V2, 'pipeline.4.patch_size', 15, 'not divisible into patches'),
        (CAE_V2, 'pipeline.4.type', 'mmpretrain.RandomFlip', 'the training pipeline has 0 of'),
        (CAE_V2, 'model.target_generator.input_size', 112, 'the teacher gives 7 x 7 tokens'),
        (CAE_V2, 'model.neck.num_heads', 7, 'the model cannot be built'),
        (CAE_V2, 'optim_wrapper.paramwise_cfg', dict(norm_decay_mult=0.0), 'gamma1.weight has the weight decay'),
    ],
)
def test_parts_of_a_pre_training_that_do_not_fit(stem, path, value, problem):
    cfg = read(stem)
    set_value(cfg, path, value)
    found = check_consistency(cfg)
    assert any(problem in text for text in found), found


def test_a_prediction_of_another_width():
    cfg = read(CAE_V2)
    cfg.model.neck.out_channels = 256
    cfg.model.head.class_token = False
    found = check_consistency(cfg, decay=False)
    assert any('the parts do not fit one another' in text for text in found), found


@pytest.mark.parametrize(
    ('stem', 'path', 'value', 'problem'),
    [
        (FINETUNE, 'model.head.in_channels', 384, 'do not fit'),
        (FINETUNE, 'optim_wrapper.paramwise_cfg.custom_keys', {}, 'pos_embed'),
        (MASK_RCNN, 'model.neck.in_channels', 1024, 'do not fit'),
        (MASK_RCNN, 'model.rpn_head.anchor_generator.strides', [8, 8, 16, 32, 64], 'has stride 4'),
        (MASK_RCNN, 'model.roi_head.bbox_head.in_channels', 128, 'do not fit'),
        (UPERNET, 'model.decode_head.in_channels', [768, 768, 768, 384], 'do not fit'),
        (UPERNET, 'model.decode_head.unknown', 1, 'cannot be built'),
    ],
)
def test_downstream_parts_that_do_not_fit(stem, path, value, problem):
    pytest.importorskip('mmdet' if stem == MASK_RCNN else 'mmseg')
    cfg = read(stem)
    set_value(cfg, path, value)
    check_types(cfg, cfg.default_scope)  # imports what the scope registers
    init_default_scope(cfg.default_scope)
    found = check_benchmark_model(cfg, parse_name(stem))
    assert any(problem in text for text in found), found


def test_types_of_the_own_scope():
    pytest.importorskip('mmseg')
    cfg = read(UPERNET)
    assert check_types(cfg, 'mmseg') == []
    cfg.model.neck.type = 'SimpleFeaturePyramid'
    assert 'lacks its scope; mmimg2vec.SimpleFeaturePyramid?' in check_types(cfg, 'mmseg')[0]


def test_a_backbone_with_tensors_of_its_own():
    cfg = read(IMG2VEC)
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    assert check_backbone_keys(cfg, model) == []
    model.backbone.extra = torch.nn.Linear(2, 2)
    model.backbone.cls_token = torch.nn.Parameter(torch.zeros(1, 2, 768))
    assert len(check_backbone_keys(cfg, model)) == 3


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
    'vit-small-p16_8xb128-coslr-100e_in1k': (2e-3, 0.05, 0.75, 0.1),
    'vit-large-p16_cae-v2-pre_8xb128-coslr-50e_in1k': (2e-4, 0.05, 0.8, 0.2),
    'mask-rcnn_vitdet-small-p16-sfp_64xb1-lsj-100e_coco': (1e-4, 0.1, 0.7, 0.1),
    'mask-rcnn_vitdet-tiny-p16-sfp_8xb2-ms-1x_coco': (1e-4, 0.1, 0.85, 0.0),
    'mask-rcnn_vitdet-large-p16-sfp_8xb2-ms-1x_coco': (1e-4, 0.1, 0.8, 0.2),
    'upernet_vit-small-p16_8xb2-amp-160k_ade20k-512x512': (1e-4, 0.05, 0.75, 0.1),
    'upernet_vit-tiny-p16_8xb2-amp-160k_ade20k-512x512': (2e-4, 0.05, 0.85, 0.0),
    'vit-tiny-h12-p16_cae-v2-pre_8xb128-coslr-100e_in1k': (4e-3, 0.05, 0.85, 0.0),
    'vit-small-h12-p16_cae-v2-pre_8xb128-coslr-200e_in1k': (4e-4, 0.05, 0.75, 0.1),
    'vit-base-p16_cae-v2-pre_8xb128-coslr-100e_in1k': (2e-4, 0.05, 0.75, 0.1),
    'vit-tiny-p16_8xb2048-linear-coslr-90e_in1k': (6.4, 0.0, None, 0.0),
    'vit-large-p16_8xb1024-attentive-coslr-90e_in1k': (0.4, 0.0, None, 0.0),
}


@pytest.mark.parametrize('stem', RECIPES)
def test_recipes(stem):
    cfg = read(stem)
    optimizer = cfg.optim_wrapper.optimizer
    found = (
        optimizer.lr,
        optimizer.weight_decay,
        cfg.optim_wrapper.get('paramwise_cfg', {}).get('layer_decay_rate'),
        cfg.model.backbone.get('drop_path_rate', 0.0),
    )
    assert found == pytest.approx(RECIPES[stem])


def test_mixing_and_smoothing_of_cae_v2():
    """Official code: mixup 0.2 alone for the tiny size, no smoothing; else 0.8, cutmix 1, 0.1."""
    tiny, small = read(TINY), read('vit-small-h12-p16_cae-v2-pre_8xb128-coslr-200e_in1k')
    augments = [dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]
    assert small.model.train_cfg.augments == augments
    assert small.model.head.loss.label_smooth_val == 0.1
    assert tiny.model.train_cfg.augments == [dict(type='Mixup', alpha=0.2)]
    assert tiny.model.head.loss == dict(type='CrossEntropyLoss', use_soft=True)
    assert (small.param_scheduler[0].end, tiny.param_scheduler[0].end) == (20, 5)
    levels = [
        next(s.magnitude_level for s in train_dataset(cfg).pipeline if s.type == 'RandAugment') for cfg in (tiny, small)
    ]
    assert levels == [9, 9]


@pytest.mark.parametrize('row', [row for row in read_rows() if 'benchmarks' in row.config], ids=lambda row: row.name)
def test_cae_v2s_recipes_of_one_option(row):
    """Every option of the row is one that its config has; the learning rate follows the batch by itself."""
    cfg, base = row.load()._cfg_dict, read(row.config.split('/')[-1][:-3])
    for option, value in row.options.items():
        assert get(base, option) is not None and get(cfg, option) == value != get(base, option)
    if 'train_dataloader.batch_size' in row.options:
        # Official code: 3.2 for 8 x 1024 images.
        assert base.optim_wrapper.optimizer.lr * 8 * 1024 / base.auto_scale_lr.base_batch_size == pytest.approx(3.2)


class TestFiles:
    HEAD = '"""A config (arXiv 1); not measured. Run: {name}"""\n'

    def write(self, folder, *names):
        for base, name in zip((None, *names), names, strict=False):
            text = self.HEAD.format(name=f'{name}.py')
            (folder / f'{name}.py').write_text(text + (f"_base_ = ['{base}.py']\n" if base else ''))
        return folder / f'{names[-1]}.py'

    def test_depth(self, tmp_path):
        third = self.write(tmp_path, 'a', 'b', 'c')
        assert inheritance_depth(third) == 2
        assert check_file(third) == []
        assert check_file(self.write(tmp_path, 'a', 'b', 'c', 'd')) == ['inherits over 3 levels, at most 2 are allowed']

    def test_a_base_that_is_missing(self, tmp_path):
        second = self.write(tmp_path, 'a', 'b')
        (tmp_path / 'a.py').unlink()
        assert 'does not exist' in check_file(second)[0]

    def test_imports(self, tmp_path):
        second = self.write(tmp_path, 'a', 'b')
        first = tmp_path / 'a.py'
        first.write_text('import os\n' + first.read_text())
        assert check_file(second) == ["a.py imports; for an environment variable write '{{$NAME:default}}'"]

    def test_head(self, tmp_path):
        config = self.write(tmp_path, 'a')
        config.write_text(self.HEAD.format(name='other.py'))
        assert check_file(config) == ['the command in its head runs another config']
        config.write_text('x = 1\n')
        assert len(check_file(config)) == 3

    def test_twins(self, tmp_path):
        for folder in ('a', 'b'):
            (tmp_path / 'configs' / folder).mkdir(parents=True)
            (tmp_path / 'configs' / folder / 'same.py').touch()
        assert ['has the name of' in line for line in check_twins(tmp_path)] == [True]


def test_command_line(tmp_path, monkeypatch, capsys):
    config = tmp_path / 'img2vec_something.py'
    config.write_text('model = dict(')
    monkeypatch.setattr('sys.argv', ['check_configs.py', str(config)])
    assert check_configs.main() == 1
    config.write_text('x = 1 / 0\n')
    assert check_configs.main() == 1
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith(f'{config}: cannot be read: ') for line in lines), lines
    assert 'SyntaxError' in lines[0]
    assert 'ZeroDivisionError' in lines[-1]


def test_get_and_walk():
    cfg = ConfigDict(a=dict(b=[dict(type='x')], c=1))
    assert get(cfg, 'a.c') == 1
    assert get(cfg, 'a.c.d', 'none') == 'none'
    assert [path for path, node in walk(cfg) if node.get('type') == 'x'] == ['a.b[0]']
