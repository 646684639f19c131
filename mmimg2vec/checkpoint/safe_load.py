"""Loading of checkpoints without executing code, in place of mmengine's loaders.

``pickle`` runs whatever a file says. mmengine's loaders let it: always in the original, after a warning in the
continuation. :func:`register_safe_loader` replaces them for ``load_from``, ``resume`` and ``init_cfg`` at once; where
a file comes from (folder, URL, model zoo name, object store) stays as in mmengine.
"""

from __future__ import annotations

import hashlib
import io
import os.path as osp
import pickle
import pickletools
import re
import tarfile
import zipfile
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlparse

import torch
from mmengine import dist, fileio
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as mmengine_checkpoint

from mmimg2vec.environment import require
from mmimg2vec.errors import UserError

_LEGACY_PREFIXES = ('modelzoo://', 'torchvision://')
# What tensors and plain containers are saved with.
_TENSORS = ('torch.', 'collections.OrderedDict', '_codecs.encode')
_PICKLES = 4
_ZOO_PREFIXES = ('open-mmlab://', 'openmmlab://')


def safe_load(source: str | Path | bytes, map_location: Any = None, name: str | None = None) -> Any:
    """Load tensors and plain containers from a ``torch.save`` or ``.safetensors`` file, and nothing else.

    Args:
        source: Path of the file, or its content.
        map_location: As for ``torch.load``.
        name: What to call the file in errors, where ``source`` is its content.

    Raises:
        UserError: The file does not exist, is damaged, or holds anything but tensors and plain containers.
    """
    name = str(name or source)
    if not isinstance(source, bytes) and not osp.isfile(source):
        raise UserError(f'no checkpoint {name}: check the path')
    if name.endswith('.safetensors'):
        return _load_safetensors(source, map_location, name)
    _refuse_programs(source, name)
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        return torch.load(file, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(_refusal(name, error, source)) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        # Also what a state dict for an absent device raises.
        reason = str(error).strip().split('\n')[0]
        raise UserError(f'{name} cannot be read as a checkpoint ({reason}): download or save it again') from error


def load_verified(source: str, sha256: str, map_location: Any = 'cpu') -> Any:
    """Load a checkpoint whose bytes have a known SHA-256; what is hashed is what is loaded.

    Args:
        source: A file, a URL or an object of a store.
        sha256: In hexadecimal; its first eight digits or more are enough, as they stand in the file names of torchvision
            and OpenMMLab.
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


def _fetch(filename: str) -> str:
    rank, world_size = dist.get_dist_info()
    path = osp.join(torch.hub.get_dir(), 'checkpoints', osp.basename(urlparse(filename).path))
    if rank == 0:
        _download(filename, path)
    if world_size > 1:
        dist.barrier()
        _download(filename, path)  # for ranks on other machines
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


def load_from_elsewhere(filename: str, map_location: Any = None) -> Any:
    """Refuse a scheme that has no safe loader."""
    raise UserError(f'{filename} cannot be loaded safely: download it and name the local file')


def register_safe_loader() -> None:
    """Put the loaders of this module in place of all of mmengine's."""
    loaders = {
        ('',): load_from_local,
        ('http://', 'https://'): load_from_http,
        _LEGACY_PREFIXES: load_from_torchvision,
        _ZOO_PREFIXES: load_from_openmmlab,
        ('mmcls://',): load_from_mmcls,
        (r'(\S+\:)?s3://', r'(\S+\:)?petrel://'): load_from_ceph,
    }
    ours = {prefix for prefixes in loaders for prefix in prefixes}
    loaders[tuple(set(CheckpointLoader._schemes) - ours)] = load_from_elsewhere
    for prefixes, loader in loaders.items():
        CheckpointLoader.register_scheme(prefixes, loader, force=True)


def _read_bytes(source: str) -> bytes:
    if source.startswith(('http://', 'https://')):
        return Path(_fetch(source)).read_bytes()
    if re.match(r'(\S+:)?(s3|petrel)://', source):
        return _get(source)
    path = Path(source).expanduser()
    if '://' in source:
        raise UserError(f'sha256 needs a file or a URL, not {source}: write its URL out')
    if not path.is_file():
        raise UserError(f'no checkpoint {source}: check the path')
    return path.read_bytes()


def _get(filename: str, backend: str = 'petrel') -> bytes:
    return fileio.get_file_backend(filename, backend_args={'backend': backend}).get(filename)


def _refuse_programs(source: str | Path | bytes, name: str) -> None:
    """Refuse what torch.load runs or unpacks in spite of ``weights_only`` before torch 2.6.

    A TorchScript archive goes to ``torch.jit.load``, which brings its own code (CVE-2025-32434), and the members of a
    tar archive, the format of 2016, are written to the disk.
    """
    file = io.BytesIO(source) if isinstance(source, bytes) else open(source, 'rb')  # noqa: SIM115
    with file:
        if file.read(4) == b'PK\x03\x04':
            file.seek(0)
            try:
                # torch's own reader: another one might see another list of contents.
                records = torch._C.PyTorchFileReader(file).get_all_records()
            except (RuntimeError, OSError):
                return  # damaged, which torch.load will say
            if 'constants.pkl' in records:
                raise UserError(
                    f'{name} holds a TorchScript program, which could run code when loaded: if you trust its origin, '
                    'keep its tensors only: python -c "import torch; '
                    "m = torch.jit.load('OLD', map_location='cpu'); "
                    "torch.save({'state_dict': m.state_dict()}, 'NEW')\""
                )
            return
        file.seek(0)
        try:
            tarfile.open(fileobj=file, mode='r:').close()
        except (tarfile.TarError, EOFError):
            return
    raise UserError(
        f'{name} is a tar archive, the format of torch before 0.4: load it once with an old torch and save it again, '
        'or unpack it and name the checkpoint in it'
    )


def _load_safetensors(source: str | Path | bytes, map_location: Any, name: str) -> dict:
    safetensors = require('safetensors.torch', f'Loading {name}', 'safetensors')
    try:
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
        tensors = safetensors.load(data)
    except Exception as error:  # the library's error class moved between versions
        raise UserError(f'{name} cannot be read as safetensors ({error}): download it again') from error
    if isinstance(map_location, (str, torch.device)):
        tensors = {key: tensor.to(map_location) for key, tensor in tensors.items()}
    return tensors


def _refusal(name: str, error: Exception, source: str | Path | bytes) -> str:
    asked_for = re.findall(r'(?:GLOBAL|Unsupported class)\s+([\w.]+)', str(error))
    held = [what for what in named_in_pickle(source) if not what.startswith(_TENSORS)] or asked_for
    if not held:  # nothing that it asks for: no checkpoint at all, such as the page of a failed download
        return f'{name} is not a torch checkpoint: download or save it again'
    return (
        f'{name} holds {held[0]} objects, which could run code when loaded: if you trust its origin, keep its tensors '
        'only: python -c "import torch; t = lambda c: {k: t(v) if isinstance(v, dict) else v for k, v in c.items() if '
        "isinstance(v, (dict, torch.Tensor))}; c = torch.load('OLD', map_location='cpu', weights_only=False); "
        "torch.save(t(c.state_dict() if hasattr(c, 'state_dict') else c), 'NEW')\""
    )


def named_in_pickle(source: str | Path | bytes) -> list[str]:
    """Classes and functions that a checkpoint asks for, read from its opcodes; nothing is imported or executed.

    Args:
        source: Path of the file, or its content.
    """
    file = io.BytesIO(source) if isinstance(source, bytes) else open(source, 'rb')  # noqa: SIM115
    names: list[str] = []
    with file:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                records = [record for record in archive.namelist() if record.endswith('data.pkl')]
                file = io.BytesIO(archive.read(records[0]) if records else b'')
        file.seek(0)
        # Before torch 1.6 the objects stood behind three pickles of numbers.
        for _ in range(_PICKLES):
            try:
                _collect_names(file, names)
            except (ValueError, IndexError, UnicodeDecodeError):
                break
    return list(dict.fromkeys(names))


def _collect_names(file: IO[bytes], names: list[str]) -> None:
    texts: list[str] = []
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name in ('GLOBAL', 'INST'):
            names.append(str(argument).replace(' ', '.'))
        elif opcode.name == 'STACK_GLOBAL':
            names.append('.'.join(texts[-2:]))  # module and name, which were put on the stack
        elif isinstance(argument, str):
            texts.append(argument)


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
