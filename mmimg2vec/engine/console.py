"""What of a run's log the console shows: what matters; the whole of it is in the log file."""

from __future__ import annotations

import logging
from typing import Any

from mmengine.logging import MMLogger
from mmengine.runner import FlexibleRunner, Runner

# How the lists of mmengine and mmpretrain begin that a reader of the console has no use for.
_LISTS = (
    'Config:\n',
    '\n------------------------------------------------------------\nSystem environment:',
    'Hooks will be executed in the following order:',
    'Name of parameter - Initialization information',
    'paramwise_options -- ',
    'Distributed training is not used, all SyncBatchNorm',
    '"FileClient" will be deprecated',
    '"HardDiskBackend" is the alias',
)


class ConsoleFilter(logging.Filter):
    """Leaves the config, the environment, hooks and parameters one by one to the log file."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is shown."""
        return record.levelno >= logging.ERROR or not record.getMessage().startswith(_LISTS)


class ConsoleRunner(Runner):
    """mmengine's Runner, whose console shows what matters."""

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Build the logger, and say where the rest is."""
        logger = super().build_logger(*args, **kwargs)
        _filter(logger, f'{self._log_dir}/{self.timestamp}.log')
        return logger


class ConsoleFlexibleRunner(FlexibleRunner):
    """mmengine's FlexibleRunner, which FSDP needs, likewise; its logger is the strategy's."""

    def build_strategy(self, *args: Any, **kwargs: Any) -> Any:
        """Build the strategy, and say where the rest is."""
        strategy = super().build_strategy(*args, **kwargs)
        _filter(strategy.logger, f'{strategy.log_dir}/{strategy.timestamp}.log')
        return strategy


def _filter(logger: MMLogger, file: str) -> None:
    for handler in logger.handlers:
        if not isinstance(handler, logging.FileHandler):
            handler.addFilter(ConsoleFilter())
    logger.info(f'config, environment, hooks and all parameters: {file}')
