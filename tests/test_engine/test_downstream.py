"""Detection on seeded data: a resumed run is exact, and unreadable images do not end it."""

import downstream
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import init_default_scope

from mmimg2vec.datasets import DrawKey, SeededDataset
from mmimg2vec.datasets.image_files import read_list


@pytest.fixture
def shapes(tmp_path):
    return downstream.small_shapes(tmp_path)


class StopAfter(Hook):
    priority = 'LOWEST'

    def after_train_epoch(self, runner):
        raise KeyboardInterrupt


def test_resumed_detector_is_bit_identical(shapes, tmp_path):
    cfg = downstream.detector(shapes, num_workers=1)
    cfg.train_dataloader.batch_sampler = dict(type='AspectRatioBatchSampler', drop_last=True)
    cfg.train_dataloader.pop('drop_last')
    whole = downstream.runner_of(cfg, tmp_path / 'whole')
    whole.train()
    first = downstream.runner_of(cfg, tmp_path / 'parts')
    first.register_hook(StopAfter())
    with pytest.raises(KeyboardInterrupt):
        first.train()
    torch.manual_seed(99)
    downstream.runner_of(cfg, tmp_path / 'parts', resume=True).train()
    expected, got = (downstream.weights(tmp_path / name / 'epoch_2.pth') for name in ('whole', 'parts'))
    assert downstream.equal(got, expected)
    assert not downstream.equal(downstream.weights(tmp_path / 'parts' / 'epoch_1.pth'), expected)


def same(first, second):
    a, b = first['data_samples'].gt_instances, second['data_samples'].gt_instances
    return (
        first['inputs'].shape == second['inputs'].shape
        and torch.equal(first['inputs'], second['inputs'])
        and torch.equal(a.bboxes.tensor, b.bboxes.tensor)
        and ('masks' not in a or (a.masks.masks == b.masks.masks).all())
    )


def test_detection_samples_are_functions_of_their_key(shapes):
    init_default_scope('mmdet')
    dataset = SeededDataset(downstream.coco_dataset(shapes))
    draws = [dataset[DrawKey(3, draw, 1)] for draw in range(6)]
    assert same(draws[0], dataset[DrawKey(3, 0, 1)])
    assert not all(same(draws[0], draw) for draw in draws)
    sample = draws[0]['data_samples']
    assert sample.img_shape == sample.ori_shape == (64, 64) and sample.img_path.endswith('.jpg')
    assert dataset.get_data_info(DrawKey(3, 0, 1))['img_id'] == sample.img_id
    assert dataset.metainfo['classes'] == dataset.dataset.metainfo['classes']


def test_wrapped_detection_datasets(shapes):
    init_default_scope('mmdet')
    inner = downstream.coco_dataset(shapes)
    load, annotate, _, pack = inner['pipeline']
    boxes = [load, {**annotate, 'with_mask': False}]  # Mosaic knows no masks
    mosaic = [dict(type='Mosaic', img_scale=(64, 64)), pack]
    for wrapper in (
        dict(type='RepeatDataset', times=2, dataset=inner),
        dict(type='ClassBalancedDataset', oversample_thr=0.9, dataset=inner),
        dict(type='ConcatDataset', datasets=[inner, inner]),
        dict(type='MultiImageMixDataset', dataset={**inner, 'pipeline': boxes}, pipeline=mosaic),
    ):
        dataset = SeededDataset(wrapper)
        key = DrawKey(len(dataset) - 1, 0, 1)
        assert same(dataset[key], dataset[key])


def test_an_image_that_cannot_be_read_is_replaced(shapes, tmp_path):
    """mmdet's own loader would end the run here."""
    (shapes / 'coco' / 'train' / '000003.jpg').write_bytes(b'')
    (shapes / 'ade' / 'images' / 'training' / '000003.jpg').write_bytes(b'')
    for task in ('detector', 'segmentor'):
        cfg = getattr(downstream, task)(shapes, num_workers=1)
        cfg.train_cfg.update(dict(max_epochs=1) if task == 'detector' else dict(max_iters=3))
        cfg.custom_hooks.append(dict(type='mmimg2vec.UnreadableImagesHook', max_share=0.1))
        work_dir = tmp_path / task
        downstream.runner_of(cfg, work_dir).train()
        assert set(read_list(work_dir / 'unreadable_images.jsonl').values()) == {'empty file'}
