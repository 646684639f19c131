"""An exception of the constructor of a part of a config, as one line with the part's key."""

from __future__ import annotations

import contextlib
import logging
import tempfile
import traceback
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any

from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from torch import nn

from mmimg2vec.utils.distributed import unwrapped


def construction_error(error: BaseException) -> str | None:
    """Say in one line which part of a config could not be built or initialized, and why.

    Constructors of OpenMMLab, torch and users check their arguments with assertions and exceptions of all kinds, whose
    traces name everything but the key that was set.

    Args:
        error: An exception that was caught.

    Returns:
        The line; None where it does not come from a constructor.
    """
    frames = [frame for each in _chain(error) for frame, _ in traceback.walk_tb(each.__traceback__)]
    configs = [cfg for cfg in (frame.f_locals.get('cfg') for frame in frames) if isinstance(cfg, Config)]
    candidates = [frame.f_locals.get('cfg') for frame in frames if _builds(frame)]
    built = [part for part in candidates if isinstance(part, Mapping) and 'type' in part]
    if not built:
        is_initialized = any(frame.f_code.co_name == 'init_weights' for frame in frames)
        return (
            f'{module_of(error) or "the model "}cannot be initialized: {reason_of(error)}' if is_initialized else None
        )
    found = ''
    for part in built:
        same = [(key, other) for cfg in configs[:1] for key, other in _parts(cfg._cfg_dict) if _equal(other, part)]
        # Of several that could be it: what stands in the part around it, what has most of its arguments.
        same.sort(key=lambda item: (not item[0].startswith(f'{found}.'), -len(item[1]), len(item[0])))
        found = same[0][0] if same else found
    kind = built[-1]['type']
    name = kind if isinstance(kind, str) else getattr(kind, '__name__', str(kind))
    return f'{found or "a part of the config"} ({name}) cannot be built: {reason_of(error)}'


def module_of(error: BaseException) -> str:
    """Key and class of the innermost part of a runner's model that an exception comes from; empty where there is none.

    Args:
        error: An exception that was caught.
    """
    frames = [frame for each in _chain(error) for frame, _ in traceback.walk_tb(each.__traceback__)]
    owners = [frame.f_locals.get('self') for frame in frames]
    runners = [owner for owner in owners if isinstance(owner, Runner)]
    if not runners or not isinstance(runners[0].model, nn.Module):
        return ''
    names = {id(module): name for name, module in unwrapped(runners[0].model).named_modules()}
    found = [owner for owner in owners if isinstance(owner, nn.Module) and id(owner) in names]
    return f'{".".join(filter(None, ("model", names[id(found[-1])])))} ({type(found[-1]).__name__}) ' if found else ''


def reason_of(error: BaseException) -> str:
    """Kind and text of what was raised first; for an assertion without a text, the assertion."""
    first = list(_chain(error))[-1]
    text = str(first).strip()
    if not text:
        lines = traceback.extract_tb(first.__traceback__)
        text = (lines[-1].line or '') if lines else ''
    return f'{text} ({type(first).__name__})' if text else type(first).__name__


def keep_trace(error: BaseException) -> str:
    """Write the stack trace of an exception into the run's log file, or one of its own; returns which."""
    trace = ''.join(traceback.format_exception(error))
    for handler in MMLogger.get_current_instance().handlers:
        if isinstance(handler, logging.FileHandler):
            with contextlib.suppress(OSError):
                with open(handler.baseFilename, 'a', encoding='utf-8') as file:
                    file.write(trace)
                return handler.baseFilename
    with tempfile.NamedTemporaryFile('w', prefix='mmimg2vec-', suffix='.log', delete=False) as own:
        own.write(trace)
    return own.name


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and those that it was raised for; builders raise others that name the class."""
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)


def _builds(frame: FrameType) -> bool:
    return frame.f_code.co_name == 'build_from_cfg' and frame.f_globals.get('__name__', '').startswith('mmengine.')


def _parts(node: Any, where: str = '') -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(node, Mapping):
        if 'type' in node and where:
            yield where, node
        items = list(node.items())
    else:
        items = list(enumerate(node)) if isinstance(node, list | tuple) else []
    for key, value in items:
        yield from _parts(value, f'{where}.{key}' if where else str(key))


def _equal(part: Mapping[str, Any], built: Mapping[str, Any]) -> bool:
    """Whether a part of a config is what was built; builders add arguments of their own."""
    try:
        return all(key in built and bool(built[key] == value) for key, value in part.items())
    except (ValueError, RuntimeError):  # of arrays
        return False
