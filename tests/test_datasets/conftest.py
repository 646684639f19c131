import cv2
import numpy as np
import pytest


@pytest.fixture
def image_folder(tmp_path):
    """12 labeled JPEGs of 40 x 48 px in 2 class folders."""
    rng = np.random.RandomState(0)
    for index in range(12):
        folder = tmp_path / 'images' / f'class_{index % 2}'
        folder.mkdir(parents=True, exist_ok=True)
        image = cv2.resize(rng.randint(0, 256, (5, 6, 3), dtype=np.uint8), (48, 40))
        cv2.imwrite(str(folder / f'{index:02d}.jpg'), image)
    return tmp_path / 'images'


@pytest.fixture
def dataset_config(image_folder):
    return dict(
        type='mmpretrain.CustomDataset',
        data_root=str(image_folder),
        with_label=True,
        pipeline=[
            dict(type='mmimg2vec.LoadImage'),
            dict(type='mmpretrain.RandomResizedCrop', scale=32, crop_ratio_range=(0.2, 1.0)),
            dict(type='mmpretrain.RandomFlip', prob=0.5),
            dict(type='mmimg2vec.RandomTokenMask', patch_size=8, mask_ratio=0.75),
            dict(type='mmimg2vec.PackMaskedInputs'),
        ],
    )
