"""CLIP (arXiv 2103.00020) on Shapes: an image and a text tower, trained by contrast on the captions of the images.

The teacher of cae-v2_vit-tiny-p8_1xb128-coslr-8e_shapes.py, from WORK_DIR/clip.pth in the layout of OpenAI's release.
Unlike the demo's other teacher it has seen captions, which name the class, texture and color of what the image shows.
Logged on the images of `val`: `accuracy/top1`, classes told by texts alone. Measured figures: docs/results.md.
Run: python tools/train.py configs/demo/clip_vit-tiny-p8_1xb128-coslr-10e_shapes.py
"""

_base_ = [
    '../_base_/datasets/shapes_masked.py',
    '../_base_/schedules/shapes_adamw_coslr_8e.py',
    '../_base_/default_runtime.py',
]

max_epochs = 10
work_dir = 'work_dirs/demo/clip'

classes = [*('ball', 'butterfly', 'fish', 'flower', 'gear', 'house', 'key', 'leaf', 'mushroom', 'star')]
textures = [
    *('bricked', 'checked', 'dotted', 'grainy', 'hatched', 'plain', 'ringed', 'scaly', 'striped'),
    *('veined', 'wavy'),
]
colors = [*('red', 'orange', 'yellow', 'green', 'turquoise', 'blue', 'purple', 'pink', 'brown', 'grey')]
# All words that Shapes' captions are made of: "a bricked brown house on a wavy ground".
vocabulary = ['a', 'on', 'ground', *classes, *textures, *colors]

model = dict(
    type='mmimg2vec.CLIP',
    # CLIP's own mean and standard deviation, with which CLIPTargetGenerator will feed the image tower.
    data_preprocessor=dict(
        mean=[122.7709383, 116.7460125, 104.09373615], std=[68.5005327, 66.6321579, 70.32316305], to_rgb=True
    ),
    backbone=dict(
        arch=dict(embed_dims=96, num_layers=3, num_heads=4, feedforward_channels=384),
        img_size=64,
        patch_size=8,
        out_channels=64,
    ),
    text_encoder=dict(vocabulary=vocabulary, embed_dims=64, num_layers=2, num_heads=4, context_length=12),
    classes=classes,
    templates=[f'a {texture} {color} {{}} on a plain ground' for texture in textures for color in colors],
)

_captioned = dict(type='mmimg2vec.CaptionDataset', data_root=_base_.data_root + '/imagenet', vocabulary=vocabulary)
_pack = dict(type='mmpretrain.PackInputs', meta_keys=('caption', 'img_path'))
train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            _delete_=True,
            **_captioned,
            data_prefix='train',
            caption_file='captions_train.json',
            pipeline=[
                dict(type='mmimg2vec.LoadImage'),
                # Parts of the images, on average at their own scale: half the tokens, twice the epochs.
                dict(
                    type='mmpretrain.RandomResizedCrop',
                    scale=48,
                    crop_ratio_range=(0.4, 0.75),
                    backend='cv2',
                    interpolation='bicubic',
                ),
                dict(type='mmpretrain.RandomFlip', prob=0.5),
                _pack,
            ],
        )
    )
)
val_dataloader = dict(
    batch_size=256,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        **_captioned,
        data_prefix='val',
        caption_file='captions_val.json',
        pipeline=[dict(type='mmimg2vec.LoadImage'), _pack],
    ),
)
val_evaluator = dict(type='mmpretrain.Accuracy', topk=(1,))
val_cfg = dict()

optim_wrapper = dict(optimizer=dict(lr=2e-3, betas=(0.9, 0.98)))
train_cfg = dict(max_epochs=max_epochs, val_interval=5)
_base_.param_scheduler[1].end = max_epochs
default_hooks = dict(logger=dict(interval=20))
custom_hooks = [
    dict(type='mmimg2vec.SeededStepHook'),
    dict(type='mmimg2vec.UnreadableImagesHook', max_share=0.01),
    dict(type='mmimg2vec.CLIPExportHook'),
]
