"""Reading of checkpoints without executing code: the one place that calls ``torch.load`` or reads safetensors.

``pickle`` runs whatever a file says, and ``torch.load`` lets it before torch 2.6 in more ways than ``weights_only``
closes. Where files come from is the matter of :mod:`mmimg2vec.checkpoint.sources`.
"""

from __future__ import annotations

import contextlib
import io
import os.path as osp
import pickle
import pickletools
import re
import tarfile
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

from mmimg2vec.environment import require
from mmimg2vec.errors import UserError
from mmimg2vec.utils.mistaken_files import kind_of

# What tensors and plain containers are saved with.
_TENSORS = ('torch.', 'collections.OrderedDict', '_codecs.encode')
_PICKLES = 4


class _History(HistoryBuffer):
    """Takes numbers alone from a file: mmengine's own also takes functions, for all histories of the process."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the numbers up, and become one of mmengine's."""
        self._set_default_statistics()
        self.__dict__.update({key: state[key] for key in ('max_length', '_log_history', '_count_history')})
        self.__class__ = HistoryBuffer


def _nothing(*_: Any) -> None:
    """Stands for ``getattr``, by which a history names the functions of its statistics."""


# Plain data that OpenMMLab's runs save beside tensors: numbers of numpy, and mmengine's log histories made of them.
# Both names of numpy's module, before and since numpy 2, stand for the same functions.
_NUMPY = [np.float64, np.float32, np.int64, np.int32, np.bool_, np.str_]
_RECONSTRUCT, _SCALAR = np.ndarray(0).__reduce__()[0], np.float64(0).__reduce__()[0]
_PLAIN_DATA: list[Any] = [
    *[(_nothing, f'{builtins}.getattr') for builtins in ('builtins', '__builtin__')],
    (_History, 'mmengine.logging.history_buffer.HistoryBuffer'),
    np.dtype,
    np.ndarray,
    *{type(np.dtype(kind)) for kind in _NUMPY},
    *[
        (function, f'numpy.{core}.multiarray.{name}')
        for core in ('core', '_core')
        for function, name in ((_RECONSTRUCT, '_reconstruct'), (_SCALAR, 'scalar'))
    ],
]
_ALLOWED = {x[1] if isinstance(x, tuple) else f'{x.__module__}.{x.__qualname__}' for x in _PLAIN_DATA}


def safe_load(source: str | Path | bytes, map_location: Any = None, name: str | None = None) -> Any:
    """Load tensors and plain data from a ``torch.save`` or ``.safetensors`` file, and nothing else.

    Plain are Python's containers and, with torch 2.5 and newer, arrays of numpy and mmengine's ``HistoryBuffer``, as
    the checkpoints of OpenMMLab's runs hold them.

    Args:
        source: Path of the file, or its content.
        map_location: As for ``torch.load``.
        name: What to call the file in errors, where ``source`` is its content.

    Raises:
        UserError: The file does not exist, is damaged, or holds anything but tensors and plain containers.
    """
    name = str(name or source)
    if not isinstance(source, bytes) and not osp.isfile(source):
        cure = 'it is a folder, name a file in it' if osp.isdir(source) else 'check the path'
        raise UserError(f'no checkpoint {name}: {cure}')
    head = source[:512] if isinstance(source, bytes) else _head(source)
    # By what it is: downloads lose their endings.
    if head[8:9] == b'{' or (name.endswith('.safetensors') and not head.startswith(b'PK')):
        return _load_safetensors(source, map_location, name)
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        _refuse_programs(source, name)
        with _plain_data_allowed():
            return torch.load(file, map_location=map_location, weights_only=True)
    except UserError:
        raise
    except pickle.UnpicklingError as error:
        raise UserError(_refusal(name, error, source)) from error
    except Exception as error:  # damaged bytes raise nearly everything, and so does a state dict for an absent device
        if not head:
            raise UserError(f'{name} is {kind_of(head)}') from error
        if inner := _packed(source):
            raise UserError(f'{name} is an archive of files, {inner} among them: unpack it') from error
        reason = str(error).strip().split('\n')[0]
        raise UserError(f'{name} cannot be read as a checkpoint ({reason}): download or save it again') from error


def _head(path: str | Path) -> bytes:
    with open(path, 'rb') as file:
        return file.read(512)


def _packed(source: str | Path | bytes) -> str | None:
    """A file in a zip archive that is not torch's."""
    try:
        with zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source) as archive:
            names = [name for name in archive.namelist() if not name.endswith('/')]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return None
    return None if not names or any(name.endswith('data.pkl') for name in names) else names[0]


def _plain_data_allowed() -> contextlib.AbstractContextManager:
    allow = getattr(torch.serialization, 'safe_globals', None)
    return contextlib.nullcontext() if allow is None else allow(_PLAIN_DATA)


def _refuse_programs(source: str | Path | bytes, name: str) -> None:
    """Refuse what torch.load runs or unpacks in spite of ``weights_only`` before torch 2.6.

    A TorchScript archive goes to ``torch.jit.load``, which brings its own code (CVE-2025-32434), and the members of a
    tar archive, the format of 2016, are written to the disk.

    Raises:
        UserError: The file is one of the two.
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
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    try:
        tensors = safetensors.load(data)
    except Exception as error:  # the library's error class moved between versions
        kind = kind_of(data)
        problem = f'cannot be read as safetensors ({error}): download it again'
        raise UserError(f'{name} {problem if kind is None else f"is {kind}"}') from error
    if isinstance(map_location, (str, torch.device)):
        tensors = {key: tensor.to(map_location) for key, tensor in tensors.items()}
    return tensors


def _refusal(name: str, error: Exception, source: str | Path | bytes) -> str:
    asked_for = re.findall(r'(?:GLOBAL|Unsupported class)\s+([\w.]+)', str(error))
    known = _ALLOWED if hasattr(torch.serialization, 'safe_globals') else set()
    held = [
        what for what in named_in_pickle(source) if not what.startswith(_TENSORS) and what not in known
    ] or asked_for
    if not held:  # nothing that it asks for: no checkpoint at all, such as the page of a failed download
        kind = kind_of(source if isinstance(source, bytes) else _head(source))
        return f'{name} is {kind or "not a torch checkpoint: download or save it again"}'
    if known or not set(held) <= _ALLOWED:
        what = 'which could run code when loaded: '
    else:
        what = f'and torch {torch.__version__} cannot load them without running code: take torch 2.5 or newer; or, '
    return (
        f'{name} holds {held[0]} objects, {what}if you trust its origin, keep its tensors only: python -c "import '
        'torch; t = lambda c: {k: t(v) if isinstance(v, dict) else v for k, v in c.items() if isinstance(v, (dict, '
        "torch.Tensor))}; c = torch.load('OLD', map_location='cpu', weights_only=False); "
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
        try:
            if zipfile.is_zipfile(file):
                with zipfile.ZipFile(file) as archive:
                    records = [record for record in archive.namelist() if record.endswith('data.pkl')]
                    file = io.BytesIO(archive.read(records[0]) if records else b'')
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
            return names  # damaged
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
