"""Logs and pictures that cannot be written do not end a run."""

from __future__ import annotations

from typing import Any

from mmengine.logging import MMLogger
from mmengine.visualization import LocalVisBackend

from mmimg2vec.registry import VISBACKENDS


@VISBACKENDS.register_module()
class TolerantVisBackend(LocalVisBackend):
    """mmengine's ``LocalVisBackend``, which goes on where the disk is full or gone.

    What could not be written is counted and named in the log once per ``patience`` failures in a row; the run ends at
    the checkpoints, which have a limit of their own. The project's choice.

    Args:
        patience: Failures in a row between two lines in the log.
        kwargs: As mmengine's.
    """

    def __init__(self, *args: Any, patience: int = 100, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.patience = patience
        self.failures = 0

    def add_scalar(self, *args: Any, **kwargs: Any) -> None:
        """Write a value."""
        self._try(super().add_scalar, *args, **kwargs)

    def add_scalars(self, *args: Any, **kwargs: Any) -> None:
        """Write values."""
        self._try(super().add_scalars, *args, **kwargs)

    def add_image(self, *args: Any, **kwargs: Any) -> None:
        """Write a picture."""
        self._try(super().add_image, *args, **kwargs)

    def _try(self, write: Any, *args: Any, **kwargs: Any) -> None:
        try:
            write(*args, **kwargs)
            self.failures = 0
        except OSError as error:
            if self.failures % self.patience == 0:
                MMLogger.get_current_instance().error(
                    f'logs and pictures in {self._save_dir} cannot be written ({error}): training goes on'
                )
            self.failures += 1
