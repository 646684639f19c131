import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from tool_scripts import load_tool

from mmimg2vec.datasets.cutouts import CLASSES, SEGMENTATION_PALETTE, Cutouts, CutoutsOptions, write_cutouts
from mmimg2vec.datasets.cutouts.stamps import (
    find_stamps,
    listed_stamps,
    load_stamp,
    read_copyright,
    resize_cutout,
    split_pictures,
)
from mmimg2vec.datasets.scenes.views import visible_objects
from mmimg2vec.errors import UserError

COPYRIGHT = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: 2002 by Somebody
License: GPL-2

Files: debian/*
Copyright: 2003 by Another
License: MIT
"""


def draw_stamp(path, number):
    """A colored ellipse with alpha; each picture has a size and a color of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.zeros((40 + number % 7, 50 + number % 5, 4), np.uint8)
    color = [int(x) for x in np.random.default_rng(number).integers(0, 256, 3)]
    cv2.ellipse(image, (25, 20), (20, 12 + number % 4), 0, 0, 360, (*color, 255), -1, cv2.LINE_AA)
    cv2.imwrite(str(path), image)


def make_stamps(root, per_class=5, kinds=('photograph', 'drawing')):
    """A folder as the package installs it, with a few pictures of each class and kind."""
    folder, number = root / 'share/tuxpaint/stamps', 0
    for label in CLASSES:
        for kind in kinds:
            own = [stamp for stamp in listed_stamps() if (stamp.label, stamp.kind) == (label, kind)]
            for stamp in own[:per_class]:
                draw_stamp(folder / stamp.path, number := number + 1)
    copyright_file = root / 'share/doc/tuxpaint-stamps-default/copyright'
    copyright_file.parent.mkdir(parents=True)
    copyright_file.write_text(COPYRIGHT)
    return folder


@pytest.fixture(scope='module')
def stamps(tmp_path_factory):
    return make_stamps(tmp_path_factory.mktemp('package'))


@pytest.fixture
def options(stamps):
    return CutoutsOptions(scenes=10, val_scenes=4, size=96, crop=32, stamps=str(stamps))


def test_list_has_each_picture_once_and_tells_its_kind():
    listed = listed_stamps()
    assert len({stamp.path for stamp in listed}) == len(listed) > 350
    assert {stamp.label for stamp in listed} == set(CLASSES)
    assert {stamp.kind for stamp in listed} == {'photograph', 'drawing'}
    assert all(stamp.kind == 'drawing' for stamp in listed if 'cartoon' in Path(stamp.path).parts)
    assert not any('mirror' in stamp.path for stamp in listed)
    assert list(CLASSES) == sorted(CLASSES)
    assert len(set(SEGMENTATION_PALETTE)) == 1 + len(CLASSES)


def test_drawings_come_in_only_where_asked_for_or_where_there_is_nothing_else(stamps):
    chosen = find_stamps(stamps)
    for label, own in chosen.items():
        assert {stamp.kind for stamp in own} == {'drawing' if label == 'house' else 'photograph'}
    assert {stamp.kind for stamp in find_stamps(stamps, drawings=True)['bird']} == {'photograph', 'drawing'}


def test_no_picture_is_in_both_splits(options, tmp_path):
    write_cutouts(tmp_path / 'out', options)
    seen = {}
    for split in ('train', 'val'):
        content = json.loads((tmp_path / f'out/coco/annotations/instances_{split}.json').read_text())
        seen[split] = {item['attributes']['picture'] for item in content['annotations']}
        assert len(seen[split]) > 5
        world = Cutouts(options)
        assert seen[split] <= {stamp.path for own in world.pictures[split].values() for stamp in own}
    assert not seen['train'] & seen['val']


@pytest.mark.parametrize('share', [0.01, 0.3, 0.99])
def test_split_leaves_pictures_to_both_sides_and_follows_the_seed(stamps, share):
    pictures = find_stamps(stamps)['bird']
    split = split_pictures(pictures, 0, share)
    assert sorted((*split['train'], *split['val']), key=str) == sorted(pictures, key=str)
    assert len(split['val']) == min(max(1, round(share * len(pictures))), len(pictures) - 2)
    assert split == split_pictures(pictures[::-1], 0, share)
    assert any(split_pictures(pictures, seed, share) != split for seed in range(1, 6))


def test_a_scene_depends_on_no_count_and_its_masks_are_what_is_seen(options):
    world = Cutouts(options)
    first, again = world.draw('train', 3), Cutouts(options).draw('train', 3)
    assert np.array_equal(first.image, again.image) and first.objects == again.objects
    assert not np.array_equal(first.image, world.draw('val', 3).image)
    assert first.image.shape == (96, 96, 3)
    assert 2 <= len(first.objects) <= 5
    for index, visible in visible_objects(first).items():
        assert np.array_equal(visible.mask, first.owners == index)
        assert visible.share <= 1


def test_pasted_pixels_have_the_color_of_their_picture(options, stamps, monkeypatch):
    """Without light and camera what the mask says is the object has the picture's colors."""
    from mmimg2vec.datasets.cutouts import world as module
    from mmimg2vec.datasets.scenes.scene import as_picture

    monkeypatch.setattr(module, 'expose', lambda rng, image: as_picture(image))
    world, checked = Cutouts(options), 0
    for number in range(6):
        scene = world.draw('train', number)
        for index, visible in visible_objects(scene).items():
            if visible.area < 60:
                continue
            stamp = load_stamp(stamps / scene.objects[index].attributes['picture'])
            want = stamp[stamp[..., 3] > 250][:, :3].mean(axis=0)
            inner = cv2.erode(visible.mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
            got = scene.image[inner].mean(axis=0)
            # Shading changes the brightness of all colors alike.
            scale = got.sum() / want.sum()
            if got.max() < 250:
                assert np.allclose(got, want * scale, atol=8)
                checked += 1
    assert checked > 5


def test_transparent_pixels_lend_no_color_to_the_rim():
    image = np.zeros((20, 20, 4), np.uint8)
    image[..., :3] = (0, 255, 0)  # green where nobody sees it
    image[5:15, 5:15] = (200, 10, 30, 255)
    small = resize_cutout(image, 0.37)
    seen = small[small[..., 3] > 20]
    assert np.abs(seen[:, :3].astype(int) - (200, 10, 30)).max() <= 2


def test_photographs_to_paste_on_are_split_too(options, tmp_path):
    folder = tmp_path / 'photographs'
    folder.mkdir()
    for number in range(6):
        cv2.imwrite(str(folder / f'{number}.png'), np.full((80, 120, 3), 40 * number, np.uint8))
    world = Cutouts(CutoutsOptions(**{**vars(options), 'backgrounds': str(folder)}))
    seen = {split: {world.draw(split, k).ground['ground_picture'] for k in range(12)} for split in ('train', 'val')}
    assert seen['train'] and seen['val'] and not seen['train'] & seen['val']


def test_copyright_is_that_of_all_files(stamps, tmp_path):
    assert read_copyright(stamps) | {'file': ''} == dict(file='', copyright='2002 by Somebody', license='GPL-2')
    with pytest.raises(UserError, match='--copyright'):
        read_copyright(tmp_path / 'a/b/c')
    (tmp_path / 'empty').write_text('')
    with pytest.raises(UserError, match='does not say'):
        read_copyright(stamps, tmp_path / 'empty')


def test_missing_package_names_the_command_that_installs_it(tmp_path):
    with pytest.raises(UserError, match='apt-get install tuxpaint-stamps-default'):
        find_stamps(tmp_path)


def test_too_few_of_a_class_is_one_line(tmp_path):
    folder = make_stamps(tmp_path, per_class=2, kinds=('photograph',))
    with pytest.raises(UserError, match=r'2 pictures of the class bird, and 3 are needed'):
        find_stamps(folder)


@pytest.mark.parametrize('content', [None, np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9, 4), np.uint8)])
def test_a_picture_without_use_is_one_line(content, tmp_path):
    path = tmp_path / f'{np.size(content)}.png'
    path.write_bytes(b'no picture') if content is None else cv2.imwrite(str(path), content)
    with pytest.raises(UserError, match='install the package of the stamps again'):
        load_stamp(path)


def test_command_line_states_whose_the_pictures_are(stamps, tmp_path, capsys):
    main, out = load_tool('dataset_converters/cutouts').main, tmp_path / 'cutouts'
    small = ['--stamps', str(stamps), '--out', str(out), '--val-scenes', '2', '--size', '96', '--crop', '32']
    main(['--scenes', '3', *small, '--contact-sheet', str(tmp_path / 'sheet.png')])
    printed = capsys.readouterr().out
    assert 'license GPL-2' in printed and '3 + 2 scenes of 96 px' in printed
    assert json.loads((out / 'cutouts.json').read_text())['rights']['license'] == 'GPL-2'
    assert cv2.imread(str(tmp_path / 'sheet.png')).shape[1] == 1200
    main(['--scenes', '3', *small])
    assert 'there already' in capsys.readouterr().out
    with pytest.raises(UserError, match='drawings=False not True'):
        main(['--scenes', '3', '--drawings', *small])
    with pytest.raises(UserError, match='val_share'):
        main(['--val-share', '1.5', *small])


def test_the_three_libraries_find_their_layouts(options, tmp_path):
    out = tmp_path / 'out'
    crops = write_cutouts(out, options)['crops']
    from mmpretrain.datasets import CustomDataset

    dataset = CustomDataset(data_root=str(out / 'imagenet'), data_prefix='train', pipeline=[])
    assert len(dataset) == crops['train']
    assert tuple(dataset.metainfo['classes']) == CLASSES
    coco = json.loads((out / 'coco/annotations/instances_train.json').read_text())
    assert [item['name'] for item in coco['categories']] == list(CLASSES)
    assert len(coco['images']) == 10
    labels = cv2.imread(str(out / 'ade/annotations/training/000000.png'), cv2.IMREAD_UNCHANGED)
    scene = Cutouts(options).draw('train', 0)
    for index, visible in visible_objects(scene).items():
        want = 0 if visible.fragment else 2 + scene.objects[index].class_index
        assert (labels[visible.mask] == want).all()
