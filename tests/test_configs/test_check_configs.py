"""The shipped configs have no problem, and each kind of problem is found."""

import shutil

import check_configs
import pytest
from check_configs import ROOT, check_config
from config_checks.files import check_file, check_metafiles, find_configs, inheritance_depth
from config_checks.names import check_content, get, parse_name, walk
from config_checks.types import check_types
from mmengine.config import Config, ConfigDict

CONFIGS = find_configs(ROOT)
REFERENCE = ROOT / 'configs/img2vec/img2vec_vit-base-p16_8xb256-amp-coslr-300e_in1k.py'


@pytest.mark.parametrize('file', CONFIGS, ids=lambda file: file.stem)
def test_shipped_configs(file):
    assert check_config(file) == []


def test_shipped_metafiles():
    assert check_metafiles(ROOT) == []


@pytest.fixture
def reference():
    return Config.fromfile(REFERENCE)._cfg_dict


@pytest.mark.parametrize(
    ('stem', 'expected'),
    [
        (
            'img2vec_vit-base-p16_1xb256-accum8-amp-nofusion-coslr-300e_own-images',
            ('vit-base', 16, 1, 256, 8, ('amp', 'nofusion'), 300, 'own-images'),
        ),
        (
            'mae_resnet-tiny_2xb64-coslr-30e_shapes',
            ('resnet-tiny', None, 2, 64, 1, (), 30, 'shapes'),
        ),
    ],
)
def test_names_are_parsed(stem, expected):
    name = parse_name(stem)
    found = (name.model, name.patch, name.gpus, name.batch, name.accumulation)
    assert (*found, name.options, name.epochs, name.data) == expected


@pytest.mark.parametrize(
    'stem',
    [
        'img2vec_vit-base-p16_8xb256-amp-coslr-300e',
        'img2vec_vit-base-p16_b256-amp-coslr-300e_in1k',
        'img2vec_vit-base-p16_8xb256-amp-300e_in1k',
        'img2vec_vit-base-p16_8xb256-amp-coslr-300_in1k',
        'Img2Vec_vit-base-p16_8xb256-amp-coslr-300e_in1k',
        'img2vec_vit-base-p16_8xb256--amp-coslr-300e_in1k',
    ],
)
def test_names_outside_the_grammar(stem):
    assert parse_name(stem) is None


@pytest.mark.parametrize(
    ('old', 'new', 'problem'),
    [
        ('vit-base', 'vit-large', 'model.backbone.arch'),
        ('p16', 'p14', 'model.backbone.patch_size'),
        ('8xb256', '4xb256', 'auto_scale_lr.base_batch_size'),
        ('8xb256', '4xb256', 'optimizer.lr'),
        ('8xb256', '16xb128', 'train_dataloader.batch_size'),
        ('b256', 'b256-accum2', 'accumulative_counts'),
        ('-amp', '', "what the option 'amp' stands for"),
        ('-amp', '-amp-nofusion', "the name has the option 'nofusion'"),
        ('-amp', '-amp-magic', "option 'magic'"),
        ('-amp', '-amp-mask50', '[75] percent of the patches are hidden, by the name [50]'),
        ('-amp', '-amp-mask75', 'option mask75 of the name is usual'),
        ('300e', '400e', 'train_cfg.max_epochs'),
        ('in1k', 'own-images', 'the training data'),
        ('in1k', 'coco', "data 'coco'"),
        ('img2vec', 'mae', 'model.type'),
    ],
)
def test_a_name_that_lies(reference, old, new, problem):
    assert check_content(reference, parse_name(REFERENCE.stem)) == []
    found = check_content(reference, parse_name(REFERENCE.stem.replace(old, new)))
    assert any(problem in text for text in found), found


def set_value(cfg, path, value):
    *parents, last = path.split('.')
    for key in parents:
        cfg = cfg[int(key)] if key.isdigit() else cfg[key]
    cfg[last] = value


@pytest.mark.parametrize(
    ('path', 'value', 'problem'),
    [
        ('optim_wrapper.type', 'mmengine.OptimWrapper', "'amp'"),
        ('optim_wrapper.dtype', 'float32', "'amp'"),
        ('optim_wrapper.optimizer.lr', 1e-3, 'optimizer.lr'),
        ('auto_scale_lr.enable', False, 'auto_scale_lr.enable'),
        ('param_scheduler.1.end', 200, 'ends at epoch 200'),
        ('param_scheduler.1.begin', 30, 'begins at 30'),
        ('param_scheduler.1.type', 'PolyLR', "no schedule of the name 'coslr'"),
        ('model.head.loss.type', 'mmimg2vec.MSEFeatureLoss', "'mse'"),
        ('model.target_generator.dtype', 'float32', 'bfloat16 goes with amp'),
        ('train_dataloader.dataset.dataset.pipeline.3.patch_size', 14, 'patch_size is 14'),
        ('train_dataloader.dataset.dataset.pipeline.3.mask_ratio', 0.6, '[60] percent'),
    ],
)
def test_a_content_that_is_not_the_name(reference, path, value, problem):
    set_value(reference, path, value)
    found = check_content(reference, parse_name(REFERENCE.stem))
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
    ('path', 'value', 'problem'),
    [
        ('model.target_generator.output_stride', None, 'the teacher gives 7 x 7 tokens'),
        ('model.fusion.blocks', (0, 5), 'has to end with the last'),
        ('optim_wrapper.paramwise_cfg.norm_decay_mult', 1.0, 'ln1.weight has the weight decay'),
        ('train_dataloader.dataset.dataset.pipeline.1.scale', 192, 'scale gives (192, 192) pixels'),
    ],
)
def test_parts_that_do_not_fit(reference, path, value, problem):
    from config_checks.consistency import check_consistency

    set_value(reference, path, value)
    found = check_consistency(reference)
    assert any(problem in text for text in found), found


def test_a_backbone_with_tensors_of_its_own(reference):
    import torch
    from config_checks.consistency import check_backbone_keys
    from mmengine.registry import MODELS

    with torch.device('meta'):
        model = MODELS.build(reference.model)
    assert check_backbone_keys(reference, model) == []
    model.backbone.extra = torch.nn.Linear(2, 2)
    model.backbone.cls_token = torch.nn.Parameter(torch.zeros(1, 2, 768))
    assert len(check_backbone_keys(reference, model)) == 3


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

    def test_metafiles(self, tmp_path):
        shutil.copytree(ROOT / 'configs' / 'img2vec', tmp_path / 'configs' / 'img2vec')
        index = tmp_path / 'model-index.yml'
        index.write_text('Import:\n  - configs/img2vec/metafile.yml\n')
        assert check_metafiles(tmp_path) == []
        metafile = tmp_path / 'configs' / 'img2vec' / 'metafile.yml'
        text = metafile.read_text()

        (tmp_path / 'configs/img2vec/new.py').write_text('')
        assert ['no metafile lists it' in line for line in check_metafiles(tmp_path)] == [True]
        (tmp_path / 'configs/img2vec/new.py').unlink()
        twin = tmp_path / 'configs/demo' / REFERENCE.name
        twin.parent.mkdir()
        twin.write_text('')
        assert any('has the name of' in line for line in check_metafiles(tmp_path))
        twin.unlink()

        for old, new, problem in (
            ('In Collection: Img2Vec', 'In Collection: Other', 'no collection'),
            ('Results: null', 'Results: [1]', 'Results without Weights'),
            ('README: configs', 'README: nowhere', 'does not exist'),
            (f'Config: configs/img2vec/{REFERENCE.name}', 'Config: gone.py', 'does not exist'),
            ('Collections:', 'Collections: [', 'metafile.yml'),
        ):
            metafile.write_text(text.replace(old, new, 1))
            assert any(problem in line for line in check_metafiles(tmp_path)), problem
        index.write_text('Import: []\n')
        assert any('does not import it' in line for line in check_metafiles(tmp_path))


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
