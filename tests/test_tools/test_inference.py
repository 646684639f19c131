"""Images in, pictures out, with a tiny model of each of the three tasks."""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from tool_scripts import load_tool

from mmimg2vec.checkpoint.serialization import to_serializable
from mmimg2vec.engine.command_line import run
from mmimg2vec.errors import UserError
from mmimg2vec.inference import infer
from mmimg2vec.inference.segmentation import Inferencer

ROOT = Path(__file__).resolve().parents[2]
CLASSES = ('ball', 'fish', 'star')
WINNER = 1
MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
BACKBONE = dict(
    type='mmpretrain.VisionTransformer',
    arch=dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32),
    img_size=32,
    patch_size=8,
    out_type='featmap',
    # Long gone when the trained model is used.
    init_cfg=dict(type='Pretrained', checkpoint='gone/backbone.pth', prefix='backbone.'),
)


def loader(dataset, *pipeline):
    return dict(batch_size=1, num_workers=0, dataset=dict(**dataset, pipeline=list(pipeline)), sampler=None)


def classifier():
    return dict(
        default_scope='mmpretrain',
        custom_imports=dict(imports=['mmimg2vec']),
        model=dict(
            type='ImageClassifier',
            backbone={**BACKBONE, 'out_type': 'cls_token'},
            head=dict(type='LinearClsHead', num_classes=3, in_channels=16),
            data_preprocessor=dict(mean=MEAN, std=STD, to_rgb=True, num_classes=3),
        ),
        test_dataloader=loader(
            dict(type='CustomDataset', data_root='nowhere', metainfo=dict(classes=CLASSES)),
            dict(type='mmimg2vec.LoadImage'),
            dict(type='Resize', scale=(32, 32)),
            dict(type='PackInputs'),
        ),
    )


def detector():
    roi = dict(type='SingleRoIExtractor', out_channels=8, featmap_strides=[8])
    box_coder = dict(type='DeltaXYWHBBoxCoder')
    nms = dict(nms_pre=20, max_per_img=5, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0)
    return dict(
        default_scope='mmdet',
        custom_imports=dict(imports=['mmimg2vec']),
        model=dict(
            type='MaskRCNN',
            data_preprocessor=dict(type='DetDataPreprocessor', mean=MEAN, std=STD, bgr_to_rgb=True, pad_mask=True),
            backbone=BACKBONE,
            neck=dict(type='FPN', in_channels=[16], out_channels=8, num_outs=1),
            rpn_head=dict(
                type='RPNHead',
                in_channels=8,
                feat_channels=8,
                anchor_generator=dict(type='AnchorGenerator', scales=[2], ratios=[1.0], strides=[8]),
                bbox_coder=box_coder,
            ),
            roi_head=dict(
                type='StandardRoIHead',
                bbox_roi_extractor=dict(**roi, roi_layer=dict(type='RoIAlign', output_size=7)),
                bbox_head=dict(
                    type='Shared2FCBBoxHead', in_channels=8, fc_out_channels=8, num_classes=3, bbox_coder=box_coder
                ),
                mask_roi_extractor=dict(**roi, roi_layer=dict(type='RoIAlign', output_size=14)),
                mask_head=dict(type='FCNMaskHead', num_convs=1, in_channels=8, conv_out_channels=8, num_classes=3),
            ),
            train_cfg=None,
            test_cfg=dict(
                rpn=nms,
                rcnn=dict(score_thr=0.05, nms=dict(type='nms', iou_threshold=0.5), max_per_img=5, mask_thr_binary=0.5),
            ),
        ),
        test_dataloader=loader(
            dict(type='CocoDataset', data_root='nowhere', ann_file='nothing.json', metainfo=dict(classes=CLASSES)),
            dict(type='mmimg2vec.LoadImage'),
            dict(type='Resize', scale=(64, 64), keep_ratio=True),
            dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
            dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
        ),
    )


def segmenter():
    return dict(
        default_scope='mmseg',
        custom_imports=dict(imports=['mmimg2vec']),
        model=dict(
            type='EncoderDecoder',
            data_preprocessor=dict(type='SegDataPreProcessor', mean=MEAN, std=STD, bgr_to_rgb=True, size=(32, 32)),
            backbone={**BACKBONE, 'out_indices': (0, 1)},
            decode_head=dict(
                type='UPerHead',
                in_channels=[16, 16],
                in_index=[0, 1],
                pool_scales=(1, 2),
                channels=8,
                num_classes=3,
                norm_cfg=dict(type='SyncBN'),
                align_corners=False,
            ),
            test_cfg=dict(mode='whole'),
        ),
        test_dataloader=loader(
            dict(
                type='BaseSegDataset',
                data_root='nowhere',
                reduce_zero_label=True,
                metainfo=dict(classes=CLASSES, palette=[[255, 0, 0], [0, 255, 0], [0, 0, 255]]),
            ),
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=(48, 32), keep_ratio=True),
            dict(type='LoadAnnotations', reduce_zero_label=True),
            dict(type='PackSegInputs'),
        ),
    )


TASKS = dict(classification=classifier, detection=detector, segmentation=segmenter)
LIBRARIES = dict(detection='mmdet', segmentation='mmseg')
# The layer of each model whose bias is raised for one class.
LAST = dict(classification='head.fc', detection='roi_head.bbox_head.fc_cls', segmentation='decode_head.conv_seg')


def build(cfg, seed=0):
    torch.manual_seed(seed)
    with DefaultScope.overwrite_default_scope(cfg['default_scope']):
        return MODELS.build(Config(cfg).model)


def save(model, path, **meta):
    """As SafeCheckpointHook leaves it."""
    torch.save(to_serializable({'meta': meta, 'state_dict': model.state_dict()}), path)
    return path


def write_image(path, height=40, width=56):
    rng = np.random.RandomState(height + width)
    small = rng.randint(0, 256, (5, 7, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.resize(small, (width, height)))
    return path


def trained(task, tmp_path):
    """Config, checkpoint and model that always names the same class."""
    if task in LIBRARIES:
        pytest.importorskip(LIBRARIES[task])
    cfg = TASKS[task]()
    model = build(cfg)
    model.get_submodule(LAST[task]).bias.data[WINNER] += 50
    file = tmp_path / f'{task}.py'
    Config(cfg).dump(file)
    meta = dict(dataset_meta=dict(classes=CLASSES, palette=[(9, 9, 9), (0, 200, 0), (1, 1, 1)]))
    return file, save(model, tmp_path / f'{task}.pth', **meta), model


def scope_name():
    # Not the object: mmengine copies it.
    scope = DefaultScope.get_current_instance()
    return None if scope is None else scope.scope_name


@pytest.mark.parametrize('task', TASKS)
def test_pictures_and_predictions(task, tmp_path):
    config, checkpoint, _ = trained(task, tmp_path)
    images = [write_image(tmp_path / 'in' / 'a.jpg'), write_image(tmp_path / 'in/b/c.png', 48, 40)]
    scope = scope_name()
    lines = []
    result = infer(config, checkpoint, tmp_path / 'in', tmp_path / 'out', device='cpu', report=lines.append)
    assert scope_name() == scope
    shown = [f'{images[0]} -> {tmp_path}/out/a.png', f'{images[1]} -> {tmp_path}/out/b_c.png']
    assert [line for line in lines if ' -> ' in line][:2] == [f'1/2: {shown[0]}', f'2/2: {shown[1]}']
    assert result['task'] == task
    assert result['classes'] == list(CLASSES)
    assert [entry['image'] for entry in result['images']] == list(map(str, images))
    assert [entry['picture'] for entry in result['images']] == ['a.png', 'b_c.png']
    stored = json.loads((tmp_path / 'out' / 'predictions.json').read_text())
    assert stored == json.loads(json.dumps(result))
    for entry, source in zip(result['images'], images, strict=True):
        picture = cv2.imread(str(tmp_path / 'out' / entry['picture']))
        original = cv2.imread(str(source))
        if task != 'classification':  # whose pictures are enlarged
            assert picture.shape == original.shape
            assert (picture != original).any()
        check_prediction(task, entry, original.shape[:2], tmp_path / 'out')


def check_prediction(task, entry, shape, out):
    if task == 'classification':
        assert (entry['label'], entry['class']) == (WINNER, 'fish')
        assert entry['score'] == pytest.approx(1, abs=1e-4)
        assert len(entry['top']) == 3
    elif task == 'detection':
        assert entry['objects']
        for found in entry['objects']:
            assert (found['label'], found['class']) == (WINNER, 'fish')
            left, top, right, bottom = found['bbox']
            assert 0 <= left < right <= shape[1] and 0 <= top < bottom <= shape[0]
            assert found['mask']['size'] == list(shape)
    else:
        assert entry['shares'] == {'fish': 1.0}
        labels = cv2.imread(str(out / entry['labels']), cv2.IMREAD_UNCHANGED)
        assert labels.shape == shape
        assert (labels == WINNER).all()


def test_pixels_reach_the_classifier_as_in_training(tmp_path):
    config, _, _ = trained('classification', tmp_path)
    model = build(classifier(), seed=3)
    model.eval()
    checkpoint = save(model, tmp_path / 'other.pth')
    image = write_image(tmp_path / 'a.png')
    result = infer(config, checkpoint, image, tmp_path / 'out', device='cpu')
    rgb = cv2.resize(cv2.imread(str(image)), (32, 32))[..., ::-1].astype(np.float32)
    inputs = torch.from_numpy((rgb - np.float32(MEAN)) / np.float32(STD)).permute(2, 0, 1)[None]
    with torch.no_grad():
        scores = model(inputs.float()).softmax(1)[0]
    found = {entry['label']: entry['score'] for entry in result['images'][0]['top']}
    assert [found[label] for label in range(3)] == pytest.approx(scores.tolist(), abs=1e-4)
    # The checkpoint names no classes: the config does.
    assert result['classes'] == list(CLASSES)


@pytest.mark.parametrize(('side', 'shown'), [(40, 320), (320, 320), (350, 350)])
def test_pictures_of_classes_are_large_enough_to_read(tmp_path, side, shown):
    config, checkpoint, _ = trained('classification', tmp_path)
    write_image(tmp_path / 'a.jpg', side, side * 2)
    infer(config, checkpoint, tmp_path / 'a.jpg', tmp_path / 'out', device='cpu')
    assert cv2.imread(str(tmp_path / 'out' / 'a.png')).shape == (shown, 2 * shown, 3)


@pytest.mark.parametrize(('count', 'dtype'), [(3, np.uint8), (256, np.uint8), (257, np.uint16)])
def test_maps_hold_the_indices_of_all_classes(count, dtype):
    labels = np.array([[0, count - 1, count - 1], [count - 1, 1, 1]])

    class Predicts(Inferencer):
        def __init__(self):
            self.meta = dict(classes=[f'class {index}' for index in range(count)])

        def __call__(self, path, **kwargs):
            return dict(predictions=labels, visualization=None)

    entry, _, found = Predicts().predict('a.jpg', 0.5)
    assert found.dtype == dtype and (found == labels).all()
    shares = {f'class {count - 1}': 0.5, 'class 1': 0.333333, 'class 0': 0.166667}
    assert list(entry['shares'].items()) == list(shares.items())


def test_threshold_of_detections(tmp_path):
    config, checkpoint, _ = trained('detection', tmp_path)
    # One color: matplotlib 3.10 moves what mmengine draws by up to a pixel each time.
    image = np.full((40, 56, 3), (200, 30, 90), np.uint8)
    cv2.imwrite(str(tmp_path / 'a.png'), image)
    result = infer(config, checkpoint, tmp_path / 'a.png', tmp_path / 'out', device='cpu', score_threshold=1.1)
    assert result['images'][0]['objects'] == []
    # Nothing is drawn: the picture is the image, its channels in order.
    assert (cv2.imread(str(tmp_path / 'out' / 'a.png')) == image).all()


@pytest.mark.parametrize('task', TASKS)
def test_weights_of_another_model_are_refused(task, tmp_path, capfd):
    config, _, model = trained(task, tmp_path)
    image = write_image(tmp_path / 'a.png')
    whole = model.state_dict()
    half = {key: value for key, value in whole.items() if key.startswith('backbone.')}
    deeper = {**whole, 'backbone.layers.2.ln1.weight': torch.ones(16)}
    other = {**whole, f'{LAST[task]}.bias': torch.zeros(7)}
    for state, message in (
        (half, 'are missing'),
        (deeper, r'have no place there \(backbone\.layers\.2\.ln1\.weight'),
        (other, r'\.bias is \(7,\) in the file and'),
    ):
        torch.save({'state_dict': state}, tmp_path / 'wrong.pth')
        with pytest.raises(UserError, match=message):
            infer(config, tmp_path / 'wrong.pth', image, tmp_path / 'out', device='cpu')
    assert not (tmp_path / 'out' / 'predictions.json').exists()
    assert 'unexpected key' not in capfd.readouterr().out


def test_position_embeddings_of_another_image_size_fit(tmp_path):
    config, _, _ = trained('classification', tmp_path)
    cfg = classifier()
    cfg['model']['backbone']['img_size'] = 64
    checkpoint = save(build(cfg), tmp_path / 'larger.pth')
    image = write_image(tmp_path / 'a.png')
    assert infer(config, checkpoint, image, tmp_path / 'out', device='cpu')['images']


def test_class_names_have_to_fit_the_head(tmp_path):
    config, checkpoint, model = trained('classification', tmp_path)
    save(model, checkpoint, dataset_meta=dict(classes=('a', 'b')))
    image = write_image(tmp_path / 'a.png')
    with pytest.raises(UserError, match='tells 3 classes apart, and there are 2 class names'):
        infer(config, checkpoint, image, tmp_path / 'out', device='cpu')


def test_images_that_are_not_there(tmp_path):
    config, checkpoint, _ = trained('classification', tmp_path)
    out = tmp_path / 'out'
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'bad.png').write_bytes(b'no image')
    inside = write_image(out / 'a.png')
    for images, message in (
        (tmp_path / 'missing.png', 'no image or folder'),
        (tmp_path / 'empty', 'no images in'),
        ([], 'no images: name'),
        (tmp_path / 'bad.png', 'none of the 1 images can be read'),
        (inside, 'holds the images themselves'),
    ):
        with pytest.raises(UserError, match=message):
            infer(config, checkpoint, images, out, device='cpu')


def test_pictures_have_different_names(tmp_path):
    config, checkpoint, _ = trained('classification', tmp_path)
    images = [write_image(tmp_path / folder / 'a.png') for folder in ('x', 'y')]
    images.append(write_image(tmp_path / 'x' / 'a.jpg'))
    result = infer(config, checkpoint, images, tmp_path / 'x' / 'out', device='cpu')
    assert [entry['picture'] for entry in result['images']] == ['a.png', 'a_2.png', 'a_3.png']
    # What was written below the images is no input of the next run.
    again = infer(config, checkpoint, tmp_path / 'x', tmp_path / 'x' / 'out', device='cpu')
    assert len(again['images']) == 2


def test_files_of_others_stay(tmp_path):
    """A data set's own labels and predictions.json are not written over; what an earlier call wrote is."""
    config, checkpoint, _ = trained('segmentation', tmp_path)
    data = tmp_path / 'data'
    write_image(data / 'images' / 'im0.jpg')
    label = write_image(data / 'labels' / 'im0.png')
    before = label.read_bytes()
    for images in (data / 'images', data / 'images' / 'im0.jpg'):
        with pytest.raises(UserError, match=r'labels/im0.png would be replaced.*another folder .*--overwrite'):
            infer(config, checkpoint, images, data, device='cpu')
    assert label.read_bytes() == before and not (data / 'im0.png').exists()
    label.unlink()
    (data / 'predictions.json').write_text('{"images": []}')
    with pytest.raises(UserError, match=r'predictions.json would be replaced'):
        infer(config, checkpoint, data / 'images', data, device='cpu')
    infer(config, checkpoint, data / 'images', data, device='cpu', overwrite=True)
    infer(config, checkpoint, data / 'images', data, device='cpu')
    assert cv2.imread(str(label), cv2.IMREAD_UNCHANGED).max() == WINNER


@pytest.mark.parametrize('task', TASKS)
def test_an_image_that_fails_costs_no_other_its_results(task, tmp_path):
    config, checkpoint, _ = trained(task, tmp_path)
    write_image(tmp_path / 'in' / 'good.png')
    write_image(tmp_path / 'in' / 'also.png', 48, 40)
    # Pixels that a resize by this config makes none of, in either direction.
    odd = write_image(tmp_path / 'in' / 'odd.png', 2, 600)
    lines = []
    result = infer(config, checkpoint, tmp_path / 'in', tmp_path / 'out', device='cpu', report=lines.append)
    assert {Path(entry['image']).name for entry in result['images']} >= {'good.png', 'also.png'}
    if task == 'detection':
        (skipped,) = result['skipped']
        assert skipped['image'] == str(odd) and 'error' in skipped['reason']
        write_image(tmp_path / 'in' / 'odder.png', 2, 601)
        with pytest.raises(UserError, match=r'2 of 4 images fail, more than max_share=0.01 .*first: .*odd'):
            infer(config, checkpoint, tmp_path / 'in', tmp_path / 'out', device='cpu')
        stored = json.loads((tmp_path / 'out' / 'predictions.json').read_text())
        assert len(stored['images']) == 2 and len(stored['skipped']) == 2
        with pytest.raises(UserError, match=r'none of the 1 images can be predicted for \(first: .*odd.png: '):
            infer(config, checkpoint, odd, tmp_path / 'other', device='cpu')
    assert lines[0] == '3 images found' and lines[1].startswith('1/3: ')


def test_configs_that_predict_nothing(tmp_path):
    _, checkpoint, _ = trained('classification', tmp_path)
    image = write_image(tmp_path / 'a.png')
    cfg = classifier()
    del cfg['test_dataloader']
    with pytest.raises(UserError, match='no test_dataloader'):
        infer(Config(cfg), checkpoint, image, tmp_path / 'out')
    with pytest.raises(UserError, match="default_scope='mmpose'"):
        infer(Config(dict(default_scope='mmpose')), checkpoint, image, tmp_path / 'out')


def command_line(monkeypatch, *arguments):
    tool = load_tool('inference')
    monkeypatch.setattr(sys, 'argv', ['inference.py', *map(str, arguments)])
    try:
        run(tool.main)
    except SystemExit as end:
        return end.code
    return 0


def test_command_line(tmp_path, monkeypatch, capfd):
    config, checkpoint, _ = trained('classification', tmp_path)
    good = write_image(tmp_path / 'in' / 'a.png')
    options = ('--out', tmp_path / 'out', '--device', 'cpu')
    assert command_line(monkeypatch, config, checkpoint, good, *options) == 0
    assert str(tmp_path / 'out' / 'a.png') in capfd.readouterr().out

    cut = tmp_path / 'in' / 'cut.png'
    cut.write_bytes(good.read_bytes()[:-40])
    assert command_line(monkeypatch, config, checkpoint, good.parent, *options) == 1
    assert f'skipped: {cut}: cut short' in capfd.readouterr().err
    stored = json.loads((tmp_path / 'out' / 'predictions.json').read_text())
    assert stored['skipped'] == [{'image': str(cut), 'reason': 'cut short'}]
    assert [entry['image'] for entry in stored['images']] == [str(good)]

    missing = tmp_path / 'missing.pth'
    assert command_line(monkeypatch, config, missing, good, *options) == 2
    error = capfd.readouterr().err.strip().splitlines()
    assert error == [f'mmimg2vec: error: no checkpoint {missing}: check the path']
