"""A dataset wrapper with which an unreadable image does not end a validation or test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS as ROOT_DATASETS
from PIL import Image

from mmimg2vec.datasets.errors import UnreadableImage
from mmimg2vec.datasets.folders import build_dataset
from mmimg2vec.datasets.image_files import UnreadableList
from mmimg2vec.datasets.maps import load_sample
from mmimg2vec.registry import DATASETS

# mmseg's value of pixels that are not scored.
_IGNORED = 255


@DATASETS.register_module()
class EvaluationDataset:
    """Wraps a dataset for validation or test: an unreadable image is scored as a black one, and named.

    An unreadable map is named too, and its pixels are not scored.

    So every image counts once, scores stay comparable, and the score can only lose by it
    (``mmimg2vec.UnreadableImagesHook`` ends the run where it is more than a share of them). The project's choice.
    Everything else that is asked of this dataset is answered by the one inside.

    Args:
        dataset: Config of the wrapped dataset, or the dataset itself.
        config_key: Where ``dataset`` stands in the config, for error messages.
        classes: Names of the classes that its folders belong to, those that are trained on.

    Attributes:
        unreadable: The unreadable images met.

    Raises:
        UserError: Its folder or annotation file is missing or empty.
    """

    def __init__(
        self,
        dataset: dict | BaseDataset,
        config_key: str = 'val_dataloader.dataset.dataset',
        classes: Sequence[str] | None = None,
    ) -> None:
        self.dataset = build_dataset(dataset, ROOT_DATASETS, config_key, classes)
        self.unreadable = UnreadableList()

    def __getattr__(self, name: str) -> Any:
        if name == 'dataset':  # not yet there, while a worker unpacks this
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        """Load a sample.

        Raises:
            UnreadableImage: The dataset is a wrapper that does not tell where its samples come from.
        """
        try:
            return load_sample(self.dataset, index)
        except UnreadableImage as error:
            self.unreadable.add(error)
            base, position = _inside(self.dataset, index)
            if base is None:
                raise
            return self._black(base, position, error.path)

    def _black(self, base: Any, index: int, unreadable: str) -> Any:
        """The sample with a black image, or with a map of pixels that are not scored.

        A black image has the size that its annotation, its map or the next image names.
        """
        results = base.get_data_info(index)
        steps = base.pipeline.transforms
        if unreadable == results.get('seg_map_path'):
            for step in steps:
                results = _ignored_map(results) if hasattr(step, 'reduce_zero_label') else step(results)
            return results
        loader = next(i for i, step in enumerate(steps) if isinstance(step, LoadImageFromFile))
        height, width = self._size(base, results, index, steps[loader])
        channels = getattr(steps[loader], 'channels', None) or 3
        dtype = np.float32 if steps[loader].to_float32 else np.uint8
        results['img'] = np.zeros((height, width, channels), dtype)
        results['img_shape'] = results['ori_shape'] = (height, width)
        for step in (*steps[:loader], *steps[loader + 1 :]):
            results = step(results)
        return results

    def _size(self, base: Any, results: dict, index: int, loader: LoadImageFromFile) -> tuple[int, int]:
        if results.get('height') and results.get('width'):
            return results['height'], results['width']
        if results.get('seg_map_path'):
            with Image.open(results['seg_map_path']) as image:
                return image.height, image.width
        for step in range(1, len(base)):
            other = base.get_data_info((index + step) % len(base))
            try:
                return loader(other)['img_shape']
            except UnreadableImage as error:
                self.unreadable.add(error)
        raise UnreadableImage(results['img_path'], 'as all other images of this dataset')


def _inside(dataset: Any, index: int) -> tuple[Any, int]:
    """The dataset with a pipeline inside mmengine's wrappers, and the place of a sample in it; None where unknown."""
    while dataset is not None and not hasattr(dataset, 'pipeline'):
        find = getattr(dataset, '_get_ori_dataset_idx', None)
        found = None if find is None else find(index)
        if isinstance(found, tuple):
            dataset, index = dataset.datasets[found[0]], found[1]
        else:
            dataset, index = (None, index) if found is None else (dataset.dataset, found)
    return dataset, index


def _ignored_map(results: dict) -> dict:
    results['gt_seg_map'] = np.full(results['img'].shape[:2], _IGNORED, np.uint8)
    results['seg_fields'] = [*results.get('seg_fields', ()), 'gt_seg_map']
    return results
