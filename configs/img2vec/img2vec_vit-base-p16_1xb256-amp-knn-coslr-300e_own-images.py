"""Img2Vec, ViT-B/16, on images of your own, with the kNN accuracy on some labeled ones every 10 epochs.

Paper: arXiv 2304.12535. Not measured here.
The labeled images vote on each other, they are not trained on: LABELLED/train/CLASS/* votes on LABELLED/val/CLASS/*.
Set `labeled` below or the environment variable IMG2VEC_LABELLED, and the unlabeled images as in the config without
kNN. Any other config gets the same by the same `custom_hooks`.
Run: python tools/train.py configs/img2vec/img2vec_vit-base-p16_1xb256-amp-knn-coslr-300e_own-images.py
"""

_base_ = ['img2vec_vit-base-p16_1xb256-amp-coslr-300e_own-images.py']

labeled = '{{$IMG2VEC_LABELLED:data/my_labeled_images}}'

pipeline = [
    dict(type='mmimg2vec.LoadImage'),
    dict(type='mmpretrain.ResizeEdge', scale=256, edge='short', backend='cv2'),
    dict(type='mmpretrain.CenterCrop', crop_size=224),
    dict(type='mmpretrain.PackInputs'),
]
bank, query = (
    dict(
        batch_size=256,
        num_workers=4,
        dataset=dict(type='mmpretrain.CustomDataset', data_root=labeled, data_prefix=split, pipeline=pipeline),
    )
    for split in ('train', 'val')
)
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='mmimg2vec.KNNHook', bank_dataloader=bank, query_dataloader=query, interval=10, k=20),
]
