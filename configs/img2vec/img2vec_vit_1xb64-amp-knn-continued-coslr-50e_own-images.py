"""A released backbone (DINOv2, DINO, MAE, a run of yours) continued on unlabeled images of your own, one GPU.

Method: Img2Vec (arXiv 2304.12535) with the network that it starts from as teacher. Not measured here at this size;
docs/continue.md has the whole way, and what was measured on a small one.
IMG2VEC_BACKBONE: the file, as tools/model_converters/export_backbone.py or a run writes it; of any size and patch,
which are read from it. IMG2VEC_IMAGES: the images. IMG2VEC_LABELLED: some labeled ones, train/CLASS/* and val/CLASS/*,
on which kNN is measured before, during and after.
Run: python tools/train.py configs/img2vec/img2vec_vit_1xb64-amp-knn-continued-coslr-50e_own-images.py
"""

_base_ = ['img2vec_vit-base-p16_1xb256-amp-coslr-300e_own-images.py']

# Student and teacher start from one file, by which the whole network is the file's.
init_cfg = dict(type='Pretrained', checkpoint='{{$IMG2VEC_BACKBONE:backbone.pth}}', prefix='backbone.')
model = dict(
    backbone=dict(pos_embed='learned', init_cfg=init_cfg),
    fusion=None,  # the last block alone, whose tokens the teacher's are
    head=dict(supervision='all', share=0.5),
    target_generator=dict(
        teacher=dict(
            _delete_=True,
            type='mmpretrain.VisionTransformer',
            arch='base',
            img_size=224,
            patch_size=16,
            init_cfg=init_cfg,
        ),
        output_stride=None,
    ),
)

labeled = '{{$IMG2VEC_LABELLED:data/my_labeled_images}}'
_pipeline = [
    dict(type='mmimg2vec.LoadImage'),
    dict(type='mmpretrain.ResizeEdge', scale=256, edge='short', backend='cv2'),
    dict(type='mmpretrain.CenterCrop', crop_size=224),
    dict(type='mmpretrain.PackInputs'),
]
_bank, _query = (
    dict(
        batch_size=64,
        num_workers=4,
        dataset=dict(type='mmpretrain.CustomDataset', data_root=labeled, data_prefix=split, pipeline=_pipeline),
    )
    for split in ('train', 'val')
)
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='mmimg2vec.KNNHook', bank_dataloader=_bank, query_dataloader=_query, interval=5, k=20, before=True),
]

# What was learnt is not to be destroyed: the lower a block, the less it changes, and a warm-up lets the new decoder
# come first (the project's choice).
max_epochs = 50
train_dataloader = dict(batch_size=64)
optim_wrapper = dict(
    optimizer=dict(lr=1.5e-4),
    constructor='mmimg2vec.LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(layer_decay_rate=0.65),
)
train_cfg = dict(max_epochs=max_epochs)
_base_.param_scheduler[0].end = _base_.param_scheduler[1].begin = 5
_base_.param_scheduler[1].end = max_epochs
auto_scale_lr = dict(base_batch_size=64)
