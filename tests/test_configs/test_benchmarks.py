"""Every shipped downstream config runs one real step, and its test, at a tiny size through its runner."""

import math
import resource
import time

import pytest
import torch
from check_configs import ROOT
from config_checks.benchmarks import parse_benchmark
from config_checks.files import find_configs
from config_checks.names import walk
from mmengine.config import Config
from shrink_benchmarks import SIDE, TinyBenchmark, save_backbone, shrink_benchmark, use_shapes

from mmimg2vec.datasets.shapes import ShapesOptions, write_shapes
from mmimg2vec.engine.command_line import build_runner

CONFIGS = [file for file in find_configs(ROOT) if 'benchmarks' in file.parts]
TRAINED = [file for file in CONFIGS if not file.stem.endswith(('-ms', '-knn_in1k'))]
TESTED = [file for file in CONFIGS if file.stem.endswith('-ms')]
METRICS = {None: 'accuracy/top1', 'upernet': 'mIoU'}


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    return TinyBenchmark(tmp_path_factory.mktemp('tiny_benchmark'))


@pytest.fixture(autouse=True)
def quick_start(monkeypatch):
    """Spare the seconds that a runner spends on what goes into its log only."""
    torch.set_num_threads(1)
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)
    monkeypatch.setattr('mmengine.config.Config.pretty_text', '')


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
    name = parse_benchmark(file.stem)
    pytest.importorskip({None: 'mmpretrain', 'upernet': 'mmseg'}.get(name.task, 'mmdet'))
    cfg = shrink_benchmark(Config.fromfile(file), tiny, tmp_path)
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
    moved = {k for k, v in runner.model.named_parameters() if not torch.equal(v, before[k])}
    trained = {k for k, v in runner.model.named_parameters() if v.requires_grad}
    assert all(v.isfinite().all() for v in runner.model.parameters())
    assert moved == trained
    assert any(k.startswith('backbone.') for k in moved) == ('linear' not in name.options)
    # The learning rate follows the real batch, 2 images of one process.
    group = max(runner.optim_wrapper.optimizer.param_groups, key=lambda group: group['initial_lr'])
    assert math.isclose(group['initial_lr'], rate * 2 / (name.gpus * name.batch), rel_tol=1e-6)
    metric = METRICS.get(name.task, 'coco/segm_mAP')
    assert math.isfinite(runner.message_hub.get_scalar(f'val/{metric}').current())
    assert list(tmp_path.glob('epoch_1.pth' if name.by_epoch else 'iter_1.pth'))


@pytest.mark.parametrize('file', TESTED, ids=lambda file: file.stem)
def test_several_sizes(file, tiny, tmp_path):
    pytest.importorskip('mmseg')
    cfg = shrink_benchmark(Config.fromfile(file), tiny, tmp_path)
    runner = build_runner(cfg)
    predicted = []
    forward = runner.model.module.predict
    runner.model.module.predict = lambda inputs, *args: (
        predicted.append(tuple(inputs.shape[2:])) or forward(inputs, *args)
    )
    assert math.isfinite(runner.test()['mIoU'])
    sides = [int(SIDE * ratio) for ratio in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)]
    assert sorted(predicted) == sorted(
        [(side, side) for side in sides] * 2
    )  # as it is, and flipped


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
