"""The last step of a pre-training pipeline: a sample as the model takes it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmpretrain.datasets.transforms import PackInputs
from mmpretrain.structures import DataSample

from mmimg2vec.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PackMaskedInputs(BaseTransform):
    """Packs image and mask so that mmengine's ``default_collate`` stacks both (the project's choice).

    mmpretrain's ``PackInputs`` puts the mask into the data sample, which is not stacked, pinned or moved.

    Required keys: ``img``, ``mask``, ``token_rank``. The result has

    - ``inputs``: (C, H, W), dtype and channel order of the file as loaded (uint8 and BGR by default);
    - ``mask``: bool (L,), True = masked; ``token_rank``: int64 (L,);
    - ``data_samples``: ``mmpretrain.DataSample`` with the label where there is one, and the meta keys.

    Args:
        meta_keys: Keys kept as meta information where a sample has them.
    """

    def __init__(self, meta_keys: Sequence[str] = ('sample_idx', 'img_path')) -> None:
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict) -> dict:
        """Turn the results of the pipeline into the sample described above."""
        data_sample = DataSample()
        if 'gt_label' in results:
            data_sample.set_gt_label(results['gt_label'])
        data_sample.set_metainfo({key: results[key] for key in self.meta_keys if key in results})
        return {
            'inputs': PackInputs.format_input(results['img']),
            'mask': torch.from_numpy(results['mask']),
            'token_rank': torch.from_numpy(np.asarray(results['token_rank'], dtype=np.int64)),
            'data_samples': data_sample,
        }

    def __repr__(self) -> str:
        return f'{type(self).__name__}(meta_keys={self.meta_keys})'
