import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from tool_scripts import load_tool

from mmimg2vec.datasets.scenes import contact_sheet
from mmimg2vec.datasets.scenes.surfaces import COLORS, GROUND_TEXTURES, TEXTURES
from mmimg2vec.datasets.scenes.textures import texture_field
from mmimg2vec.datasets.scenes.views import (
    crop_object,
    encode_rle,
    segmentation_map,
    visible_objects,
)
from mmimg2vec.datasets.shapes import (
    CLASSES,
    SEGMENTATION_CLASSES,
    SEGMENTATION_PALETTE,
    Shapes,
    ShapesOptions,
    draw_scene,
    write_shapes,
)
from mmimg2vec.datasets.shapes.silhouettes import draw_parts
from mmimg2vec.datasets.shapes.vocabulary import TRAITS, draw_word
from mmimg2vec.datasets.shapes.world import VAL_START
from mmimg2vec.errors import UserError

OPTIONS = ShapesOptions(scenes=12, val_scenes=4, size=128, crop=32)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def shapes(tmp_path_factory):
    out = tmp_path_factory.mktemp('data') / 'shapes'
    write_shapes(out, OPTIONS)
    return out


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob('*')) if path.is_file()}


# ---------------------------------------------------------------- scenes


# Of scenes 0 to 5 of seed 7, at 96 px: brightness of nine fields, and the mean step between neighboring pixels of a
# row. Drawn by this code; kept so that "the same Shapes" means the same images in every version.
GOLDEN = [
    ([107.9, 87.5, 96.5, 101.1, 104.2, 101.4, 98.0, 97.4, 101.5], 10.82),
    ([139.3, 169.6, 171.8, 152.6, 154.4, 185.7, 193.0, 186.5, 168.5], 10.40),
    ([157.9, 159.0, 165.9, 156.2, 155.2, 163.6, 133.6, 148.4, 157.4], 10.47),
    ([97.4, 96.5, 102.5, 95.0, 97.9, 102.0, 105.8, 100.5, 93.9], 9.83),
    ([146.6, 135.6, 199.9, 154.9, 152.6, 185.4, 205.4, 174.2, 205.7], 6.38),
    ([101.6, 138.1, 122.4, 133.1, 124.5, 107.7, 145.0, 119.4, 104.9], 11.08),
]


@pytest.mark.parametrize('index', range(6))
def test_scenes_stay_what_they_are(index):
    image = draw_scene(7, index, 96).image.astype(float)
    fields, step = GOLDEN[index]
    # Versions of OpenCV round differently.
    assert image.reshape(3, 32, 3, 32, 3).mean((1, 3, 4)).ravel() == pytest.approx(fields, abs=0.5)
    assert np.abs(np.diff(image, axis=1)).mean() == pytest.approx(step, rel=0.02)


def test_scene_is_a_function_of_seed_and_index():
    first, again = draw_scene(3, 5, 96), draw_scene(3, 5, 96)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.owners, again.owners)
    assert first.objects == again.objects
    assert not np.array_equal(first.image, draw_scene(3, 6, 96).image)
    assert not np.array_equal(first.image, draw_scene(4, 5, 96).image)


def test_drawing_leaves_the_global_random_state_alone():
    np.random.seed(0)
    draw_scene(0, 0, 96)
    after = np.random.random()
    np.random.seed(0)
    assert after == np.random.random()


def test_image_and_owners_have_the_promised_form():
    scene = draw_scene(0, 1, 96)
    assert scene.image.shape == (96, 96, 3)
    assert scene.image.dtype == np.uint8
    assert scene.owners.shape == (96, 96)
    assert set(np.unique(scene.owners)) <= {-1, *range(len(scene.objects))}
    assert 3 <= len(scene.objects) <= 6


def test_nearer_objects_hide_farther_ones():
    """The last object is seen whole where the frame does not cut it; some of the earlier ones are not."""
    shares = {'last': [], 'earlier': []}
    for index in range(12):
        scene = draw_scene(0, index, 128)
        for k, item in enumerate(scene.objects):
            reach = 1.4 * item.radius + 4
            if min(item.center) > reach and max(item.center) < 128 - reach:
                place = 'last' if k == len(scene.objects) - 1 else 'earlier'
                shares[place].append(scene.visible_mask(k).sum() / item.full_area)
    assert len(shares['last']) > 2
    assert set(shares['last']) == {1.0}
    assert min(shares['earlier']) < 0.9


def test_owners_are_the_pixels_that_an_object_changed(monkeypatch):
    """Take away the last object: the picture changes where it is (and in its shadow), its pixels come free."""
    from mmimg2vec.datasets.shapes import scenes

    monkeypatch.setattr(scenes, 'cast_shadow', lambda cover, radius, light: np.ones_like(cover))
    monkeypatch.setattr(scenes, 'expose', lambda rng, image: image)
    whole, draw, left = draw_scene(1, 2), scenes.paint_object, []

    def without_last(*args):
        left.append(1)
        drawn = draw(*args)
        if len(left) < len(whole.objects):
            return drawn
        return drawn._replace(cover=np.zeros_like(drawn.cover))

    monkeypatch.setattr(scenes, 'paint_object', without_last)
    less = draw_scene(1, 2)
    last = len(whole.objects) - 1
    mask = whole.visible_mask(last)
    changed = (whole.image != less.image).any(axis=0)
    assert mask.sum() > 50
    assert changed[mask].mean() > 0.99
    # beyond the mask only its anti-aliased rim changes
    rim = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert not changed[~rim].any()
    assert np.array_equal(whole.owners[~mask], less.owners[~mask])


def test_scale_light_and_ground_vary():
    scenes = [draw_scene(0, index, 64) for index in range(30)]
    radii = [item.radius for scene in scenes for item in scene.objects]
    assert max(radii) / min(radii) > 1.7
    assert np.std([scene.image.mean() for scene in scenes]) > 15
    assert {scene.ground['ground_texture'] for scene in scenes} == set(GROUND_TEXTURES)
    assert {item.class_index for scene in scenes for item in scene.objects} == set(range(10))


def test_typical_words_are_frequent_but_not_certain():
    rng = np.random.default_rng(0)
    words = [draw_word(rng, ('a', 'b'), (0.5, 0.25), ('a', 'b', 'c', 'd')) for _ in range(4000)]
    share = {word: words.count(word) / len(words) for word in 'abcd'}
    assert share['a'] == pytest.approx(0.5625, abs=0.03)
    assert share['b'] == pytest.approx(0.3125, abs=0.03)
    assert share['d'] == pytest.approx(0.0625, abs=0.02)
    # no two classes share their first texture and first color
    assert len({(t.textures[0], t.colors[0]) for t in TRAITS.values()}) == len(CLASSES)


def test_vocabulary_is_consistent():
    assert list(CLASSES) == sorted(CLASSES)
    assert set(TRAITS) == set(CLASSES)
    assert set(GROUND_TEXTURES) <= set(TEXTURES)
    assert SEGMENTATION_CLASSES[1:] == CLASSES
    assert len(set(SEGMENTATION_PALETTE)) == len(SEGMENTATION_CLASSES)
    for traits in TRAITS.values():
        assert {*traits.textures} <= set(TEXTURES)
        assert {*traits.colors, traits.accent} <= set(COLORS)


@pytest.mark.parametrize('name', CLASSES)
def test_every_class_has_a_body_of_its_own_size(name):
    for seed in range(20):
        parts = draw_parts(name, np.random.default_rng(seed))
        assert {part.role for part in parts} <= {'body', 'accent', 'dark', 'hole'}
        assert 'body' in {part.role for part in parts}
        reach = max(np.abs(part.points).max() for part in parts)
        assert 0.7 < reach < 1.3


@pytest.mark.parametrize('name', TEXTURES)
def test_every_texture_is_a_field_between_0_and_1(name):
    y, x = np.mgrid[0:40, 0:40].astype(np.float32) / 8 - 2
    field = texture_field(name, x, y, np.random.default_rng(0), 8.0)
    assert field.dtype == np.float32
    assert field.shape == (40, 40)
    assert 0 <= field.min() < field.max() <= 1


# ---------------------------------------------------------------- layouts


def test_numbers_of_scenes_do_not_change_a_scene(shapes, tmp_path):
    more = ShapesOptions(scenes=14, val_scenes=5, size=128, crop=32)
    write_shapes(tmp_path / 'more', more)
    few, many = files_of(shapes), files_of(tmp_path / 'more')
    images = [name for name in few if not name.endswith('.json')]
    assert len(images) > 12 * 3 + 4 * 3
    assert all(few[name] == many[name] for name in images)


def test_training_and_validation_scenes_differ(shapes):
    assert (shapes / 'coco/train/000000.jpg').read_bytes() != (shapes / 'coco/val/000000.jpg').read_bytes()


def test_finished_folder_is_recognized(shapes):
    before = {name: path.stat().st_mtime_ns for name, path in _paths(shapes)}
    calls = []
    content = write_shapes(shapes, OPTIONS, lambda done, total: calls.append(done))
    assert not calls
    assert content['crops']['train'] == len(list((shapes / 'imagenet/train').glob('*/*.jpg')))
    assert before == {name: path.stat().st_mtime_ns for name, path in _paths(shapes)}


def _paths(folder):
    return [(str(path), path) for path in sorted(folder.rglob('*'))]


def test_other_options_in_the_same_folder_are_refused(shapes):
    with pytest.raises(UserError, match=r'scenes=12 not 13.*delete that folder'):
        write_shapes(shapes, ShapesOptions(scenes=13, val_scenes=4, size=128, crop=32))


def test_foreign_folder_is_refused_and_left_alone(tmp_path):
    (tmp_path / 'mine.txt').write_text('keep me')
    with pytest.raises(UserError, match='not a folder of Shapes'):
        write_shapes(tmp_path, OPTIONS)
    assert (tmp_path / 'mine.txt').read_text() == 'keep me'


def test_interrupted_writing_leaves_nothing_that_looks_finished(tmp_path):
    out = tmp_path / 'shapes'

    def interrupt(done, total):
        if done == 3:
            raise KeyboardInterrupt

    tiny = ShapesOptions(scenes=4, val_scenes=1, size=96, crop=32)
    with pytest.raises(KeyboardInterrupt):
        write_shapes(out, tiny, interrupt)
    assert not out.exists()
    write_shapes(out, tiny)
    assert (out / 'shapes.json').exists()
    assert [path.name for path in tmp_path.iterdir()] == ['shapes']


@pytest.mark.parametrize('wrong', [dict(scenes=0), dict(seed=-1), dict(size=20), dict(crop=4), dict(context=0.5)])
def test_options_out_of_range_are_refused(wrong, tmp_path):
    with pytest.raises(UserError, match='Shapes'):
        write_shapes(tmp_path / 'out', ShapesOptions(**wrong))
    assert not (tmp_path / 'out').exists()


def test_captions_say_what_is_there(shapes):
    words = json.loads((shapes / 'imagenet/captions_train.json').read_text())
    files = {str(path.relative_to(shapes / 'imagenet/train')) for path in (shapes / 'imagenet/train').glob('*/*.jpg')}
    assert set(words) == files
    for file, item in words.items():
        number, index = Path(file).stem.split('_')
        scene = draw_scene(OPTIONS.seed, int(number), OPTIONS.size)
        thing = scene.objects[int(index)]
        assert CLASSES[thing.class_index] == item['name'] == Path(file).parent.name
        text = f'{item["texture"]} {item["color"]} {item["name"]} on a'
        assert text in item['caption']
        assert item['caption'].endswith(f'{scene.ground["ground_texture"]} ground')
    scenes = json.loads((shapes / 'coco/annotations/captions_train.json').read_text())
    assert len(scenes['annotations']) == OPTIONS.scenes
    assert all(item['caption'].startswith(('a ', 'an ')) for item in scenes['annotations'])


def test_crops_show_enough_of_their_object(shapes):
    words = json.loads((shapes / 'imagenet/captions_train.json').read_text())
    assert all(item['visible'] >= OPTIONS.min_visible for item in words.values())


def test_crops_frame_their_object_at_random_but_whole():
    scene = draw_scene(0, 0, 128)
    marked = scene._replace(image=np.zeros_like(scene.image))
    marked.image[50:70, 40:60] = 255
    box, lit = (40, 50, 20, 20), []
    for framing in ((0.0, 0.0, 0.0), (1.0, 0.0, 1.0), (0.5, 0.5, 0.5)):
        item = scene.objects[0]._replace(framing=framing)
        crop = crop_object(marked._replace(objects=(item,)), 0, box, 1.7, 32)
        assert crop.shape == (32, 32, 3)
        rows, columns = np.nonzero(crop[..., 0] > 127)
        lit.append((columns.min(), columns.max(), rows.min(), rows.max()))
    assert lit[0][0] == 0 and lit[0][2] == 0 and lit[0][1] >= 27  # tight, at the upper left
    assert lit[1][0] == 0 and lit[1][3] == 31 and 17 <= lit[1][1] <= 20  # wide, at the lower left
    # a square that would leave the scene is moved inwards, not padded
    corner = crop_object(marked._replace(objects=(item,)), 0, (0, 0, 40, 20), 1.7, 32)
    assert corner.shape == (32, 32, 3)


def test_run_lengths_agree_with_pycocotools():
    mask_tools = pytest.importorskip('pycocotools.mask')
    rng = np.random.default_rng(0)
    for mask in (rng.random((7, 5)) < 0.4, np.ones((4, 4), bool), np.zeros((3, 6), bool)):
        rle = encode_rle(mask)
        packed = mask_tools.frPyObjects(rle, *rle['size'])
        assert np.array_equal(mask_tools.decode(packed), mask)


def test_masks_are_the_visible_pixels(shapes):
    coco_api = pytest.importorskip('pycocotools.coco')
    coco = coco_api.COCO(str(shapes / 'coco/annotations/instances_val.json'))
    seen_crowd = False
    for image_id in coco.getImgIds():
        scene = draw_scene(OPTIONS.seed, VAL_START + image_id - 1, OPTIONS.size)
        seen = visible_objects(scene)
        labels = cv2.imread(str(shapes / f'ade/annotations/validation/{image_id - 1:06d}.png'), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(labels, segmentation_map(scene, seen))
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=image_id))
        assert len(annotations) == len(seen)
        total = np.zeros(labels.shape, int)
        for annotation, index in zip(annotations, seen, strict=True):
            mask = coco.annToMask(annotation).astype(bool)
            assert np.array_equal(mask, scene.owners == index)
            assert annotation['area'] == mask.sum()
            rows, columns = np.nonzero(mask)
            x, y, width, height = annotation['bbox']
            assert (x, y) == (columns.min(), rows.min())
            assert (x + width, y + height) == (columns.max() + 1, rows.max() + 1)
            label = 0 if annotation['iscrowd'] else annotation['category_id'] + 1
            assert (labels[mask] == label).all()
            seen_crowd |= bool(annotation['iscrowd'])
            total += mask
        assert total.max() == 1
        assert np.array_equal(labels == 1, total == 0)


def test_fragments_are_crowd_and_other():
    scene = draw_scene(0, 1, 128)
    index, visible = next(iter(visible_objects(scene).items()))
    assert not visible.fragment
    hidden = list(scene.objects)
    hidden[index] = hidden[index]._replace(full_area=5 * visible.area)
    scene = scene._replace(objects=tuple(hidden))
    seen = visible_objects(scene)
    assert seen[index].share == pytest.approx(0.2)
    assert seen[index].fragment
    labels = segmentation_map(scene, seen)
    assert (labels[scene.owners == index] == 0).all()
    assert (labels[scene.owners != index] > 0).all()


# ---------------------------------------------------------------- read by the three libraries


def test_mmpretrain_reads_the_imagenet_layout(shapes):
    from mmengine.registry import init_default_scope
    from mmpretrain.datasets import CustomDataset, ImageNet

    init_default_scope('mmpretrain')
    pipeline = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]
    words = json.loads((shapes / 'imagenet/captions_train.json').read_text())
    common = dict(data_root=str(shapes / 'imagenet'), pipeline=pipeline, metainfo=dict(classes=CLASSES))
    for dataset in (
        ImageNet(split='train', **common),
        CustomDataset(data_prefix='train', **common),
    ):
        assert len(dataset) == len(words)
        assert tuple(dataset.metainfo['classes']) == CLASSES
        for index in (0, len(dataset) - 1):
            sample = dataset[index]
            assert sample['inputs'].shape == (3, 32, 32)
            name = Path(sample['data_samples'].img_path).parent.name
            assert CLASSES[int(sample['data_samples'].gt_label)] == name
    flat = CustomDataset(
        data_root=str(shapes / 'imagenet'),
        data_prefix='train',
        pipeline=pipeline,
        with_label=False,
    )
    assert len(flat) == len(words)


def test_mmdet_reads_the_coco_layout(shapes):
    pytest.importorskip('mmdet')
    from mmdet.datasets import CocoDataset
    from mmengine.registry import init_default_scope

    init_default_scope('mmdet')
    dataset = CocoDataset(
        data_root=str(shapes / 'coco'),
        ann_file='annotations/instances_train.json',
        data_prefix=dict(img='train/'),
        metainfo=dict(classes=CLASSES),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
            dict(type='PackDetInputs'),
        ],
    )
    assert len(dataset) == OPTIONS.scenes
    for index in range(3):
        sample = dataset[index]
        scene = draw_scene(OPTIONS.seed, index, OPTIONS.size)
        seen = visible_objects(scene)
        truth = sample['data_samples'].gt_instances
        kept = [k for k, visible in seen.items() if not visible.fragment]
        assert truth.labels.tolist() == [scene.objects[k].class_index for k in kept]
        for mask, k in zip(truth.masks.masks, kept, strict=True):
            assert np.array_equal(mask.astype(bool), scene.owners == k)


def test_mmseg_reads_the_ade20k_layout(shapes):
    pytest.importorskip('mmseg')
    from mmengine.registry import init_default_scope
    from mmseg.datasets import BaseSegDataset

    init_default_scope('mmseg')
    dataset = BaseSegDataset(
        data_root=str(shapes / 'ade'),
        data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
        img_suffix='.jpg',
        seg_map_suffix='.png',
        reduce_zero_label=True,
        metainfo=dict(classes=SEGMENTATION_CLASSES, palette=list(SEGMENTATION_PALETTE)),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', reduce_zero_label=True),
            dict(type='PackSegInputs'),
        ],
    )
    assert len(dataset) == OPTIONS.scenes
    for index in range(3):
        sample = dataset[index]
        scene = draw_scene(OPTIONS.seed, index, OPTIONS.size)
        labels = sample['data_samples'].gt_sem_seg.data[0].numpy()
        assert sample['inputs'].shape == (3, 128, 128)
        assert np.array_equal(labels == 0, scene.owners == -1)  # ground is class 0
        for k, visible in visible_objects(scene).items():
            want = 255 if visible.fragment else 1 + scene.objects[k].class_index
            assert (labels[scene.owners == k] == want).all()


# ---------------------------------------------------------------- command line and picture


def test_contact_sheet_is_a_picture_with_all_classes():
    sheet = contact_sheet(Shapes(ShapesOptions(size=96, crop=32)), columns=4)
    assert sheet.shape[1:] == (1200, 3)
    assert sheet.dtype == np.uint8
    # the row of the last class holds crops up to the right edge
    assert (sheet[-50:-20, 1000:1100] != 250).any()


@pytest.fixture(scope='module')
def command():
    return load_tool('dataset_converters/shapes').main


def test_command_line(command, tmp_path, capsys):
    out, sheet = tmp_path / 'shapes', tmp_path / 'sheet.png'
    small = ['--val-scenes', '1', '--size', '96', '--crop', '32', '--out', str(out)]
    command(['--scenes', '2', *small, '--contact-sheet', str(sheet)])
    assert '2 + 1 scenes of 96 px' in capsys.readouterr().out
    assert sheet.stat().st_size > 10000
    command(['--scenes', '2', *small])
    assert 'there already' in capsys.readouterr().out
    with pytest.raises(UserError, match='other options'):
        command(['--scenes', '3', *small])
    with pytest.raises(UserError, match='nothing to do'):
        command([])
    with pytest.raises(UserError, match=r'\.png'):
        command(['--contact-sheet', str(tmp_path / 'sheet.txt')])
