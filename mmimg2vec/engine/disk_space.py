"""Room on the disk for the checkpoints of a run."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from mmimg2vec.checkpoint.newest import list_checkpoints
from mmimg2vec.errors import UserError
from mmimg2vec.utils.distributed import unwrapped

# Values that a checkpoint holds per trained one: itself and Adam's two moments.
_STATES = 3
#: Checkpoints inside an epoch that are kept beside those of epochs.
KEPT_INSIDE = 2


@dataclass(frozen=True)
class DiskSpace:
    """What a run will write, and where.

    Attributes:
        folder: Where the checkpoints go, or the nearest folder above that is there.
        free: Free bytes of its disk.
        size: Bytes of a checkpoint, estimated from the trained parameters.
        count: How many will lie there at a time, the one that is being written included.
        written: Bytes of those that are there already.
    """

    folder: Path
    free: int
    size: int
    count: int
    written: int

    @classmethod
    def of(cls, runner: Runner, folder: str | Path) -> DiskSpace:
        """Look at the disk of a folder, for a runner that is about to train.

        Args:
            runner: The runner, its model and hooks built.
            folder: Folder of the checkpoints, which need not be there yet.
        """
        folder = Path(folder).absolute()
        existing = next(each for each in (folder, *folder.parents) if each.exists())
        parameters = [p for p in unwrapped(runner.model).parameters() if p.requires_grad]
        written = [path.stat().st_size for path in list_checkpoints(folder)]
        return cls(
            existing,
            shutil.disk_usage(existing).free,
            _STATES * sum(p.numel() * p.element_size() for p in parameters),
            max((_count(hook, runner) for hook in runner.hooks if isinstance(hook, CheckpointHook)), default=0),
            sum(written),
        )

    @property
    def needed(self) -> int:
        """Bytes that all of them take beyond what is there; at least one is written before another goes."""
        return max(self.count * self.size - self.written, min(self.count, 1) * self.size)

    def __str__(self) -> str:
        return f'{_readable(self.free)} free, about {_readable(self.needed)} more for {self.count} checkpoints'

    def check(self, count: int | None = None) -> None:
        """Check that there is room.

        Args:
            count: For so many checkpoints more; None: for all.

        Raises:
            UserError: There is not.
        """
        if self.free < (self.needed if count is None else count * self.size):
            raise UserError(
                f'the disk of {self.folder} has {self}, {_readable(self.size)} each: make room, name another '
                '--work-dir, or keep fewer (default_hooks.checkpoint.max_keep_ckpts=1)'
            )


def _count(hook: CheckpointHook, runner: Runner) -> int:
    """How many checkpoints of a hook lie on the disk at a time."""
    end = runner.max_epochs if hook.by_epoch else runner.max_iters
    regular = hook.max_keep_ckpts if hook.max_keep_ckpts > 0 else max(end // max(hook.interval, 1), 1)
    inside = hook.by_epoch and (getattr(hook, 'minutes', None) or getattr(hook, 'steps', None))
    return regular + (KEPT_INSIDE if inside else 0) + 1


def _readable(size: int) -> str:
    return f'{size / 2**30:.2f} GiB' if size >= 1 << 28 else f'{size / 2**20:.1f} MiB'
