"""All foreign namings, by name."""

from __future__ import annotations

from mmimg2vec.checkpoint.layouts.base import Layout
from mmimg2vec.checkpoint.layouts.cae_v2 import CAE_V2
from mmimg2vec.checkpoint.layouts.clip import CLIP
from mmimg2vec.checkpoint.layouts.mff import MFF
from mmimg2vec.checkpoint.layouts.mmpretrain import MMPRETRAIN, SAFETENSORS
from mmimg2vec.checkpoint.layouts.timm import TIMM
from mmimg2vec.checkpoint.layouts.transformers import TRANSFORMERS

LAYOUTS: dict[str, Layout] = {
    layout.name: layout for layout in (CAE_V2, CLIP, MFF, MMPRETRAIN, SAFETENSORS, TIMM, TRANSFORMERS)
}
#: Those that a backbone can be exported to.
EXPORTS = tuple(name for name, layout in LAYOUTS.items() if layout.network is not None)
