"""Shards and their index: what is written, read, gone on with, refused."""

import json
import pickle
import shutil
import tarfile
import time
import tracemalloc
from collections import Counter

import cv2
import fsspec
import numpy as np
import pytest
import torch
from mmengine.registry import DATASETS as ROOT_DATASETS
from mmengine.runner import Runner
from PIL import Image

from mmimg2vec.datasets import DataError, DrawKey, SeededDataset, SeededSampler, ShardedImages, UnreadableImage
from mmimg2vec.datasets.checks import check_dataset, found_text
from mmimg2vec.datasets.folders import build_dataset
from mmimg2vec.datasets.image_files import read_list
from mmimg2vec.datasets.shards import make_shards, open_index
from mmimg2vec.datasets.shards.index import ENTRY
from mmimg2vec.datasets.shards.writing import ShardOptions, member_stems, prepare_image
from mmimg2vec.datasets.transforms import LoadImage
from mmimg2vec.errors import UserError

LOAD = [dict(type='mmimg2vec.LoadImage')]


@pytest.fixture
def shards(image_folder, tmp_path):
    """The 12 images of 40 x 48 px in 3 shards, kept as they are."""
    make_shards(image_folder, tmp_path / 'shards', ShardOptions(per_shard=5), report=lambda line: None)
    return tmp_path / 'shards'


def make(images, out, jobs=1, **options):
    lines = []
    make_shards(images, out, ShardOptions(**options), jobs, lines.append)
    return lines


def test_what_goes_in_comes_out(image_folder, shards):
    dataset = ShardedImages(str(shards), pipeline=LOAD)
    folder = build_dataset(
        dict(type='mmpretrain.CustomDataset', data_root=str(image_folder), pipeline=LOAD), ROOT_DATASETS, 'key'
    )
    assert len(dataset) == len(folder) == 12
    found = {sample['img_path'].split('.tar/')[1]: sample for sample in dataset}
    for sample in folder:
        name = sample['img_path'].removeprefix(f'{image_folder}/')
        assert np.array_equal(found[name]['img'], sample['img'])
        assert found[name]['gt_label'] == sample['gt_label']
    assert [sample['sample_idx'] for sample in dataset] == list(range(12))
    assert sorted(path.name for path in shards.glob('*.tar')) == [f'shard-00000{i}.tar' for i in range(3)]
    with tarfile.open(shards / 'shard-000000.tar') as tar:
        names = tar.getnames()
    assert len(names) == 5
    assert len({name.split('/')[0] for name in names}) == 2  # both classes in the first shard


def test_large_photos_are_turned_and_shrunk_and_small_ones_kept(tmp_path):
    images = tmp_path / 'images'
    images.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = cv2.resize(np.random.RandomState(0).randint(0, 256, (6, 8, 3), dtype=np.uint8), (400, 300))
    Image.fromarray(picture).save(images / 'large.jpeg', exif=exif, quality=95)
    Image.fromarray(picture).save(images / 'large.png')
    Image.fromarray(picture[:80, :60]).save(images / 'small.JPG', exif=exif)
    lines = make(images, tmp_path / 'out', short_side=64)
    assert '3 images in 1 shards' in lines[-1]
    assert '2 shrunk to a short side of 64 px, 1 kept as they are, since none is enlarged' in lines[-1]
    dataset = ShardedImages(str(tmp_path / 'out'), pipeline=LOAD, with_label=False)
    found = {sample['img_path'].split('/')[-1]: sample['img'] for sample in dataset}
    # "large.jpeg" and "large.png" would be one sample of webdataset.
    assert {name: img.shape[:2] for name, img in found.items()} == {
        'large.jpg': (85, 64), 'large-2.jpg': (64, 85), 'small.jpg': (60, 80)
    }  # fmt: skip
    wanted = cv2.resize(
        LoadImage()(dict(img_path=str(images / 'large.jpeg')))['img'], (64, 85), interpolation=cv2.INTER_AREA
    )
    assert np.abs(found['large.jpg'].astype(int) - wanted).mean() < 2
    assert np.array_equal(found['small.jpg'], LoadImage()(dict(img_path=str(images / 'small.JPG')))['img'])
    assert prepare_image(str(images / 'large.png'), 0, 90).data == (images / 'large.png').read_bytes()


def test_names_are_samples_of_their_own_for_webdataset():
    from pathlib import Path

    stems = member_stems([Path(name) for name in ('a/x.1.jpg', 'a/x.2.jpg', 'a/x_1.png', 'b/x.1.jpg', 'a.b/x.jpg')])
    assert stems == ['a/x_1', 'a/x_2', 'a/x_1-2', 'b/x_1', 'a.b/x']


def test_a_second_call_goes_on_and_processes_change_nothing(image_folder, shards, tmp_path):
    before = {path.name: path.read_bytes() for path in shards.glob('shard-*.tar')}
    index = (shards / 'index.npy').read_bytes()
    # As if it had been killed in the second shard.
    for name in ('shard-000001.tar', 'shard-000002.tar', 'index.json', 'index.npy', 'index_names.npy'):
        (shards / name).unlink()
    (shards / 'shard-000001.tar.part').write_bytes(b'half of it')
    kept = (shards / 'shard-000000.tar').stat().st_mtime_ns
    lines = make(image_folder, shards, per_shard=5, jobs=2)
    assert '5 images are in shards already, 7 are left' in lines
    assert {path.name: path.read_bytes() for path in shards.glob('shard-*.tar')} == before
    assert (shards / 'index.npy').read_bytes() == index
    assert (shards / 'shard-000000.tar').stat().st_mtime_ns == kept
    assert make(image_folder, shards, per_shard=5)[-1].startswith(f'{shards}: 12 images in 3 shards')


def test_other_options_or_images_and_full_folders_are_refused(image_folder, shards, tmp_path):
    with pytest.raises(UserError, match=r'begun with short_side=320, and now it is 100'):
        make(image_folder, shards, per_shard=5, short_side=100)
    shutil.copy(image_folder / 'class_0' / '00.jpg', image_folder / 'new.jpg')
    with pytest.raises(UserError, match=r'begun with images=12, and now it is 13'):
        make(image_folder, shards, per_shard=5)
    with pytest.raises(UserError, match='is not empty: name a new folder'):
        make(image_folder, image_folder)
    with pytest.raises(UserError, match='no folder'):
        make(tmp_path / 'gone', tmp_path / 'out')
    for option, value in (('short_side', -1), ('quality', 0), ('per_shard', 0)):
        with pytest.raises(UserError, match=f'--{option.replace("_", "-")} {value} is out of range'):
            ShardOptions(**{option: value})


def test_unreadable_images_are_left_out_and_listed_up_to_a_share(image_folder, tmp_path):
    broken = image_folder / 'class_0' / '00.jpg'
    broken.write_bytes(broken.read_bytes()[:-100])
    lines = make(image_folder, tmp_path / 'out')
    assert '1 unreadable are left out' in lines[-1]
    assert read_list(tmp_path / 'out' / 'unreadable_images.jsonl') == {str(broken): 'cut short'}
    assert len(ShardedImages(str(tmp_path / 'out'))) == 11
    (image_folder / 'class_1' / '01.jpg').write_bytes(b'')
    with pytest.raises(UserError, match=r'2 of 12 images are unreadable, more than --max-share 0.01'):
        make(image_folder, tmp_path / 'other')


def test_a_broken_image_in_a_shard_is_replaced_and_named(shards):
    dataset = SeededDataset(dict(type='mmimg2vec.ShardedImages', data_root=str(shards), pipeline=LOAD))
    entry = dataset.dataset.index.entries[3]
    with open(shards / 'shard-000000.tar', 'r+b') as file:
        file.seek(int(entry['offset']))
        file.write(b'\0' * int(entry['size']))
    broken = dataset.dataset.name(3)
    assert dataset[DrawKey(3, 0, 0)]['img_path'] != broken
    assert list(dataset.unreadable._met) == [broken]
    with pytest.raises(UnreadableImage, match='not decodable'):
        dataset.dataset[3]


def test_shards_and_index_belong_together(shards):
    shard, index = shards / 'shard-000001.tar', shards / 'index.json'
    whole, described = shard.read_bytes(), json.loads(index.read_text())
    shard.write_bytes(whole[:-2000])
    with pytest.raises(UserError, match=rf'shard-000001.tar in .* has {len(whole) - 2000} bytes, by index.json it has'):
        open_index(str(shards))
    shard.unlink()
    with pytest.raises(UserError, match=r'shard-000001.tar in .* is missing'):
        open_index(str(shards))
    # Another shard of the same length: only a read can tell.
    shard.write_bytes(b'\0' * len(whole))
    dataset = ShardedImages(str(shards), pipeline=LOAD)
    with pytest.raises(DataError, match=r'does not belong to shard-000001.tar: copy the folder again'):
        dataset[5]
    shard.write_bytes(whole)
    index.write_text(json.dumps({**described, 'bytes_of_names': 3}))
    with pytest.raises(UserError, match='do not belong together'):
        open_index(str(shards))
    index.write_text(json.dumps({**described, 'format': 9}))
    with pytest.raises(UserError, match='has the format 9'):
        open_index(str(shards))
    index.write_text('{')
    with pytest.raises(UserError, match='is broken'):
        open_index(str(shards))
    index.unlink()
    with pytest.raises(UserError, match=r'make_shards\.py'):
        open_index(str(shards))


@pytest.mark.parametrize('kind', ['mmpretrain.CustomDataset', 'mmpretrain.ImageNet'])
def test_a_folder_dataset_of_shards_is_read_as_shards(image_folder, shards, tmp_path, kind):
    shutil.copytree(shards, tmp_path / 'data' / 'train')
    place = dict(split='train') if kind.endswith('ImageNet') else dict(data_prefix='train')
    config = dict(
        type=kind,
        data_root=str(tmp_path / 'data'),
        pipeline=LOAD,
        metainfo=dict(classes=['class_0', 'class_1']),
        **place,
    )
    built = SeededDataset(config)
    assert isinstance(built.dataset, ShardedImages)
    assert Counter(built[i]['gt_label'] for i in range(12)) == {0: 6, 1: 6}
    assert built.metainfo['classes'] == ['class_0', 'class_1']
    assert check_dataset(built, 'train_dataloader', num_classes=2) == [] and found_text(built) == '12 images'
    # labels by the classes of other images
    other = dict(type=kind, data_root=str(tmp_path / 'data'), pipeline=LOAD, **place)
    dataset = build_dataset(other, ROOT_DATASETS, 'key', ['class_1', 'class_9', 'class_0'])
    assert {sample['img_path'].split('/')[-2]: sample['gt_label'] for sample in dataset} == {'class_0': 2, 'class_1': 0}
    with pytest.raises(UserError, match='has the folder class_0, which is none of the 2 classes'):
        build_dataset(other, ROOT_DATASETS, 'key', ['class_1', 'class_9'])


def test_labels_that_are_not_there(image_folder, tmp_path):
    for path in list(image_folder.rglob('*.jpg')):
        path.rename(image_folder / path.name)
    make(image_folder, tmp_path / 'out')
    assert len(ShardedImages(str(tmp_path / 'out'), with_label=False)) == 12
    with pytest.raises(UserError, match=r'set KEY.with_label=False'):
        ShardedImages(str(tmp_path / 'out'), config_key='KEY')


def test_from_an_object_store(shards):
    memory = fsspec.filesystem('memory')
    for path in shards.iterdir():
        memory.pipe(f'/bucket/images/{path.name}', path.read_bytes())
    local = ShardedImages(str(shards), pipeline=LOAD)
    remote = ShardedImages('memory://bucket', data_prefix='images', pipeline=LOAD)
    assert [local.read(i) for i in range(12)] == [remote.read(i) for i in range(12)]
    assert remote.name(0) == local.name(0).replace(str(shards), 'memory://bucket/images')
    assert check_dataset(remote, 'train_dataloader') == []
    memory.pipe('/bucket/images/shard-000002.tar', b'short')
    with pytest.raises(UserError, match=r'has 5 bytes'):
        ShardedImages('memory://bucket', data_prefix='images')
    with pytest.raises(UserError, match=r'install the fsspec package'):
        ShardedImages('unknownstore://bucket')


def test_another_process_maps_the_index_by_itself(shards):
    dataset = ShardedImages(str(shards), pipeline=LOAD)
    dataset.read(0)
    content = pickle.dumps(dataset)
    assert len(content) < 2000
    assert pickle.loads(content).read(11) == dataset.read(11)


def loader_of(folder, workers=0, seed=3):
    pipeline = [
        dict(type='mmimg2vec.LoadRandomResizedCrop', scale=32),
        dict(type='mmimg2vec.RandomTokenMask', patch_size=8),
        dict(type='mmimg2vec.PackMaskedInputs'),
    ]
    inner = dict(type='mmpretrain.CustomDataset', data_root=str(folder), with_label=False, pipeline=pipeline)
    return Runner.build_dataloader(
        dict(
            batch_size=4,
            num_workers=workers,
            sampler=dict(type='mmimg2vec.SeededSampler'),
            collate_fn=dict(type='default_collate'),
            dataset=dict(type='mmimg2vec.SeededDataset', dataset=inner),
        ),
        seed=seed,
    )


def test_samples_of_shards_do_not_depend_on_the_workers(shards):
    def drawn(loader):
        loader.sampler.set_epoch(1)
        return torch.cat([batch['inputs'] for batch in loader])

    assert torch.equal(drawn(loader_of(shards)), drawn(loader_of(shards, workers=2)))


def synthetic(folder, count, per_shard=2000):
    """An index of ``count`` images as ``write_index`` writes it, with sparse shards."""
    folder.mkdir()
    sizes = np.random.RandomState(0).randint(20_000, 60_000, count).astype(np.uint32)
    names = ''.join(f'n{i % 1000:08d}/image_{i:012d}.jpg' for i in range(count)).encode()
    entries = np.zeros(count, ENTRY)
    entries['shard'] = np.arange(count) // per_shard
    entries['label'] = np.arange(count) % 1000
    entries['offset'] = 512
    entries['size'] = sizes
    entries['name'] = np.arange(count) * 32
    np.save(folder / 'index.npy', entries)
    np.save(folder / 'index_names.npy', np.frombuffer(names, np.uint8))
    shards = []
    for number in range(-(-count // per_shard)):
        images = min(per_shard, count - number * per_shard)
        (folder / f'shard-{number:06d}.tar').touch()
        shards.append(dict(name=f'shard-{number:06d}.tar', bytes=0, images=images))
    classes = [f'n{i:08d}' for i in range(1000)]
    described = dict(format=1, shards=shards, classes=classes, bytes_of_names=len(names), settings={})
    (folder / 'index.json').write_text(json.dumps(described))
    return folder


@pytest.mark.parametrize('count', [100_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_many_images_take_little_memory_and_time(tmp_path, count):
    folder = synthetic(tmp_path / 'many', count)
    tracemalloc.start()
    start = time.monotonic()
    dataset = SeededDataset(dict(type='mmpretrain.CustomDataset', data_root=str(folder)))
    sampler = SeededSampler(dataset, seed=1)
    keys = iter(sampler)
    first = [next(keys) for _ in range(100)]
    seconds, memory = time.monotonic() - start, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(dataset) == count and len({key.index for key in first}) == 100
    assert dataset.get_data_info(count - 1)['img_path'].endswith(f'image_{count - 1:012d}.jpg')
    # The bars of a million images, 200 MB and 10 s, by the image; tracing memory costs time of its own.
    assert memory < 200 * count + 4_000_000
    assert seconds < 10 * max(count / 1_000_000, 0.3)


def test_an_epoch_draws_everything_once_and_some_shards_at_a_time(tmp_path, monkeypatch):
    folder = synthetic(tmp_path / 'many', 10_000, per_shard=100)
    dataset = ShardedImages(str(folder), window=500)

    def order(epoch, rank=0, world=1, seed=5, round_up=False):
        monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda: (rank, world))
        sampler = SeededSampler(dataset, seed=seed, round_up=round_up)
        sampler.set_epoch(epoch)
        return [key.index for key in sampler]

    first = order(0)
    assert sorted(first) == list(range(10_000)) and first == order(0)
    assert first != order(1) and first != order(0, seed=6)
    for start in range(0, 10_000, 500):
        assert len({index // 100 for index in first[start : start + 500]}) == 5
    neighbors = np.diff(first)
    assert (neighbors == 1).mean() < 0.02  # images of a window are not in the order of the shards
    # Ranks share the order as DefaultSampler's do.
    ranks = [order(0, rank, 3) for rank in range(3)]
    assert [index for group in zip(*ranks, strict=True) for index in group] == first[:9999]
    rounded = [order(0, rank, 3, round_up=True) for rank in range(3)]
    assert {len(rank) for rank in rounded} == {3334} and {i for rank in rounded for i in rank} == set(range(10_000))
    monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda: (0, 1))
    assert [key.index for key in SeededSampler(dataset, shuffle=False, seed=1)] == list(range(10_000))


def test_files_stay_open_up_to_a_number(shards, monkeypatch):
    from mmimg2vec.datasets.shards import storage

    monkeypatch.setattr(storage, '_OPEN_FILES', 1)
    dataset = ShardedImages(str(shards))
    contents = [dataset.read(i) for i in range(12)]
    assert contents == [dataset.read(i) for i in range(12)]
    assert len(dataset.index.storage._files) == 1
