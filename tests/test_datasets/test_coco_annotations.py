"""Annotations that are not quite COCO: mended where nothing has to be guessed, otherwise one line."""

import copy
import json

import pytest

from mmimg2vec.datasets.annotations.coco import mend_coco
from mmimg2vec.datasets.preparation import apply_to, check_data
from mmimg2vec.errors import UserError


def square(x, y, side):
    return [x, y, x + side, y, x + side, y + side, x, y + side]


def content(objects=20):
    return dict(
        images=[dict(id=7 + i, file_name=f'{i}.jpg', height=60, width=80) for i in range(2)],
        categories=[dict(id=1, name='ball'), dict(id=2, name='key'), dict(id=3, name='star')],
        annotations=[
            dict(
                id=100 + i, image_id=7 + i % 2, category_id=1 + i % 3, bbox=[30 + i % 20, 20, 20, 20], area=400,
                iscrowd=0, segmentation=[square(30 + i % 20, 20, 20)],
            )
            for i in range(objects)
        ],
    )  # fmt: skip


def change_all(**values):
    return lambda c: [a.update({k: v(a) if callable(v) else v for k, v in values.items()}) for a in c['annotations']]


def delete(key, part='annotations', every=1):
    return lambda c: [entry.pop(key) for entry in c[part][::every]]


def read(tmp_path, change, masks=True, objects=20):
    data = content(objects)
    change(data)
    path = tmp_path / 'a.json'
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return mend_coco(path, masks, False, {'0.jpg': (60, 80), '1.jpg': (60, 80)}.get)


RLE = dict(size=[60, 80], counts=[0, 4800])


@pytest.mark.parametrize(('change', 'note', 'key', 'value'), [
    (delete('area'), '20 objects without area', 'area', 400),
    (delete('iscrowd'), '20 objects without iscrowd, set to 0', 'iscrowd', 0),
    (delete('bbox'), '20 objects without box, taken from the mask', 'bbox', [30, 20, 20, 20]),
    (lambda c: [a.update(id=i) for i, a in enumerate(c['annotations'])], '1 objects without id, of id 0', 'id', 20),
    (delete('id'), '20 objects without id', 'id', 1),
    (change_all(id=lambda a: f'u{a["id"]}'), '20 objects without id, of id 0 or of one that is no whole', 'id', 1),
    (change_all(segmentation=lambda a: [*a['segmentation'], [1, 2, 3, 4]]),
     '20 objects with parts that are no polygons', 'segmentation', [square(30, 20, 20)]),
])  # fmt: skip
def test_what_follows_from_the_rest_is_mended(tmp_path, change, note, key, value):
    data, is_mended, notes = read(tmp_path, change)
    assert is_mended and any(note in text for text in notes)
    assert data['annotations'][0][key] == value


@pytest.mark.parametrize('change', [
    delete('height', 'images'), delete('width', 'images'),
    lambda c: [i.update(height=str(i['height']), width=f'{i["width"]}.0') for i in c['images']],
])  # fmt: skip
def test_sizes_of_images(tmp_path, change):
    data, is_mended, notes = read(tmp_path, change)
    assert is_mended and notes == ['height and width of 2 images written as numbers or taken from the files']
    assert all((i['height'], i['width']) == (60, 80) for i in data['images'])


def test_a_good_file_stays_as_it_is(tmp_path):
    assert read(tmp_path, lambda c: None)[1:] == (False, [])
    assert read(tmp_path, delete('segmentation'), masks=False)[1:] == (False, [])
    crowd = change_all(segmentation=lambda a: RLE if a['id'] % 2 else a['segmentation'], iscrowd=lambda a: a['id'] % 2)
    assert read(tmp_path, crowd)[1:] == (False, [])


def test_few_degenerate_objects_are_said(tmp_path):
    """COCO's own training file has a box without extent."""
    _, is_mended, notes = read(tmp_path, lambda c: c['annotations'][3].update(bbox=[5, 5, 0, 9]), objects=100)
    assert not is_mended and notes == ['1 boxes without extent (annotation 103: [5, 5, 0, 9]), left out']
    with pytest.raises(UserError, match=r'1 of 20 objects of .* 1 boxes without extent \(annotation 103'):
        read(tmp_path, lambda c: c['annotations'][3].update(bbox=[5, 5, 0, 9]))


@pytest.mark.parametrize(('change', 'message'), [
    (delete('segmentation'), r'20 of 20 objects of .*a.json have no usable mask \(annotation 100: no mask\)'),
    (delete('segmentation', every=3), r'7 of 20 objects'),
    (change_all(segmentation=[]), 'no usable mask .annotation 100: no mask'),
    (change_all(segmentation=[[]]), 'a polygon of 0 numbers'),
    (change_all(segmentation=lambda a: [a['bbox']]), r'annotation 100: a box \(4 numbers\) in place of a polygon'),
    (change_all(segmentation=lambda a: [[*a['segmentation'][0], 1]]), 'a polygon of 9 numbers'),
    (change_all(segmentation=lambda a: a['segmentation'][0]), 'one list of numbers in place of a list of polygons'),
    (change_all(segmentation=dict(size=[80, 60], counts='abc')),
     r'run lengths for 80 x 60 px, and the image has 60 x 80'),
    (change_all(segmentation=dict(size=[60, 80], counts=[1, 2])), 'do not add up to 60 x 80'),
    (change_all(segmentation=dict(size=[60, 80], counts=[-1, 4801])), 'lengths that are no whole numbers from 0'),
    (change_all(segmentation=dict(size=[60, 80], counts=[0.5, 4799.5])), 'lengths that are no whole numbers from 0'),
    (change_all(segmentation=dict(size=[60, 80], counts='!!garbage')), 'run lengths that cannot be decoded'),
    (lambda c: c['images'].append(dict(c['images'][0], id=99)), r'lists the image 0.jpg more than once \(ids 7, 99\)'),
    (change_all(segmentation=[[30, 20, 40, 30, 50, 40]]), '20 flat polygons'),
    (change_all(segmentation=[square(1, 1, 3)]), 'masks outside their box'),
    (change_all(iscrowd=1), 'all 20 objects of .* are marked iscrowd: 1'),
    (lambda c: c['annotations'][1].update(id=100), 'has 2 annotations of the id 100: give each its own'),
    (lambda c: c['images'][1].update(id=7), 'two images of the id 7'),
    (lambda c: c['categories'].append(dict(id=9, name='ball')), "two categories of the name 'ball'"),
    (change_all(category_id=lambda a: a['category_id'] - 1), r'7 of 20 annotations .* off by one; add 1 to each'),
    (change_all(category_id=lambda a: str(a['category_id'])), 'one of them is text, the other a number'),
    (change_all(category_id=50), 'correct them, or add the categories'),
    (change_all(image_id=lambda a: str(a['image_id'])), '20 of 20 annotations .* images that it does not list'),
    (change_all(bbox=lambda a: [a['bbox'][0], 20, a['bbox'][0] + 20, 40]),
     r'\d+ of 20 boxes .* reach out .* read as x1, y1, x2, y2 all of them fit'),
    (change_all(bbox=lambda a: [a['bbox'][0] + 10000, 20, 20, 20]), '20 of 20 boxes .* they belong to other images'),
    (change_all(bbox=[0.2, 0.2, 0.5, 0.5]), 'all boxes of .* are between 0 and 1'),
    (change_all(bbox=[30, 20, 0, 20]), '20 boxes without extent'),
    (change_all(bbox=[30, 20, -5, 20]), '20 boxes of negative width or height'),
    (lambda c: c['categories'][0].update(name=3), r'a category whose name is no text \(.*: 3'),
    (change_all(area=0), '20 of area 0'),
    (change_all(bbox=['30', '20', '20', '20']), r"annotation 100 has '30' in \"bbox\": write numbers"),
    (change_all(bbox=[float('nan'), 0, 1, 1]), 'annotation 100 has nan'),
    (change_all(bbox=[1, 2, 3]), r'has the box \[1, 2, 3\]: write \[x, y, width, height\]'),
    (lambda c: c.pop('categories'), 'has no list "categories"'),
    (lambda c: c.update(annotations=[]), 'has no annotations: there is nothing to train on'),
    (delete('file_name', 'images'), 'an image without "id" or "file_name"'),
])  # fmt: skip
def test_what_cannot_be_mended_is_one_line(tmp_path, change, message):
    with pytest.raises(UserError, match=message) as error:
        read(tmp_path, change)
    assert 'a.json' in str(error.value) and '\n' not in str(error.value)


@pytest.mark.parametrize(('text', 'message'), [
    (b'', 'is empty'), (b'<html><body>404', 'is a web page or XML'), (b'\x1f\x8b\x08rest', 'is compressed'),
    (json.dumps(content()).encode()[:700], r'ends in the middle \(cut short\)'),
    (json.dumps(content()['annotations']).encode(), 'is a bare list of 20 entries'),
    (b'\n'.join(json.dumps(entry).encode() for entry in content()['annotations']), 'is JSON lines, an object on each'),
    (b'version https://git-lfs.github.com/spec/v1\noid sha256:1\n', 'is a pointer of Git LFS'),
    (b'{"images": [,]}', 'is no JSON'), (b'{"name": "\xe9"}', 'is not UTF-8'),
])  # fmt: skip
def test_files_that_are_something_else(tmp_path, text, message):
    path = tmp_path / 'a.json'
    path.write_bytes(text)
    with pytest.raises(UserError, match=message):
        mend_coco(path, True, False, lambda name: None)


def loaders(path, ann_file='a.json', **metric):
    dataset = dict(
        type='mmdet.CocoDataset', data_root=str(path), ann_file=ann_file,
        pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True)],
    )  # fmt: skip
    configs = dict(train_dataloader=dict(dataset=copy.deepcopy(dataset)), val_dataloader=dict(dataset=dataset))
    return configs, dict(val_evaluator=dict(type='CocoMetric', **metric))


def test_dataset_and_evaluator_read_the_same_mended_copy(tmp_path):
    data = content()
    delete('area')(data)
    (tmp_path / 'a.json').write_text('\ufeff' + json.dumps(data), encoding='utf-8')
    configs, evaluators = loaders(tmp_path, ann_file='a.json', metric='bbox')
    evaluators['val_evaluator']['ann_file'] = str(tmp_path / 'a.json')
    copies, (note,) = check_data(configs, evaluators, tmp_path / 'work')
    assert 'byte order mark removed; 20 objects without area' in note
    apply_to(configs, evaluators, copies)
    (mended,) = (tmp_path / 'work' / 'annotations').iterdir()
    assert json.loads(mended.read_text())['annotations'][0]['area'] == 400
    val = configs['val_dataloader']['dataset']
    assert val['type'] == 'mmimg2vec.EvaluationDataset'
    found = {configs['train_dataloader']['dataset']['ann_file'], val['dataset']['ann_file']}
    assert found | {evaluators['val_evaluator']['ann_file']} == {str(mended)}
    assert val['dataset']['pipeline'][0]['type'] == 'mmimg2vec.LoadImage'


def test_splits_are_checked_for_what_they_are_asked(tmp_path):
    data = content()
    delete('segmentation')(data)
    (tmp_path / 'a.json').write_text(json.dumps(data))
    assert check_data(*loaders(tmp_path, metric='bbox'), tmp_path) == ({}, [])
    with pytest.raises(UserError, match=r'no usable mask'):
        check_data(*loaders(tmp_path, metric=['bbox', 'segm']), tmp_path)
    data['images'].append(dict(id=99, file_name='2.jpg', height=60, width=80))
    (tmp_path / 'b.json').write_text(json.dumps(data))
    configs, evaluators = loaders(tmp_path, metric='bbox')
    evaluators['val_evaluator']['ann_file'] = str(tmp_path / 'b.json')
    with pytest.raises(UserError, match=r'scores against .*b.json, the dataset reads .*a.json, and 1 images'):
        check_data(configs, evaluators, tmp_path)
    with pytest.raises(UserError, match=r'no annotation file'):
        check_data(*loaders(tmp_path, ann_file='none.json', metric='bbox'), tmp_path)
    for key in ('ann_file', 'proposal_file'):
        configs, evaluators = loaders(tmp_path)
        configs['val_dataloader']['dataset'][key] = 'x.pkl'
        with pytest.raises(
            UserError, match=rf'val_dataloader.dataset.{key}=x.pkl: annotations are read from JSON and text'
        ):
            check_data(configs, evaluators, tmp_path)
    configs, evaluators = loaders(tmp_path)
    configs['train_dataloader']['dataset']['metainfo'] = dict(classes='ball')
    with pytest.raises(UserError, match=r"write a list, with its comma: classes=\('ball',\)"):
        check_data(configs, evaluators, tmp_path)


@pytest.mark.parametrize(('key', 'value'), [('batch_size', 0), ('batch_size', 2.5), ('num_workers', -1)])
def test_numbers_of_a_dataloader(tmp_path, key, value):
    configs, evaluators = loaders(tmp_path)
    configs['val_dataloader'][key] = value
    with pytest.raises(UserError, match=rf'val_dataloader.{key}={value}: set a whole number of [01] or more'):
        check_data(configs, evaluators, tmp_path)
