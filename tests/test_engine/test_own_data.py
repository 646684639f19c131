"""From a backbone.pth and a folder to pictures, by the templates for one's own labels."""

import json
import shlex

import cv2
import numpy as np
import pytest
import torch
from check_configs import ROOT
from mmengine.config import Config
from tiny_vit import random_vit, save_backbone
from tool_scripts import load_tool

from mmimg2vec.chain import read_chain
from mmimg2vec.chain.records import read_config
from mmimg2vec.engine.own_data import take_own_data
from mmimg2vec.errors import UserError
from mmimg2vec.utils.config import load_config

FOLDER = ROOT / 'configs' / 'own_labels'
CLASSIFIER, DETECTOR, SEGMENTER = (next(FOLDER.glob(f'{name}_*.py')) for name in ('vit', 'mask-rcnn', 'upernet'))
PAGE = ROOT / 'docs' / 'own_labels.md'
# Twelve blocks, as the recipes have them, but narrow.
ARCH = dict(embed_dims=32, num_layers=12, num_heads=2, feedforward_channels=32)
SIDE = 64


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Spare the seconds that a runner spends on what goes into its log only."""
    torch.set_num_threads(1)
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)


def image(path, kind, rng):
    """A ground with a square of a color of its own; returns its box (x, y, width, height)."""
    picture = rng.integers(0, 90, (SIDE, SIDE, 3), dtype=np.uint8)
    x, y = rng.integers(2, 20, 2)
    picture[y : y + 40, x : x + 40, kind] += 150
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), picture)
    return [int(x), int(y), 40, 40]


def coco_folder(folder, outlines=True):
    """Twenty images with the categories 3 and 17, sixteen to train on."""
    rng = np.random.default_rng(0)
    for split, numbers in (('train', range(16)), ('val', range(16, 20))):
        images, annotations = [], []
        for number in numbers:
            x, y, w, h = image(folder / 'images' / f'{number}.jpg', number % 2, rng)
            images.append(dict(id=number, file_name=f'{number}.jpg', height=SIDE, width=SIDE))
            outline = dict(segmentation=[[x, y, x + w, y, x + w, y + h, x, y + h]]) if outlines else {}
            category = (3, 17)[number % 2]
            box = dict(id=number + 1, image_id=number, category_id=category, bbox=[x, y, w, h], area=w * h, iscrowd=0)
            annotations.append({**box, **outline})
        categories = [dict(id=3, name='nut'), dict(id=17, name='bolt')]
        content = dict(images=images, annotations=annotations, categories=categories)
        (folder / f'{split}.json').write_text(json.dumps(content))
    return folder


def map_folder(folder):
    """Twelve images and their maps of two classes."""
    rng = np.random.default_rng(0)
    for split, count in (('train', 8), ('val', 4)):
        (folder / 'maps' / split).mkdir(parents=True)
        for number in range(count):
            x, y, w, h = image(folder / 'images' / split / f'{number}.jpg', 0, rng)
            labels = np.zeros((SIDE, SIDE), np.uint8)
            labels[y : y + h, x : x + w] = 1
            cv2.imwrite(str(folder / 'maps' / split / f'{number}.png'), labels)
    return folder


def class_folder(folder):
    rng = np.random.default_rng(0)
    for split, count in (('train', 4), ('val', 2)):
        for kind, name in enumerate(('bolt', 'nut', 'washer')):
            for number in range(count):
                image(folder / split / name / f'{number}.jpg', kind, rng)
    return folder


@pytest.fixture(scope='module')
def backbone(tmp_path_factory):
    kwargs = dict(arch=ARCH, img_size=SIDE, patch_size=16)
    return str(save_backbone(tmp_path_factory.mktemp('own') / 'backbone.pth', random_vit(**kwargs), kwargs))


def run(tool, *words, monkeypatch):
    """A script of ``tools/`` with these words, in this process."""
    monkeypatch.setattr('sys.argv', [f'{tool}.py', *map(str, words)])
    load_tool(tool).main()


# What makes the networks and images of the templates tiny; a user sets none of it.
TINY = {
    'train_dataloader.num_workers': 0,
    'val_dataloader.num_workers': 0,
    'train_cfg.max_epochs': 1,
    'train_cfg.val_interval': 1,
    'optim_wrapper.dtype': 'float32',
    'log_level': 'ERROR',
}
TINY_CLASSIFIER = {
    **TINY,
    'train_dataloader.batch_size': 4,
    'model.backbone.img_size': 32,
    'train_dataloader.dataset.dataset.pipeline.1.scale': 32,
    'val_dataloader.dataset.pipeline.1.scale': 36,
    'val_dataloader.dataset.pipeline.2.crop_size': 32,
    'test_dataloader.dataset.pipeline.1.scale': 36,
    'test_dataloader.dataset.pipeline.2.crop_size': 32,
}
TINY_DETECTOR = {
    **TINY,
    'model.backbone.img_size': SIDE,
    'model.roi_head.bbox_head.fc_out_channels': 32,
    'model.train_cfg.rpn_proposal.max_per_img': 20,
    'train_dataloader.dataset.dataset.pipeline.3.scales': f'[({SIDE},{SIDE})]',
    'val_dataloader.dataset.pipeline.1.scale': f'({SIDE},{SIDE})',
    'test_dataloader.dataset.pipeline.1.scale': f'({SIDE},{SIDE})',
}
TINY_SEGMENTER = {
    **TINY,
    'train_dataloader.batch_size': 4,
    'model.backbone.img_size': SIDE,
    'model.data_preprocessor.size': f'({SIDE},{SIDE})',
    'model.test_cfg.crop_size': f'({SIDE},{SIDE})',
    'model.test_cfg.stride': f'({SIDE // 2},{SIDE // 2})',
    'train_dataloader.dataset.dataset.pipeline.2.scale': f'({SIDE},{SIDE})',
    'train_dataloader.dataset.dataset.pipeline.3.crop_size': f'({SIDE},{SIDE})',
    'val_dataloader.dataset.pipeline.1.scale': f'({SIDE},{SIDE})',
    'test_dataloader.dataset.pipeline.1.scale': f'({SIDE},{SIDE})',
}
LIBRARIES = {'classifier': 'mmpretrain', 'detector': 'mmdet', 'segmenter': 'mmseg'}
TASKS = {
    'classifier': (CLASSIFIER, class_folder, 'IMG2VEC_LABELLED', TINY_CLASSIFIER, 'val/nut', 'bolt,nut,washer'),
    'detector': (DETECTOR, coco_folder, 'IMG2VEC_OWN_COCO', TINY_DETECTOR, 'images/17.jpg', 'nut,bolt'),
    'segmenter': (SEGMENTER, map_folder, 'IMG2VEC_OWN_MAPS', TINY_SEGMENTER, 'images/val/0.jpg', 'ground,square'),
}


@pytest.mark.parametrize('task', TASKS)
def test_from_a_folder_to_pictures(task, backbone, tmp_path, monkeypatch, capsys):
    """Two commands; nothing is written but the names of two folders, and of the classes of maps."""
    pytest.importorskip(LIBRARIES[task])
    template, make, variable, tiny, photo, names = TASKS[task]
    classes = names.split(',')
    folder = make(tmp_path / 'data')
    monkeypatch.setenv('IMG2VEC_BACKBONE', backbone)
    monkeypatch.setenv(variable, str(folder))
    if task == 'segmenter':
        monkeypatch.setenv('IMG2VEC_OWN_CLASSES', names)
    options = [f'{key}={value}' for key, value in tiny.items()]
    out = tmp_path / 'run'
    run('train', template, '--work-dir', out, '--cfg-options', *options, monkeypatch=monkeypatch)
    said = capsys.readouterr().err
    assert f'ViT 32 wide, 12 blocks, the recipe "small"; {len(classes)} classes ({", ".join(classes)})' in said
    # The run leaves an ordinary config, with which the pictures are made: data and backbone may be gone.
    written = Config.fromfile(out / template.name)
    assert 'own_data' not in written and written.model.backbone.arch.embed_dims == 32
    monkeypatch.delenv(variable)
    checkpoint = out / 'epoch_1.pth'
    command = (out / template.name, checkpoint, folder / photo, '--out', tmp_path / 'pictures')
    run('inference', *command, monkeypatch=monkeypatch)
    found = json.loads((tmp_path / 'pictures' / 'predictions.json').read_text())
    assert found['classes'] == classes and found['images']
    assert cv2.imread(str(tmp_path / 'pictures' / found['images'][0]['picture'])) is not None


def read(template, **variables):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, str(value))
        return load_config(str(template))


def test_every_head_has_as_many_classes(tmp_path, backbone):
    variables = dict(IMG2VEC_BACKBONE=backbone, IMG2VEC_OWN_COCO=coco_folder(tmp_path / 'coco'))
    cfg = read(DETECTOR, **variables)
    take_own_data(cfg)
    roi = cfg.model.roi_head
    assert (roi.bbox_head.num_classes, roi.mask_head.num_classes) == (2, 2)
    assert 'num_classes' not in cfg.model.rpn_head
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        dataset = cfg[loader].dataset
        assert dataset.get('dataset', dataset).metainfo.classes == ('nut', 'bolt')
    cfg = read(SEGMENTER, IMG2VEC_OWN_MAPS=map_folder(tmp_path / 'maps'), IMG2VEC_OWN_CLASSES='ground, old road')
    take_own_data(cfg)
    assert (cfg.model.decode_head.num_classes, cfg.model.auxiliary_head.num_classes) == (2, 2)
    assert cfg.val_dataloader.dataset.metainfo.classes == ('ground', 'old road')


@pytest.mark.parametrize(('count', 'topk'), [(2, (1,)), (4, (1,)), (5, (1,)), (6, (1, 5))])
def test_top_5_only_where_it_says_something(count, topk, tmp_path):
    for number in range(count):
        (tmp_path / 'train' / f'class_{number}').mkdir(parents=True)
    cfg = read(CLASSIFIER, IMG2VEC_LABELLED=tmp_path)
    take_own_data(cfg)
    assert cfg.val_evaluator.topk == cfg.test_evaluator.topk == topk
    assert cfg.model.head.num_classes == cfg.model.data_preprocessor.num_classes == count


def test_boxes_alone_make_a_detector_of_boxes(tmp_path):
    cfg = read(DETECTOR, IMG2VEC_OWN_COCO=coco_folder(tmp_path / 'coco', outlines=False))
    take_own_data(cfg)
    assert cfg.model.roi_head.mask_head is None and cfg.model.roi_head.mask_roi_extractor is None
    assert cfg.val_evaluator.metric == ['bbox']
    assert not any(step.get('with_mask') for step in cfg.train_dataloader.dataset.dataset.pipeline)


@pytest.mark.parametrize(
    ('width', 'decay', 'blocks'),
    [(384, 0.75, (3, 5, 7, 11)), (768, 0.65, (3, 5, 7, 11)), (1024, 0.95, (7, 11, 15, 23))],
)
def test_the_recipe_follows_the_width_of_the_file(width, decay, blocks, tmp_path, monkeypatch):
    arch = dict(embed_dims=width, num_layers=24 if width == 1024 else 12, num_heads=width // 64)
    arch['feedforward_channels'] = 4 * width
    with torch.device('meta'):
        from mmpretrain.models.backbones import VisionTransformer

        names = VisionTransformer(arch=arch, img_size=32, patch_size=16).state_dict()
    state = {f'backbone.{name}': torch.zeros(1).expand(value.shape) for name, value in names.items()}
    text = f'model = dict(backbone=dict(arch={arch!r}, img_size=32))'
    torch.save({'state_dict': state, 'meta': {'config': text}}, tmp_path / 'backbone.pth')
    maps = map_folder(tmp_path / 'maps')
    variables = dict(IMG2VEC_BACKBONE=tmp_path / 'backbone.pth', IMG2VEC_OWN_MAPS=maps, IMG2VEC_OWN_CLASSES='a,b')
    cfg = read(SEGMENTER, **variables)
    take_own_data(cfg)
    assert cfg.optim_wrapper.paramwise_cfg.layer_decay_rate == decay
    assert tuple(cfg.model.backbone.out_indices) == blocks
    head = cfg.model.decode_head
    assert (head.in_channels, head.channels, cfg.model.neck.embed_dim) == ([width] * 4, width, width)
    assert (cfg.model.auxiliary_head.in_channels, cfg.model.auxiliary_head.channels) == (width, 256)


class TestMistakes:
    def test_maps_without_names(self, tmp_path):
        cfg = read(SEGMENTER, IMG2VEC_OWN_MAPS=map_folder(tmp_path / 'maps'))
        with pytest.raises(UserError, match=r'hold the values 0, 1; 255 is ignored.*own_data.classes=\[ground,road\]'):
            take_own_data(cfg)

    def test_a_folder_of_images_without_classes(self, tmp_path):
        (tmp_path / 'train').mkdir()
        with pytest.raises(UserError, match='holds 0 folders: it has to hold a folder of images per class'):
            take_own_data(read(CLASSIFIER, IMG2VEC_LABELLED=tmp_path))

    def test_no_annotation_file(self, tmp_path):
        with pytest.raises(UserError, match=r'no annotation file .*train.json'):
            take_own_data(read(DETECTOR, IMG2VEC_OWN_COCO=tmp_path))

    def test_patches_that_do_not_fit(self, tmp_path):
        kwargs = dict(arch=ARCH, img_size=56, patch_size=14)
        path = save_backbone(tmp_path / 'backbone.pth', random_vit(**kwargs), kwargs)
        variables = dict(IMG2VEC_BACKBONE=path, IMG2VEC_OWN_MAPS=map_folder(tmp_path / 'maps'))
        with pytest.raises(UserError, match=r'patches of 14 px, into which the 512 px .* to 518'):
            take_own_data(read(SEGMENTER, IMG2VEC_OWN_CLASSES='a,b', **variables))


def test_the_page_has_two_commands_per_task():
    """Commands and lines that a user writes, from the page: two commands a task, one or two settings."""
    blocks = PAGE.read_text(encoding='utf-8').split('```bash\n')[1:]
    lines = [line for block in blocks for line in block.split('```')[0].replace('\\\n', ' ').splitlines() if line]
    for template, settings in ((CLASSIFIER, 1), (DETECTOR, 1), (SEGMENTER, 2)):
        used = [line for line in lines if template.name in line]
        assert len(used) == 2 and 'tools/train.py' in used[0] and 'tools/inference.py' in used[1]
        words = [word.split('=')[0] for word in shlex.split(used[0]) if word.startswith('IMG2VEC_')]
        assert len([word for word in words if word != 'IMG2VEC_BACKBONE']) == settings


def test_the_chain_of_the_page(tmp_path, backbone):
    """One file of some twenty lines; the network from scratch is as large as the pre-trained one."""
    text = PAGE.read_text(encoding='utf-8').split('```python\n')[1].split('```')[0]
    assert len(text.splitlines()) <= 20
    (tmp_path / 'my_chain.py').write_text(text)
    chain = read_chain(str(tmp_path / 'my_chain.py'))
    assert [stage.name for stage in chain.stages] == ['pretrain', 'classify', 'detect', 'detect-scratch']
    assert chain['detect-scratch'].needs == ('pretrain',)
    scratch = chain['detect-scratch']
    scratch.env.update(IMG2VEC_BACKBONE=backbone, IMG2VEC_OWN_COCO=str(coco_folder(tmp_path / 'coco')))
    cfg = read_config(scratch)
    take_own_data(cfg)
    assert cfg.model.backbone.init_cfg is None and cfg.model.backbone.arch.embed_dims == 32
