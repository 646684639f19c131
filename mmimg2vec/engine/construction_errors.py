"""An exception of the constructor of a part of a config, as one line with the part's key."""

from __future__ import annotations

import logging
import tempfile
import traceback
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any

from mmengine.config import Config
from mmengine.logging import MMLogger


def construction_error(error: BaseException) -> str | None:
    """Say in one line which part of a config could not be built, and why.

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
        return None
    found = ''
    for part in built:
        same = [(key, other) for cfg in configs[:1] for key, other in _parts(cfg._cfg_dict) if _equal(other, part)]
        # Of several that could be it: what stands in the part around it, what has most of its arguments.
        same.sort(key=lambda item: (not item[0].startswith(f'{found}.'), -len(item[1]), len(item[0])))
        found = same[0][0] if same else found
    kind = built[-1]['type']
    name = kind if isinstance(kind, str) else getattr(kind, '__name__', str(kind))
    return f'{found or "a part of the config"} ({name}) cannot be built: {reason_of(error)}'


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
            handler.emit(logging.LogRecord('mmengine', logging.ERROR, __file__, 0, trace, None, None))
            return handler.baseFilename
    with tempfile.NamedTemporaryFile('w', prefix='mmimg2vec-', suffix='.log', delete=False) as file:
        file.write(trace)
    return file.name


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
