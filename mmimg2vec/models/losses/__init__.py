from mmimg2vec.models.losses.contrast_loss import image_text_contrast
from mmimg2vec.models.losses.feature_loss import (
    CosineFeatureLoss,
    MSEFeatureLoss,
    SmoothL1FeatureLoss,
)

__all__ = ['CosineFeatureLoss', 'MSEFeatureLoss', 'SmoothL1FeatureLoss', 'image_text_contrast']
