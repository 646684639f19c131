"""Downstream configs of every kind run one real step, and their test, at a tiny size through their runners.

All others are built and shape-checked at full size (test_check_configs.py).
"""

import copy
import math
import resource
import time

import pytest
import torch
from check_configs import ROOT
from config_checks.files import find_configs
from config_checks.names import parse_name
from config_checks.nodes import walk
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmpretrain.models.backbones import VisionTransformer
from shrink_benchmarks import SIDE, TinyBenchmark, save_backbone, shrink_benchmark, use_shapes
from tool_scripts import load_tool

from mmimg2vec.checkpoint.fill import fill
from mmimg2vec.datasets.shapes import ShapesOptions, write_shapes
from mmimg2vec.engine.backbone_settings import take_backbone_settings
from mmimg2vec.engine.command_line import build_runner
from mmimg2vec.errors import UserError

# Beside the first of each kind: patches resized from 14 to 16, and a fine-tuning with a loss and a mixing of its own.
FURTHER = (
    'vit-huge-p14_8xb128-coslr-50e_in1k',
    'mask-rcnn_vitdet-huge-p16-sfp_64xb1-lsj-75e_coco',
    'vit-tiny-h12-p16_cae-v2-pre_8xb128-coslr-100e_in1k',
)


def one_of_each_kind(files):
    """The first file of each task, family and set of options, and those of FURTHER."""
    kinds = {}
    for file in files:
        name = parse_name(file.stem)
        kinds.setdefault((name.method, name.head, name.words), file)
    return [file for file in files if file in kinds.values() or file.stem in FURTHER]


CONFIGS = [file for file in find_configs(ROOT) if 'benchmarks' in file.parts]
TRAINED = one_of_each_kind([f for f in CONFIGS if not f.stem.endswith('-knn_in1k')])
UPERNET = next(f for f in CONFIGS if f.stem.startswith('upernet_vit-small'))
MASK_RCNN = next(f for f in CONFIGS if f.stem.startswith('mask-rcnn_vitdet-small-p16-sfp_8xb2'))
LINEAR = next(f for f in CONFIGS if f.stem.startswith('vit-small-p16_8xb2048-linear'))
KNN = next(f for f in CONFIGS if f.stem.endswith('-knn_in1k'))
# Entries of a pre-trained backbone that have no place downstream: ViTDet has no class token, and where all outputs have
# a norm of their own, the final one is left out.
WITHOUT = {
    None: {'ln1.weight', 'ln1.bias'},
    'ViTDet': {'cls_token', 'ln1.weight', 'ln1.bias'},
    'FrozenVisionTransformer': set(),
}
pytestmark = pytest.mark.usefixtures('quick_start')
METRICS = {None: 'accuracy/top1', 'upernet': 'mIoU', 'fcn': 'mIoU'}


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    return TinyBenchmark(tmp_path_factory.mktemp('tiny_benchmark'))


def record_start(runner):
    """Let the model's parameters be noted when training begins, after all hooks have looked at them."""
    before, train_loop = {}, runner.build_train_loop

    def build(loop):
        loop = train_loop(loop)
        step = loop.run_iter

        def first(*args):
            before.update({k: v.clone() for k, v in runner.model.named_parameters()})
            return step(*args)

        loop.run_iter = first
        return loop

    runner.build_train_loop = build
    return before


@pytest.mark.parametrize('file', TRAINED, ids=lambda file: file.stem)
def test_one_step(file, tiny, tmp_path):
    name = parse_name(file.stem)
    pytest.importorskip({None: 'mmpretrain', 'upernet': 'mmseg', 'fcn': 'mmseg'}.get(name.head, 'mmdet'))
    attentive = 'attentive' in name.words
    # Of two images, the probe's batch norm leaves the signs alone; and SGD's steps of 1e-4 would be lost in rounding.
    images = 6 if attentive else 2
    cfg = shrink_benchmark(Config.fromfile(file), tiny, tmp_path, images)
    cfg.optim_wrapper.optimizer.lr *= 1e4 if attentive else 1
    rate = cfg.optim_wrapper.optimizer.lr
    runner = build_runner(cfg)
    before = record_start(runner)
    runner.train()

    assert runner.iter == 1
    assert math.isfinite(runner.message_hub.get_scalar('train/loss').current())
    # It started from the backbone.pth, and everything that is trained has a gradient that is a number.
    source = torch.load(cfg.model.backbone.init_cfg.checkpoint, weights_only=True)['state_dict']
    key = 'backbone.layers.1.ffn.layers.1.weight'
    assert torch.equal(before[key], source[key])
    backbone = runner.model.backbone
    unused = fill(copy.deepcopy(backbone), cfg.model.backbone.init_cfg.checkpoint, strict=False).unused
    # All of it has a place downstream, but for what a kind of network does without.
    assert set(unused) <= WITHOUT.get(type(backbone).__name__, WITHOUT[None]), unused
    moved = {k for k, v in runner.model.named_parameters() if not torch.equal(v, before[k])}
    trained = {k for k, v in runner.model.named_parameters() if v.requires_grad}
    assert all(v.isfinite().all() for v in runner.model.parameters())
    # A batch norm takes the bias before it out again.
    still = {'neck.attention.proj.bias'} if attentive else set()
    assert moved | still == trained
    frozen = attentive or 'linear' in name.words
    assert any(k.startswith('backbone.') for k in moved) != frozen
    # The learning rate follows the real batch, some images of one process.
    group = max(runner.optim_wrapper.optimizer.param_groups, key=lambda group: group['initial_lr'])
    assert math.isclose(group['initial_lr'], rate * images / (name.gpus * name.batch), rel_tol=1e-6)
    metric = METRICS.get(name.head, 'coco/segm_mAP')
    assert math.isfinite(runner.message_hub.get_scalar(f'val/{metric}').current())
    assert list(tmp_path.glob('epoch_1.pth' if name.by_epoch else 'iter_1.pth'))


def test_several_sizes(tiny, tmp_path, monkeypatch):
    """``tools/test.py --tta`` on a checkpoint: six sizes of the image, as it is and flipped."""
    pytest.importorskip('mmseg')
    tool = load_tool('test')
    cfg = shrink_benchmark(Config.fromfile(UPERNET), tiny, tmp_path)
    with DefaultScope.overwrite_default_scope('mmseg'):
        torch.save({'state_dict': MODELS.build(cfg.model).state_dict()}, tmp_path / 'trained.pth')
    monkeypatch.setattr('sys.argv', ['test.py', str(UPERNET), str(tmp_path / 'trained.pth'), '--tta'])
    args = tool.parse_arguments()
    args.work_dir = cfg.work_dir
    tool.apply_arguments(cfg, args)
    runner = build_runner(cfg)
    predicted = []
    forward = runner.model.module.predict
    runner.model.module.predict = lambda inputs, *args: (
        predicted.append(tuple(inputs.shape[2:])) or forward(inputs, *args)
    )
    assert math.isfinite(runner.test()['mIoU'])
    sides = [int(SIDE * ratio) for ratio in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)]
    assert sorted(predicted) == sorted([(side, side) for side in sides] * 2)  # as it is, and flipped


def test_several_sizes_of_a_config_without_them():
    with pytest.raises(UserError, match=r'--tta: .* has no tta_model and tta_pipeline'):
        load_tool('test').augment_test(Config.fromfile(LINEAR), 'c.py')


SMALL_H12 = dict(embed_dims=384, num_layers=12, num_heads=12, feedforward_channels=1536)


class TestBackboneSettings:
    """Heads and LayerScale are the file's; of a kNN config the whole architecture."""

    def file(self, folder, scales=True, described=True, **changes):
        """Tensors enough to be recognized, and the config that a pre-training run writes beside them."""
        arch = {**SMALL_H12, **changes}
        text = f"model = dict(backbone=dict(type='mmimg2vec.MaskedVisionTransformer', arch=dict({arch})))"
        with torch.device('meta'):
            kwargs = dict(arch=arch, img_size=32, patch_size=16, layer_scale_init_value=0.1 if scales else 0.0)
            names = VisionTransformer(**kwargs).state_dict()
        state = {f'backbone.{name}': torch.zeros(1).expand(value.shape) for name, value in names.items()}
        torch.save({'state_dict': state, 'meta': {'config': text} if described else {}}, folder / 'backbone.pth')
        return str(folder / 'backbone.pth')

    @pytest.mark.parametrize('file', [LINEAR, MASK_RCNN, UPERNET], ids=lambda file: file.stem.split('_')[0])
    def test_of_cae_v2(self, file, tmp_path, capsys):
        cfg = Config.fromfile(file)
        cfg.model.backbone.init_cfg.checkpoint = self.file(tmp_path)
        take_backbone_settings(cfg)
        assert cfg.model.backbone.arch == SMALL_H12 and cfg.model.backbone.layer_scale_init_value > 0
        assert 'layer_scale_init_value=1e-05, arch=' in capsys.readouterr().err

    @pytest.mark.parametrize(('size', 'patch', 'wanted'), [(224, 14, 256), (512, 16, 512), ((32, 128), 8, (64, 256))])
    def test_vitdet_keeps_the_grid_of_pre_training(self, size, patch, wanted, tmp_path):
        path = self.file(tmp_path)
        content = torch.load(path, weights_only=True)
        backbone = (
            f"type='mmimg2vec.MaskedVisionTransformer', arch=dict({SMALL_H12}), img_size={size}, patch_size={patch}"
        )
        content['meta']['config'] = f'model = dict(backbone=dict({backbone}))'
        torch.save(content, path)
        cfg = Config.fromfile(MASK_RCNN)
        assert cfg.model.backbone.pos_embed_size == 224
        cfg.model.backbone.init_cfg.checkpoint = path
        take_backbone_settings(cfg)
        found = cfg.model.backbone.pos_embed_size
        assert (found if isinstance(found, int) else tuple(found)) == wanted and cfg.model.backbone.img_size == 1024

    def test_what_agrees_stays(self, tmp_path, capsys):
        cfg = Config.fromfile(LINEAR)
        before = cfg.to_dict()
        cfg.model.backbone.init_cfg.checkpoint = self.file(tmp_path, scales=False, num_heads=6)
        take_backbone_settings(cfg)
        cfg.model.backbone.init_cfg.checkpoint = before['model']['backbone']['init_cfg']['checkpoint']
        assert cfg.to_dict() == before and not capsys.readouterr().err

    def test_bare_weights_do_not_tell_the_heads(self, tmp_path):
        cfg = Config.fromfile(LINEAR)
        cfg.model.backbone.init_cfg.checkpoint = self.file(tmp_path, described=False)
        take_backbone_settings(cfg)
        assert cfg.model.backbone.arch == 'deit-small' and cfg.model.backbone.layer_scale_init_value > 0

    def test_another_width_is_left_to_the_loader(self, tmp_path):
        cfg = Config.fromfile(LINEAR)
        cfg.model.backbone.init_cfg.checkpoint = self.file(tmp_path, embed_dims=192, feedforward_channels=768)
        take_backbone_settings(cfg)
        assert cfg.model.backbone.arch == 'deit-small'

    def test_knn_takes_all(self, tmp_path):
        cfg = Config.fromfile(KNN)
        cfg.model.backbone.init_cfg.checkpoint = self.file(tmp_path, num_layers=3)
        take_backbone_settings(cfg)
        backbone = cfg.model.backbone
        assert backbone.arch == {**SMALL_H12, 'num_layers': 3}
        assert (backbone.patch_size, backbone.img_size, backbone.out_type) == (16, 224, 'raw')


@pytest.mark.slow
@pytest.mark.parametrize('word', ['mask-rcnn_vitdet-base-p16-sfp_8xb2-ms-1x', 'upernet_vit-base'])
def test_vit_base_at_full_size(word, tmp_path, monkeypatch):
    """One step of the full-size ViT-B networks on two images of 256 px on the CPU; prints its time and memory."""
    pytest.importorskip('mmseg' if 'upernet' in word else 'mmdet')
    side = 256
    file = next(file for file in TRAINED if file.stem.startswith(word))
    cfg = Config.fromfile(file)
    cfg.merge_from_dict(dict(work_dir=str(tmp_path / 'run'), experiment_name=tmp_path.name))
    shapes = tmp_path / 'shapes'
    write_shapes(shapes, ShapesOptions(scenes=2, val_scenes=1, size=side, crop=32))
    use_shapes(cfg, shapes)
    for _, node in walk(cfg.train_dataloader):
        if 'type' in node:
            node.update({key: (side, side) for key in ('scale', 'crop_size') if key in node})
            node.update({key: [(side, side)] for key in ('scales',) if key in node})
    if 'size' in cfg.model.data_preprocessor:
        cfg.model.data_preprocessor.size = (side, side)
    # As pre-training writes it: at 224 px, with class token and final norm.
    source = dict(type='mmpretrain.VisionTransformer', arch='base', img_size=224, patch_size=16)
    cfg.model.backbone.init_cfg.checkpoint = save_backbone(source, tmp_path / 'backbone.pth')
    cfg.train_dataloader.update(batch_size=2, num_workers=0, persistent_workers=False)
    length = 'max_epochs' if 'max_epochs' in cfg.train_cfg else 'max_iters'
    cfg.train_cfg[length] = 1
    cfg.param_scheduler = cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.default_hooks.checkpoint.save_optimizer = False
    cfg.optim_wrapper.dtype = 'float32'  # most CPUs emulate bfloat16, at many times the cost
    runner = build_runner(cfg)
    seconds = []
    step = runner.model.train_step

    def timed(*args, **kwargs):
        start = time.perf_counter()
        result = step(*args, **kwargs)
        seconds.append(time.perf_counter() - start)
        return result

    monkeypatch.setattr(runner.model, 'train_step', timed)
    runner.train()
    loss = runner.message_hub.get_scalar('train/loss').current()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f'\n{file.stem}: 2 images of {side} px, {seconds[0]:.1f} s per step, '
        f'at most {memory:.1f} GiB in this process, loss {loss:.2f}'
    )
    assert len(seconds) == 1
    assert math.isfinite(loss)
