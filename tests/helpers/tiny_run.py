"""A pre-training run of one's own images that takes a second: the shipped config with a tiny student."""

from check_configs import ROOT

OWN_IMAGES = ROOT / 'configs/img2vec/img2vec_vit-base-p16_1xb256-amp-coslr-300e_own-images.py'
STUDENT = f"""
_base_ = ['{OWN_IMAGES}']
arch = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=32)
model = dict(
    backbone=dict(
        _delete_=True, type='mmimg2vec.MaskedVisionTransformer', arch=arch, img_size=64, pos_embed='sincos'
    ),
    fusion=dict(blocks=(0, 1)),
    neck=dict(embed_dims=16, depth=1, num_heads=2),
)
_base_.train_dataloader.dataset.dataset.pipeline[0].scale = 64
train_dataloader = dict(batch_size=4, num_workers=0, persistent_workers=False)
optim_wrapper = dict(dtype='float32')
log_level = 'ERROR'
"""
# Of the images' pixels: there is no teacher to fetch.
PIXELS = """
model.update(
    head=dict(global_weight=0), target_generator=dict(_delete_=True, type='mmimg2vec.PixelTargetGenerator')
)
"""
