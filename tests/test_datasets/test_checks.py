"""Annotations, images and heads that do not match are named in one line."""

import json
import pickle
import shutil

import cv2
import downstream
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from torch import nn

from mmimg2vec.datasets import EvaluationDataset, SeededDataset
from mmimg2vec.datasets.annotations import category_problem, coco_categories
from mmimg2vec.datasets.checks import (
    base_datasets,
    check_classes,
    check_dataset,
    check_dataset_config,
    check_values,
    head_classes,
    spread,
)
from mmimg2vec.datasets.errors import DataError
from mmimg2vec.datasets.preparation import apply_to, check_data
from mmimg2vec.datasets.shapes import CLASSES
from mmimg2vec.errors import UserError


@pytest.fixture(scope='module')
def written(tmp_path_factory):
    return downstream.small_shapes(tmp_path_factory.mktemp('data'))


@pytest.fixture
def shapes(written, tmp_path):
    """A copy that a test may spoil."""
    shutil.copytree(written, tmp_path / 'shapes')
    return tmp_path / 'shapes'


def build(config, scope='mmdet'):
    init_default_scope(scope)
    return DATASETS.build(config)


def ade(root, **kwargs):
    dataset = build(downstream.ade_dataset(root, **kwargs), 'mmseg')
    for step in dataset.pipeline.transforms:
        if hasattr(step, 'reduce_zero_label'):
            step.reduce_zero_label = dataset.reduce_zero_label
    return dataset


def refuse(dataset, match, **kwargs):
    with pytest.raises(UserError, match=match) as error:
        check_dataset(dataset, 'train_dataloader', **kwargs)
    assert '\n' not in str(error.value)


def edit(root, change, split='train'):
    path = root / 'coco' / 'annotations' / f'instances_{split}.json'
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


def test_good_data_pass(written):
    coco, maps = build(downstream.coco_dataset(written)), ade(written)
    folders = build(downstream.classifier(written).train_dataloader.dataset, 'mmpretrain')
    for dataset in (coco, maps, folders):
        check_dataset(dataset, 'train_dataloader', max_files=0)
        check_dataset(SeededDataset(dataset), 'train_dataloader')


def test_evenly_spread():
    assert spread(10, 0) == spread(10, 10) == spread(10, 99) == list(range(10))
    assert spread(10, 4) == [0, 2, 5, 7] and spread(0, 5) == []


def test_wrappers_are_looked_through(written):
    inner = build(downstream.coco_dataset(written))
    twice = dict(type='RepeatDataset', times=2, dataset=inner)
    both = build(dict(type='mmengine.ConcatDataset', datasets=[inner, build(twice).dataset]))
    assert list(base_datasets(SeededDataset(both))) == [inner, inner]
    assert list(base_datasets(SeededDataset(build(twice)))) == [inner]


def test_a_category_that_the_file_does_not_have(written):
    classes = (*CLASSES[:-1], 'zeppelin')
    dataset = build(downstream.coco_dataset(written, metainfo=dict(classes=classes)))
    assert len(dataset) == 12  # mmdet says nothing
    refuse(dataset, rf'instances_train.json has no category zeppelin \(it has {CLASSES[0]}, ')
    refuse(SeededDataset(dataset), 'zeppelin')


def test_categories_in_another_order(written):
    classes = CLASSES[::-1]
    dataset = build(downstream.coco_dataset(written, metainfo=dict(classes=classes)))
    refuse(dataset, 'metainfo.classes has another order than the categories of')
    part = build(downstream.coco_dataset(written, metainfo=dict(classes=CLASSES[1:4])))
    check_dataset(part, 'train_dataloader')


def test_a_missing_image(shapes):
    (shapes / 'coco' / 'train' / '000005.jpg').unlink()
    dataset = build(downstream.coco_dataset(shapes))
    refuse(
        dataset,
        r'1 of 12 images looked for in the dataset of train_dataloader are missing \(first: .*000005.jpg\)',
    )
    check_dataset(dataset, 'train_dataloader', max_files=2)  # the first and the seventh are there
    (shapes / 'coco' / 'train' / '000005.JPG').touch()
    refuse(dataset, r'there is .*/000005.JPG, so correct the names, data_root or data_prefix')
    (shapes / 'coco' / 'train' / '000005.jpg').symlink_to('/nowhere.jpg')
    refuse(dataset, r'000005.jpg\): it is a link to /nowhere.jpg, and that is not there: mend or remove it')


def test_images_of_another_size(shapes):
    path = shapes / 'coco' / 'train' / '000000.jpg'
    cv2.imwrite(str(path), np.zeros((32, 48, 3), np.uint8))
    refuse(
        build(downstream.coco_dataset(shapes)),
        r'000000.jpg is 32 x 48 \(height x width\) and its annotation says 64 x 64: the annotations',
    )
    path.write_bytes(b'no image')  # the loader replaces it
    check_dataset(build(downstream.coco_dataset(shapes)), 'train_dataloader')


def test_images_that_are_not_square(shapes):
    """Height and width are those of the annotation, and not the other way round."""
    path = shapes / 'coco' / 'train' / '000000.jpg'
    cv2.imwrite(str(path), np.zeros((32, 48, 3), np.uint8))

    def say(height, width):
        edit(shapes, lambda content: content['images'][0].update(height=height, width=width))
        return build(downstream.coco_dataset(shapes, filter_cfg=None))

    check_dataset(say(32, 48), 'train_dataloader')
    refuse(say(48, 32), r'000000.jpg is 32 x 48 \(height x width\) and its annotation says 48 x 32')
    refuse(say(32, 64), r'is 32 x 48 .* says 32 x 64')


def test_an_empty_dataset(shapes):
    edit(shapes, lambda content: content.update(annotations=[]))
    dataset = build(downstream.coco_dataset(shapes, serialize_data=False))
    refuse(dataset, r'the dataset of train_dataloader is empty \(ann_file=.*instances_train.json\)')
    with pytest.raises(UserError, match=r'no samples are left in .*coco/train/.*filter_cfg'):
        SeededDataset(downstream.coco_dataset(shapes))  # mmengine dies of it


def test_categories_are_read_without_the_annotations(tmp_path):
    path = tmp_path / 'a.json'
    many = [dict(id=i, name=f'name {i} é') for i in range(40000)]  # longer than one look
    names = {c['id']: c['name'] for c in many}
    content = dict(categories=many, info=dict(note='"categories": 3'), annotations=[])
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding='utf-8')
    assert coco_categories(path) == names
    # Before and behind the list may stand what no reader of JSON would accept: it is not looked at.
    path.write_text(f'{{"annotations": [no JSON, "categories": {json.dumps(many)}, no JSON')
    assert coco_categories(path) == names
    # Another list of that name, which is none of categories.
    path.write_text('{"categories": [{"id": 1, "name": "a"}], "info": {"categories": [{"id": 2}]}}')
    assert coco_categories(path) == {1: 'a'}
    for text in ('', '{}', '{"categories": 3}', '{"categories": [1]}', '{"categories": [{"id": '):
        path.write_text(text)
        with pytest.raises(UserError, match=r'a.json has no list of categories'):
            coco_categories(path)
    assert category_problem(['a', 'b', 'c'], ['a', 'c'], path) is None


def test_a_missing_map(shapes):
    (shapes / 'ade' / 'annotations' / 'training' / '000004.png').unlink()
    refuse(ade(shapes), r'1 of 12 maps looked for .* are missing \(first: .*000004.png\)')


def test_a_map_without_image(shapes):
    (shapes / 'ade' / 'images' / 'training' / '000004.jpg').unlink()
    refuse(ade(shapes), r'1 maps .* have no image \(first: .*000004.png\): put the images \(\*.jpg\)')
    listed = shapes / 'ade' / 'some.txt'
    listed.write_text('000001\n000002\n')
    check_dataset(ade(shapes, ann_file='some.txt'), 'train_dataloader')


@pytest.mark.parametrize(('value', 'reduced', 'good'), [
    (0, True, True), (1 + len(CLASSES), True, True), (2 + len(CLASSES), True, False),
    (255, True, True), (len(CLASSES), False, True), (1 + len(CLASSES), False, False),
    (255, False, True), (254, True, False),
])  # fmt: skip
def test_values_of_maps(shapes, value, reduced, good):
    """``1 + len(CLASSES)`` classes; with reduce_zero_label they are numbered from 1."""
    folder = shapes / 'ade' / 'annotations' / 'training'
    image = np.zeros((64, 64), np.uint8)
    image[0], image[1] = 1, 2
    for path in folder.iterdir():
        cv2.imwrite(str(path), image)
    image[3, 4] = value
    cv2.imwrite(str(folder / '000007.png'), image)
    dataset = ade(shapes, reduce_zero_label=reduced)
    if good:
        check_dataset(dataset, 'train_dataloader')
        return
    top = len(CLASSES) + reduced
    refuse(dataset, rf'000007.png .* holds the value {value}, and {1 + len(CLASSES)} classes with '
           rf'reduce_zero_label={reduced} allow 0 to {top}, and 255 for ignored')  # fmt: skip


@pytest.mark.parametrize(('drawn', 'reduced', 'message'), [
    ({(0, 64): 0}, True, r'all pixels of the 12 maps .* are ignored; their values: 0 \(49152 pixels\)'),
    ({(0, 64): 255}, False, r'all pixels .* are ignored; their values: 255'),
    ({(0, 32): 0, (32, 64): 255}, False, r'one class only, bg; .* 0 \(24576 pixels\), 255 .*: write 1, not 255'),
    ({(0, 64): 0}, False, r'one class only, bg'),
    ({(0, 64): 290}, False, r'holds the value 290'),
    ({(0, 32): 0, (32, 64): 1}, False, None),
])  # fmt: skip
def test_maps_with_nothing_in_them(shapes, drawn, reduced, message):
    image = np.zeros((64, 64), np.uint16 if 290 in drawn.values() else np.uint8)
    for (begin, end), value in drawn.items():
        image[begin:end] = value
    for path in (shapes / 'ade' / 'annotations' / 'training').iterdir():
        cv2.imwrite(str(path), image)
    dataset = ade(shapes, metainfo=dict(classes=('bg', 'fg')), reduce_zero_label=reduced)
    if message is None:
        assert check_dataset(dataset, 'train_dataloader') == []
    else:
        refuse(dataset, message)


def test_a_class_that_never_occurs_is_said(shapes):
    image = np.full((64, 64), 2, np.uint8)
    image[0] = 1
    for path in (shapes / 'ade' / 'annotations' / 'training').iterdir():
        cv2.imwrite(str(path), image)
    (note,) = check_dataset(ade(shapes), 'train_dataloader')
    assert note.startswith(f'{len(CLASSES) - 1} of {len(CLASSES) + 1} classes do not occur in 12 of 12 maps')
    many = ade(shapes, metainfo=dict(classes=[f'c{i}' for i in range(300)]), reduce_zero_label=False)
    refuse(many, r'has 300 classes, and mmseg keeps eight bits of a map')


def test_maps_of_another_kind(shapes):
    path = shapes / 'ade' / 'annotations' / 'training' / '000000.png'
    cv2.imwrite(str(path), np.zeros((64, 64, 3), np.uint8))
    refuse(ade(shapes), '000000.png .* is a color picture')
    cv2.imwrite(str(path), np.zeros((32, 64), np.uint8))
    refuse(ade(shapes), r'000000.png is 32 x 64 and its image .*000000.jpg 64 x 64 \(height')
    path.write_bytes(b'')
    refuse(ade(shapes), r'000000.png in the dataset of train_dataloader is unreadable \(empty file\)')


def test_subset_of_the_known_classes(written):
    """mmseg's own datasets renumber maps whose values are those of all their classes."""
    dataset = ade(written)
    dataset.label_map = dict.fromkeys(range(1 + len(CLASSES)), 0)
    dataset._metainfo['classes'] = ('ground',)
    check_dataset(dataset, 'train_dataloader')
    dataset.label_map = {0: 0}
    refuse(dataset, 'holds the value')


def test_labels_beyond_the_classes(written, tmp_path):
    files = [f'{p.parent.name}/{p.name}' for p in (written / 'imagenet' / 'val').glob('*/*.jpg')]
    (tmp_path / 'list.txt').write_text(''.join(f'{file} 9\n' for file in files))
    dataset = build(
        dict(
            type='CustomDataset',
            data_prefix=str(written / 'imagenet' / 'val'),
            ann_file=str(tmp_path / 'list.txt'),
        ),
        'mmpretrain',
    )
    check_dataset(dataset, 'train_dataloader')
    refuse(dataset, 'has the label 9, and there are 9 classes, numbered from 0', num_classes=9)


class Listed:
    def __init__(self, *classes):
        self.metainfo = dict(classes=classes)


def test_classes_and_heads():
    data = dict(train_dataloader=Listed('a', 'b'), val_dataloader=Listed('a', 'b'))
    check_classes(data, {'head': 2})
    check_classes(dict(train_dataloader=Listed()), {'head': 2})
    with pytest.raises(
        UserError,
        match=r'model.roi_head.bbox_head.1 has num_classes=80, and the dataset of train_dataloader 2 classes '
        r'\(a, b\): set model.roi_head.bbox_head.1.num_classes=2',
    ):
        check_classes(data, {'roi_head.bbox_head.0': 2, 'roi_head.bbox_head.1': 80})
    data['val_dataloader'] = Listed('b', 'a')
    check_classes(data, {})
    with pytest.raises(UserError, match=r'train_dataloader and val_dataloader name their classes differently'):
        check_classes(data, {'head': 2})


def test_heads_of_the_three_libraries(written):
    from mmdet.registry import MODELS as DETECTORS
    from mmseg.registry import MODELS as SEGMENTORS

    init_default_scope('mmdet')
    model = downstream.detector(written).model
    # three stages, as in Cascade Mask R-CNN
    stage = model.roi_head.bbox_head
    model.roi_head.update(type='CascadeRoIHead', num_stages=3, stage_loss_weights=[1, 1, 1], bbox_head=[stage] * 3)
    model.train_cfg.rcnn = [model.train_cfg.rcnn] * 3
    found = head_classes(DETECTORS.build(model))
    assert set(found.values()) == {len(CLASSES)}
    assert set(found) == {
        *(f'roi_head.bbox_head.{i}' for i in range(3)),
        *(f'roi_head.mask_head.{i}' for i in range(3)),
    }
    init_default_scope('mmseg')
    found = head_classes(SEGMENTORS.build(downstream.segmentor(written).model))
    assert found == dict.fromkeys(('decode_head', 'auxiliary_head'), 1 + len(CLASSES))
    assert head_classes(nn.Linear(1, 1)) == {}


def test_a_config_is_checked_without_building(shapes):
    for task in ('classifier', 'detector', 'segmentor'):
        cfg = getattr(downstream, task)(shapes)
        for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
            assert check_dataset_config(cfg, loader) == []
    cfg = downstream.detector(shapes)
    cfg.model.roi_head.mask_head.num_classes = 80
    cfg.train_dataloader.dataset.dataset.metainfo.classes = (*CLASSES[:-1], 'zeppelin')
    problems = check_dataset_config(cfg)
    assert len(problems) == 2
    assert problems[0].startswith('model.roi_head.mask_head.num_classes is 80 and train_dataloader.')
    assert 'has no category zeppelin' in problems[1]
    shutil.rmtree(shapes / 'coco' / 'val')
    (shapes / 'coco' / 'val').mkdir()
    cfg.test_evaluator.ann_file = 'nowhere.json'
    problems = check_dataset_config(cfg, 'test_dataloader')
    assert 'coco/val/ is empty' in problems[0]
    assert problems[1] == 'no annotation file nowhere.json: correct ann_file of CocoMetric in test_evaluator'
    (shapes / 'coco' / 'annotations' / 'instances_train.json').unlink()
    assert 'no annotation file' in check_dataset_config(cfg)[0]
    (shapes / 'coco' / 'train').rename(shapes / 'coco' / 'elsewhere')
    edit(shapes, lambda content: None, 'val')
    cfg.train_dataloader.dataset.dataset.ann_file = 'annotations/instances_val.json'
    (problem,) = check_dataset_config(cfg)
    assert problem.endswith('set train_dataloader.dataset.dataset.data_prefix.img or data_root')
    cfg.train_dataloader.dataset.dataset.data_root = str(shapes / 'nowhere')
    assert 'nowhere' in check_dataset_config(cfg)[0]


def test_every_dataset_of_a_config_is_checked():
    inner = [dict(type='CustomDataset', data_root=f'absent_{i}') for i in range(2)]
    dataset = dict(type='SeededDataset', dataset=dict(type='ConcatDataset', datasets=inner))
    problems = check_dataset_config(Config(dict(train_dataloader=dict(dataset=dataset))))
    assert ['absent_0' in problems[0], 'absent_1' in problems[1], len(problems)] == [True, True, 2]
    assert 'train_dataloader.dataset.dataset.datasets.1.data_root' in problems[1]


@pytest.mark.parametrize(('low', 'high', 'good'), [(0, 255, True), (-20, 280, True), (0, 1, False), (0, 4095, False)])
def test_values_that_a_teacher_sees(written, low, high, good):
    dataset = build(downstream.coco_dataset(written))
    images = torch.linspace(low, high, 48).view(1, 3, 4, 4)
    check_values(dataset, images, False, 'train_dataloader')
    check_values(dataset, (images.clamp(0, 255)).byte(), True, 'train_dataloader')
    if good:
        check_values(dataset, images, True, 'train_dataloader')
        return
    with pytest.raises(
        UserError, match=rf'values from {low} to {high}, and the teacher takes 0 to 255: set value_range'
    ):
        check_values(dataset, images, True, 'train_dataloader')


def test_dataset_and_pipeline_treat_zero_alike(shapes):
    dataset = ade(shapes)
    dataset.reduce_zero_label = False
    refuse(dataset, r'has reduce_zero_label=False, and LoadAnnotations of its pipeline True: give both the same')


@pytest.mark.parametrize('wrapper', [None, 'ConcatDataset', 'RepeatDataset'])
@pytest.mark.parametrize(('drawn', 'message'), [
    (np.full((64, 64), 2 + len(CLASSES), np.uint8), rf'holds the value {2 + len(CLASSES)}, and .* allow 0 to'),
    (np.full((64, 64), 290, np.uint16), 'holds the value 290'),
    (np.zeros((64, 64, 3), np.uint8), 'is a color picture'),
    (np.zeros((32, 64), np.uint8), 'is 32 x 64 and its image'),
    (np.full((64, 64), 3, np.uint16), None),
])  # fmt: skip
def test_maps_that_the_check_has_not_opened(shapes, drawn, message, wrapper):
    folder = shapes / 'ade' / 'annotations' / 'training'
    for path in folder.iterdir():
        cv2.imwrite(str(path), np.full((64, 64), 1 + len(CLASSES), np.uint8))
    cv2.imwrite(str(folder / '000007.png'), drawn)
    init_default_scope('mmseg')
    inner = downstream.ade_dataset(shapes)
    wrapped = {'ConcatDataset': dict(datasets=[inner, inner]), 'RepeatDataset': dict(dataset=inner, times=2)}
    config = dict(type=f'mmengine.{wrapper}', **wrapped[wrapper]) if wrapper else inner
    dataset = SeededDataset(config, 'train_dataloader.dataset')
    assert len(dataset[6]['data_samples'].gt_sem_seg.data.unique()) <= 2
    if message is None:
        dataset[7]
        return
    with pytest.raises(DataError, match=f'000007.png .*{message}'):
        pickle.loads(pickle.dumps(dataset))[7]


@pytest.mark.parametrize('wrapper', [None, 'ConcatDataset', 'RepeatDataset'])
@pytest.mark.parametrize('part', ['images', 'annotations'])
def test_one_broken_file_costs_no_other_its_score(shapes, part, wrapper):
    """A map is read by mmseg's loader, which raises what its decoder does; its pixels are not scored."""
    init_default_scope('mmseg')
    inner = downstream.ade_dataset(shapes, test_mode=True)
    broken = sorted((shapes / 'ade' / part / 'training').iterdir())[2]
    broken.write_bytes(broken.read_bytes()[:60])
    wrapped = {'ConcatDataset': dict(datasets=[inner, inner]), 'RepeatDataset': dict(dataset=inner, times=2)}
    dataset = EvaluationDataset(dict(type=f'mmengine.{wrapper}', **wrapped[wrapper]) if wrapper else inner)
    samples = [dataset[index] for index in range(len(dataset))]
    assert set(dataset.unreadable._met) == {str(broken)}
    ignored = [index for index, s in enumerate(samples) if (s['data_samples'].gt_sem_seg.data == 255).all()]
    black = [index for index, s in enumerate(samples) if not s['inputs'].any()]
    places = [2, 2 + len(samples) // 2] if wrapper else [2]
    assert (black, ignored) == ((places, []) if part == 'images' else ([], places))
    train = SeededDataset(dataset.dataset)
    assert all(train[index] is not None for index in range(3))
    assert set(train.unreadable._met) == {str(broken)}


def test_a_palette_of_another_length_is_left_out(tmp_path, shapes):
    dataset = downstream.ade_dataset(shapes, metainfo=dict(classes=['a', 'b'], palette=[[1, 2, 3]]))
    loaders = dict(train_dataloader=dict(dataset=dict(type='SeededDataset', dataset=dataset)))
    copies, (note,) = check_data(loaders, {}, tmp_path)
    assert note.startswith('train_dataloader.dataset.dataset.metainfo.palette has another length than its classes')
    apply_to(loaders, {}, copies)
    assert dataset['metainfo']['palette'] == []
