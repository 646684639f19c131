"""One run per folder, which goes on from the newest good checkpoint of that folder."""

from __future__ import annotations

from mmengine.dist import broadcast_object_list
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmimg2vec.checkpoint.newest import newest_checkpoint
from mmimg2vec.engine.run_folder import begin_run
from mmimg2vec.registry import HOOKS
from mmimg2vec.utils.distributed import on_main_process


@HOOKS.register_module()
class RunFolderHook(Hook):
    """Refuses a folder that another run uses or has left results in, and finds where a resumed run goes on.

    See :func:`mmimg2vec.engine.run_folder.begin_run`; ``tools/train.py`` has asked already, this is for other starts,
    such as ``mim train``. For where to go on mmengine takes the word of ``last_checkpoint``; here the newest checkpoint
    of the folder that is whole is taken, see :func:`mmimg2vec.checkpoint.newest.newest_checkpoint`.

    Args:
        overwrite: Set the results of another run aside.
    """

    priority = 'HIGHEST'  # others ask where the run goes on

    def __init__(self, overwrite: bool = False) -> None:
        self.overwrite = overwrite

    def before_run(self, runner: Runner) -> None:
        """Claim the folder on the main process, and find the checkpoint.

        Raises:
            UserError: It is in use, holds other results, or cannot be written, or none of its checkpoints is whole; on
                all processes.
        """
        if isinstance(runner._train_loop, (dict, type(None))):
            return  # a test
        found: list[str | None] = [None]

        def begin() -> None:
            begin_run(runner.work_dir, runner._resume, self.overwrite)
            if runner._resume and runner._load_from is None:
                newest = newest_checkpoint(runner.work_dir, runner.logger.warning)
                found[0] = None if newest is None else str(newest)

        on_main_process(begin)
        broadcast_object_list(found)
        if found[0] is not None:
            runner._load_from = found[0]
            runner.logger.info(f'the run goes on from {found[0]}, the newest whole checkpoint of its folder')
