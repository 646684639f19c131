"""Taking a pre-trained backbone elsewhere.

mmdetection, with the detector of a config of yours::

    cfg = Config.fromfile('mask-rcnn.py')
    cfg.model.backbone = backbone_config('backbone.pth', img_size=1024)
    width = cfg.model.backbone.arch.embed_dims
    cfg.model.neck = dict(type='mmimg2vec.SimpleFeaturePyramid', in_channels=width)

mmsegmentation, with a UPerNet of yours::

    cfg = Config.fromfile('upernet.py')
    cfg.model.backbone = backbone_config('backbone.pth', img_size=512, out_indices=(2, 5, 8, 11))
    width = cfg.model.backbone.arch.embed_dims
    cfg.model.neck = dict(type='Feature2Pyramid', embed_dim=width, rescales=[4, 2, 1, 0.5])
    cfg.model.decode_head.in_channels, cfg.model.auxiliary_head.in_channels = [width] * 4, width

timm, after ``export_backbone.py backbone.pth vit.safetensors --to timm`` (here without this package; ``load_timm`` does
the same)::

    kwargs = json.load(open('vit.safetensors.json'))['kwargs']
    model = timm.models.vision_transformer.VisionTransformer(**kwargs)
    model.load_state_dict(safetensors.torch.load_file('vit.safetensors'))
"""

from mmimg2vec.export.convert import export_backbone
from mmimg2vec.export.downstream import backbone_config
from mmimg2vec.export.timm_model import import_timm, load_timm

__all__ = ['backbone_config', 'export_backbone', 'import_timm', 'load_timm']
