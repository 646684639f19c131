import os
import random

import numpy as np
import pytest
import torch
from mmengine.runner import Runner

from mmimg2vec.datasets import DataError, DrawKey, SeededDataset, SeededSampler, UnreadableImage
from mmimg2vec.datasets.image_files import UnreadableList, read_list
from mmimg2vec.datasets.seeded import seeded
from mmimg2vec.errors import UserError


def loader_of(dataset_config, num_workers=0, persistent=False, batch_size=4, seed=3):
    return Runner.build_dataloader(
        dict(
            batch_size=batch_size,
            num_workers=num_workers,
            persistent_workers=persistent,
            drop_last=True,
            sampler=dict(type='mmimg2vec.SeededSampler', shuffle=True),
            collate_fn=dict(type='default_collate'),
            dataset=dict(type='mmimg2vec.SeededDataset', dataset=dataset_config),
        ),
        seed=seed,
    )


def epochs_of(loader, epochs):
    drawn = []
    for epoch in epochs:
        loader.sampler.set_epoch(epoch)
        for batch in loader:
            paths = [sample.img_path for sample in batch['data_samples']]
            drawn.append((batch['inputs'], batch['mask'], batch['token_rank'], paths))
    return drawn


def equal(first, second):
    return len(first) == len(second) and all(
        torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) and torch.equal(a[2], b[2]) and a[3] == b[3]
        for a, b in zip(first, second, strict=True)
    )


def test_samples_do_not_depend_on_the_workers(dataset_config):
    alone = epochs_of(loader_of(dataset_config), range(2))
    assert equal(alone, epochs_of(loader_of(dataset_config, 1), range(2)))
    assert equal(alone, epochs_of(loader_of(dataset_config, 2, persistent=True), range(2)))
    assert equal(alone, epochs_of(loader_of(dataset_config, 2, batch_size=4), range(2)))
    # resumed at the second epoch, the global generators being elsewhere
    random.random(), np.random.rand(), torch.rand(1)
    assert equal(alone[3:], epochs_of(loader_of(dataset_config, 2), range(1, 2)))


def test_samples_differ_between_draws_and_seeds(dataset_config):
    dataset = SeededDataset(dataset_config)
    samples = [dataset[DrawKey(0, *key)] for key in [(0, 0), (1, 0), (0, 1)]]
    for other in samples[1:]:
        assert not torch.equal(samples[0]['inputs'], other['inputs'])
        assert not torch.equal(samples[0]['token_rank'], other['token_rank'])
    assert torch.equal(samples[0]['inputs'], dataset[0]['inputs'])


def test_generators_are_restored(dataset_config):
    dataset = SeededDataset(dataset_config)
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = random.random(), np.random.rand(), torch.rand(1)
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    dataset[DrawKey(3, 2, 1)]
    with pytest.raises(ZeroDivisionError), seeded(1, 2):
        random.random(), 1 / 0
    assert (random.random(), np.random.rand(), torch.rand(1)) == expected


def test_batches_of_the_ranks_are_the_batch_of_one_process(monkeypatch):
    dataset = range(45)  # remainders in both divisions: 45 = 2 * 22 + 1 = 4 * 11 + 1

    def keys(rank, world_size):
        monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda: (rank, world_size))
        sampler = SeededSampler(dataset, seed=5)
        sampler.set_epoch(2)
        return list(sampler)

    one, ranks = keys(0, 1), [keys(rank, 2) for rank in range(2)]
    assert [len(r) for r in ranks] == [22, 22]
    for k in range(45 // 8):
        union = {key for rank in ranks for key in rank[4 * k : 4 * k + 4]}
        assert union == set(one[8 * k : 8 * k + 8])
    assert 22 // 4 == 45 // 8  # the same number of full batches
    assert {key.draw for key in one} == {2} and {key.seed for key in one} == {5}
    with pytest.raises(DataError, match='fewer processes'):
        monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda: (0, 50))
        SeededSampler(dataset, seed=5)


@pytest.mark.parametrize('num_workers', [0, 2])
def test_unreadable_images_are_replaced_alike_and_logged(dataset_config, image_folder, tmp_path, num_workers):
    broken = image_folder / 'class_0' / '00.jpg'
    broken.write_bytes(b'')
    cut = image_folder / 'class_1' / '01.jpg'
    cut.write_bytes(cut.read_bytes()[:-100])
    reference = epochs_of(loader_of(dataset_config), [0])
    loader = loader_of(dataset_config, num_workers)
    log = tmp_path / 'unreadable_images.jsonl'
    loader.dataset.unreadable.write_to(log)
    drawn = epochs_of(loader, [0])
    assert equal(drawn, reference)
    assert not any('00.jpg' in path or '01.jpg' in path for batch in drawn for path in batch[3])
    assert read_list(log) == {str(broken): 'empty file', str(cut): 'cut short'}


def test_an_unreadable_replacement_is_replaced_by_another(dataset_config, image_folder):
    paths = sorted(image_folder.rglob('*.jpg'))
    for path in paths[2:]:
        path.write_bytes(b'')
    dataset = SeededDataset(dataset_config)
    drawn = {dataset[DrawKey(index, 0, 0)]['data_samples'].img_path for index in range(12)}
    assert drawn == set(map(str, paths[:2]))


def test_a_folder_of_unreadable_images_ends_the_run(dataset_config, image_folder):
    for path in image_folder.rglob('*.jpg'):
        path.write_bytes(b'no image')
    with pytest.raises(DataError, match='100 images in a row are unreadable') as error:
        SeededDataset(dataset_config)[0]
    assert '\n' not in str(error.value)


def test_an_error_in_a_worker_stays_one_line(dataset_config):
    dataset_config['pipeline'][3]['patch_size'] = 7
    with pytest.raises(DataError) as error:
        next(iter(loader_of(dataset_config, num_workers=1)))
    assert str(error.value).startswith('an image of 32 x 32 px is not divisible')


@pytest.mark.parametrize('dataset_type', ['mmpretrain.CustomDataset', 'mmpretrain.ImageNet'])
def test_missing_data_is_named(tmp_path, dataset_type):
    config = dict(type=dataset_type, data_root=str(tmp_path / 'nowhere'), data_prefix='train')
    with pytest.raises(
        UserError,
        match=r'no data folder .*nowhere: set data_root .*'
        r'--cfg-options train_dataloader.dataset.dataset.data_root=FOLDER',
    ):
        SeededDataset(config)
    (tmp_path / 'nowhere' / 'train').mkdir(parents=True)
    with pytest.raises(UserError, match=r'nowhere'):
        SeededDataset({**config, 'with_label': False})
    with pytest.raises(UserError, match=r'nowhere'):
        SeededDataset(config)
    with pytest.raises(UserError, match=r'no annotation file .*list.txt: set ann_file'):
        SeededDataset({**config, 'ann_file': 'list.txt'})


def test_wrong_classes_are_a_user_error(image_folder):
    with pytest.raises(UserError, match='with_label=False'):
        SeededDataset(dict(type='mmpretrain.ImageNet', data_root=str(image_folder)))


def test_wrapper_passes_on_what_runners_ask_for(dataset_config):
    dataset = SeededDataset(dataset_config)
    dataset.full_init()
    assert len(dataset) == 12
    assert dataset.metainfo['classes'] == ('class_0', 'class_1')
    assert dataset.get_data_info(3)['sample_idx'] == 3


def test_the_list_of_unreadable_images(tmp_path):
    """Names with a newline and names that are no UTF-8 are one entry each; those met before there is a file count."""
    names = ['a\nb.jpg', os.fsdecode(b'im\xe9.jpg'), 'c\td.jpg']
    found = UnreadableList()
    for name in [*names[:2], names[0]]:
        found.add(UnreadableImage(name, 'empty file'))
    found.write_to(tmp_path / 'list.jsonl')
    found.add(UnreadableImage(names[2], 'cut short'))
    assert read_list(tmp_path / 'list.jsonl') == dict(
        zip(names, ['empty file', 'empty file', 'cut short'], strict=True)
    )
    assert read_list(tmp_path / 'none.jsonl') == {}
    assert str(UnreadableImage(names[1], 'x')) == r'im\xe9.jpg: x'
    assert str(UserError(f'no {names[1]}')) == r'no im\xe9.jpg'


def test_unreadable_image_names_path_and_reason():
    assert str(UnreadableImage('a.jpg', 'two\nlines')) == 'a.jpg: two lines'
