"""Images with captions, for training by contrast of images and text."""

from __future__ import annotations

import json
import os.path as osp
from collections.abc import Sequence
from typing import Any

from mmpretrain.datasets import CustomDataset

from mmimg2vec.datasets.errors import DataError
from mmimg2vec.registry import DATASETS


@DATASETS.register_module()
class CaptionDataset(CustomDataset):
    """``mmpretrain.CustomDataset`` whose samples carry a ``caption`` beside the label of their folder.

    To be packed with ``dict(type='mmpretrain.PackInputs', meta_keys=('caption', 'img_path'))``.

    Args:
        caption_file: JSON file, relative to ``data_root``: image (relative to ``data_prefix``) -> ``{'caption': ...}``,
            as the project's Shapes have it; other keys of an entry are left alone.
        vocabulary: Words that captions may hold, those of the text tower; None: any.
        **kwargs: As ``mmpretrain.CustomDataset``: ``data_root``, ``data_prefix``, ``pipeline``, ...

    Raises:
        DataError: The file is missing or no such JSON, an image has no caption, or a caption has another word.
    """

    def __init__(self, caption_file: str, vocabulary: Sequence[str] | None = None, **kwargs: Any) -> None:
        self.caption_file = caption_file
        self.vocabulary = None if vocabulary is None else frozenset(vocabulary)
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict]:
        """List the images with their labels and captions.

        Raises:
            DataError: An image has no caption, or one of a word outside the vocabulary.
        """
        path = osp.join(osp.expanduser(self.data_root or ''), self.caption_file)
        captions = _read(path)
        samples = super().load_data_list()
        for sample in samples:
            name = osp.relpath(sample['img_path'], self.img_prefix).replace(osp.sep, '/')
            entry = captions.get(name)
            if not isinstance(entry, dict) or not isinstance(entry.get('caption'), str):
                raise DataError(f'{path} has no caption of {name}: add one, or name the caption_file of these images')
            self._check_words(entry['caption'], name, path)
            sample['caption'] = entry['caption']
        return samples

    def _check_words(self, caption: str, name: str, path: str) -> None:
        unknown = [] if self.vocabulary is None else set(caption.split()) - self.vocabulary
        if unknown:
            raise DataError(
                f'the caption of {name} in {path} has the word {min(unknown)!r}, which is not in the vocabulary: add '
                'it to the vocabulary of dataset and text tower'
            )


def _read(path: str) -> dict:
    try:
        with open(path, encoding='utf-8') as file:
            captions = json.load(file)
    except FileNotFoundError as error:
        raise DataError(f'no caption file {path}: set caption_file in the config') from error
    except ValueError as error:
        raise DataError(f'{path} is no JSON ({error}): write it again') from error
    if not isinstance(captions, dict):
        raise DataError(f"{path} has to map each image to {{'caption': ...}}")
    return captions
