import cv2
import numpy as np
import pytest
from mmengine.runner import Runner
from train_and_record import config

from mmimg2vec import UserError


@pytest.fixture()
def images(tmp_path):
    folder = tmp_path / 'images'
    folder.mkdir()
    for index in range(3):
        cv2.imwrite(str(folder / f'{index}.png'), np.full((70, 80, 3), 60 * index, np.uint8))
    return folder


def build(images, tmp_path, batch, **changes):
    cfg = config(str(images), str(tmp_path / 'losses.json'), batch)
    cfg.custom_hooks = []
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.train_cfg = dict(type='mmimg2vec.CheckedTrainLoop', max_epochs=1)
    # As all shipped configs: fails of an epoch without steps before any hook runs.
    cfg.param_scheduler = [dict(type='LinearLR', end=1, convert_to_iter_based=True)]
    cfg.experiment_name = tmp_path.name
    cfg.merge_from_dict(changes)
    return Runner.from_cfg(cfg)


def test_trains(images, tmp_path):
    runner = build(images, tmp_path, 2)
    runner.train()
    assert runner.iter == 1


def test_fewer_images_than_a_batch_are_named(images, tmp_path):
    with pytest.raises(UserError, match='3 images do not fill one batch of 8'):
        build(images, tmp_path, 8).train()


def test_sample_that_does_not_fit_is_named_before_the_first_step(images, tmp_path):
    runner = build(images, tmp_path, 2, **{'model.backbone.img_size': (32, 64)})
    with pytest.raises(UserError, match=r'images are 64 x 64 .*img_size is \(32, 64\)'):
        runner.train()
    assert runner.iter == 0


def test_a_warm_up_shorter_than_a_step_is_left_out(images, tmp_path):
    """As train_cfg.max_epochs=1 makes it on few images; mmengine refuses schedules of no length."""
    runner = build(images, tmp_path, 1)
    warm_up = dict(type='LinearLR', start_factor=0.5, end=0.1, convert_to_iter_based=True)
    after = dict(type='CosineAnnealingLR', begin=0.1, end=1, T_max=0.9, convert_to_iter_based=True)
    runner.param_schedulers = [warm_up, after]
    runner.train()
    assert [type(scheduler).__name__ for scheduler in runner.param_schedulers] == ['CosineAnnealingLR']
