"""The demo's CLIP and the CAE v2 that starts from it, at a tiny size through their runners, with all their hooks."""

import json
import math

import pytest
import torch
from check_configs import ROOT, check_config
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import MODELS
from shrink import ARCH, GRID, quiet_copy, shorten, shrink_images, shrink_knn

from mmimg2vec import UserError
from mmimg2vec.engine.command_line import build_runner

(CLIP,) = (ROOT / 'configs' / 'demo').glob('clip_vit-tiny-p8_*.py')
(CAE,) = (ROOT / 'configs' / 'demo').glob('cae-v2_vit-tiny-p8_*.py')
SIZE = 8 * GRID
TOWER = dict(arch=dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=96), img_size=SIZE)
NEEDS_LAYER_SCALE = {'model.backbone.layer_scale_init_value': 0.1}


@pytest.fixture(scope='module')
def images(tmp_path_factory, tiny_files):
    """The tiny images with captions, as Shapes has them: the folder `imagenet`'s parent."""
    folder = tmp_path_factory.mktemp('captioned')
    (folder / 'imagenet').symlink_to(tiny_files.images)
    texts = ('a bricked red house on a plain ground', 'a dotted blue fish on a wavy ground')
    for split in ('train', 'val'):
        files = sorted((tiny_files.images / split).rglob('*.jpg'))
        words = {f'{file.parent.name}/{file.name}': {'caption': texts[index % 2]} for index, file in enumerate(files)}
        (folder / f'captions_{split}.json').write_text(json.dumps(words))
    return folder


def shrink(file, work_dir, folder, epochs=1):
    cfg = quiet_copy(Config.fromfile(file), work_dir)
    shrink_images(cfg, SIZE)
    shrink_knn(cfg, folder / 'imagenet')
    shorten(cfg, epochs)
    return cfg


def shrink_clip(work_dir, folder, **kwargs):
    cfg = shrink(CLIP, work_dir, folder, **kwargs)
    cfg.model.backbone.update(TOWER)
    cfg.model.text_encoder.update(embed_dims=16, num_heads=2)
    cfg.model.templates = cfg.model.templates[:2]
    cfg.val_dataloader.update(num_workers=0, persistent_workers=False, batch_size=1)
    cfg.train_cfg.val_interval = 1
    for dataset in (cfg.train_dataloader.dataset.dataset, cfg.val_dataloader.dataset):
        dataset.data_root = str(folder)
        dataset.data_prefix = f'imagenet/{dataset.data_prefix}'
    return cfg


def shrink_cae(work_dir, folder, clip):
    cfg = shrink(CAE, work_dir, folder)
    cfg.model.backbone.update(arch=dict(ARCH), img_size=SIZE)
    cfg.model.neck.update(embed_dims=24, num_heads=3)
    cfg.model.target_generator.teacher.update(TOWER)
    cfg.model.target_generator.teacher.init_cfg.checkpoint = str(clip)
    cfg.train_dataloader.dataset.dataset.data_root = str(folder / 'imagenet' / 'train')
    return cfg


def train(cfg):
    """Run a config; everything that is trained moves, and nothing else."""
    torch.set_num_threads(1)
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
    for name, value in runner.model.named_parameters():
        assert torch.equal(value, before[name]) != value.requires_grad, name
        assert value.isfinite().all(), name
    return runner


@pytest.fixture(scope='module')
def clip_run(images, tmp_path_factory):
    work_dir = tmp_path_factory.mktemp('clip')
    return work_dir, train(shrink_clip(work_dir, images))


def test_clip_one_step(clip_run):
    work_dir, runner = clip_run
    assert runner.iter == 1
    scalars = runner.message_hub.log_scalars
    contrast, loss = (scalars[f'train/{key}'].current() for key in ('loss_contrast', 'loss'))
    assert math.isfinite(loss) and math.isclose(contrast, loss)  # what is watched is not added
    assert 0 <= scalars['val/accuracy/top1'].current() <= 100
    saved = torch.load(work_dir / 'clip.pth', weights_only=True)
    state = runner.model.state_dict()
    assert len(saved['state_dict']) == len(state) and saved['meta']['epoch'] == 1
    for theirs, ours in (
        ('visual.ln_post.weight', 'backbone.ln1.weight'),
        ('ln_final.weight', 'text_encoder.ln_final.weight'),
        ('logit_scale', 'logit_scale'),
    ):
        assert torch.equal(saved['state_dict'][theirs], state[ours])


def test_the_words_are_those_of_the_generator():
    from mmimg2vec.datasets.scenes.surfaces import COLORS, TEXTURES
    from mmimg2vec.datasets.shapes import CLASSES

    cfg = Config.fromfile(CLIP)
    assert cfg.model.classes == list(CLASSES)
    assert set(cfg.model.text_encoder.vocabulary) == {
        'a',
        'on',
        'ground',
        *CLASSES,
        *COLORS,
        *TEXTURES,
    }
    assert cfg.train_dataloader.dataset.dataset.vocabulary == cfg.model.text_encoder.vocabulary
    longest = max(len(text.split()) for text in cfg.model.templates)
    assert longest + 2 <= cfg.model.text_encoder.context_length


def test_the_image_tower_is_the_teacher_of_cae_v2():
    tower = Config.fromfile(CLIP).model.backbone
    generator = Config.fromfile(CAE).model.target_generator
    teacher = generator.teacher
    assert {key: teacher[key] for key in tower} == tower
    from mmimg2vec.models.target_generators.clip import CLIP_MEAN, CLIP_STD

    assert 'mean' not in generator and 'std' not in generator  # CLIP's own
    preprocessor = Config.fromfile(CLIP).model.data_preprocessor
    assert preprocessor.mean == pytest.approx(CLIP_MEAN)
    assert preprocessor.std == pytest.approx(CLIP_STD)


def test_an_interrupted_clip_run_ends_with_the_same_weights(images, tmp_path):
    class Stop(Exception):
        pass

    class StopHook(Hook):
        def after_train_epoch(self, runner):
            raise Stop

    outcomes = []
    for stops in (False, True):
        cfg = shrink_clip(tmp_path / str(stops), images, epochs=2)
        if stops:
            runner = build_runner(cfg)
            runner.register_hook(StopHook(), priority='LOWEST')
            with pytest.raises(Stop):
                runner.train()
            assert not (tmp_path / 'True' / 'clip.pth').exists()
            cfg = shrink_clip(tmp_path / 'True', images, epochs=2)
            cfg.resume = True
        build_runner(cfg).train()
        outcomes.append(torch.load(tmp_path / str(stops) / 'clip.pth', weights_only=True))
    first, second = (outcome['state_dict'] for outcome in outcomes)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert outcomes[1]['meta']['iter'] == 2


def test_only_a_clip_can_be_exported_as_one(images, clip_run, tmp_path):
    cfg = shrink_cae(tmp_path, images, clip_run[0] / 'clip.pth')
    cfg.custom_hooks.append(dict(type='mmimg2vec.CLIPExportHook'))
    with pytest.raises(UserError, match='CAEv2 is no CLIP to export') as caught:
        build_runner(cfg).train()
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('supervision', ['all', 'visible', 'masked'])
def test_cae_v2_one_step_and_its_backbone_downstream(supervision, images, clip_run, tmp_path):
    cfg = shrink_cae(tmp_path, images, clip_run[0] / 'clip.pth')
    # As the config's docstring says it.
    pipeline = 'train_dataloader.dataset.dataset.pipeline'
    cfg.merge_from_dict({'model.head.supervision': supervision, f'{pipeline}.3.mask_ratio': 0.25})
    runner = train(cfg)
    sample = runner.train_dataloader.dataset[(0, 0, 0)]
    assert sample['mask'].sum() == 4
    assert runner.model.head.supervision == supervision
    scalars = runner.message_hub.log_scalars
    assert 0 < scalars['train/loss'].current() < 2
    assert [key for key in scalars if key.startswith('knn/')]
    state = torch.load(tmp_path / 'backbone.pth', weights_only=True)['state_dict']
    probe = Config.fromfile(ROOT / 'configs/demo/vit-tiny-p8_1xb256-knn_shapes.py')
    probe.merge_from_dict(NEEDS_LAYER_SCALE)
    backbone = dict(probe.model.backbone, arch=dict(ARCH), img_size=SIZE)
    del backbone['init_cfg']
    plain = MODELS.build({**backbone, 'type': 'mmpretrain.VisionTransformer'})
    plain.load_state_dict({key[len('backbone.') :]: value for key, value in state.items()})
    x = torch.randn(1, 3, SIZE, SIZE)
    for part in (plain, runner.model):
        part.eval()
    assert torch.equal(plain(x)[0], runner.model.backbone(x)[0])


@pytest.mark.parametrize('file', [CLIP, CAE], ids=lambda file: file.stem)
def test_full_size(file):
    assert check_config(file) == []
