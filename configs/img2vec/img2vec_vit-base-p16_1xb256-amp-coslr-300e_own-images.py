"""Img2Vec, ViT-B/16, on unlabeled images of your own, one GPU.

Paper: arXiv 2304.12535. Not measured here.
The folder of images, flat or with folders inside, or of shards (docs/data.md): `images` below, or the environment
variable IMG2VEC_IMAGES.
An epoch of few images has few steps: give a small folder more epochs (configs/img2vec/README.md, "Images of your own").
Run: python tools/train.py configs/img2vec/img2vec_vit-base-p16_1xb256-amp-coslr-300e_own-images.py
"""

_base_ = [
    '../_base_/models/img2vec_vit-base-p16.py',
    '../_base_/datasets/imagenet_masked.py',
    '../_base_/schedules/adamw_coslr_300e.py',
    '../_base_/default_runtime.py',
]

images = '{{$IMG2VEC_IMAGES:data/my_images}}'
train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            _delete_=True,
            type='mmpretrain.CustomDataset',
            data_root=images,
            with_label=False,
            pipeline=_base_.train_dataloader.dataset.dataset.pipeline,  # as for ImageNet
        )
    )
)

optim_wrapper = dict(optimizer=dict(lr=1.5e-4 * 256 / 256))
auto_scale_lr = dict(base_batch_size=256)
