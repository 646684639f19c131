"""The file that downstream configs start from."""

from __future__ import annotations

import os.path as osp
import re
import sys
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import EMAHook, Hook
from mmengine.runner import Runner
from torch import Tensor, nn

from mmimg2vec.checkpoint.model_card import RUN, command_line, write_card
from mmimg2vec.checkpoint.serialization import to_serializable
from mmimg2vec.errors import UserError
from mmimg2vec.registry import HOOKS
from mmimg2vec.utils.write import save_atomically
from mmimg2vec.version import __version__

# Put into parameter names by DDP (at the front), FSDP, activation checkpointing and torch.compile.
_WRAPPERS = re.compile(r'^module\.|(?<![^.])(_fsdp_wrapped_module|_checkpoint_wrapped_module|_orig_mod)\.')


def backbone_state(model: nn.Module, prefix: str = 'backbone.') -> dict[str, Tensor]:
    """The backbone's tensors on the CPU under their plain names, ``prefix`` included.

    Under FSDP every rank has to call this, and the strategy needs ``state_dict_cfg='full'``.
    """
    state = {_WRAPPERS.sub('', name): tensor for name, tensor in model.state_dict().items()}
    # Cloned: a view would drag its whole storage into the file.
    return {name: tensor.detach().cpu().clone() for name, tensor in state.items() if name.startswith(prefix)}


def run_meta(runner: Runner) -> dict[str, Any]:
    """What an exported file says of the run that it comes from."""
    return {
        'mmimg2vec_version': __version__,
        'torch_version': str(torch.__version__),
        'experiment_name': runner.experiment_name,
        'config': runner.cfg.pretty_text,
        'epoch': runner.epoch,
        'iter': runner.iter,
        'seed': runner.seed,
        RUN: {
            'images': len(runner.train_dataloader.dataset),
            'knn': {
                name.removeprefix('train/'): [float(value) for value in scalar.data[0]]
                for name, scalar in runner.message_hub.log_scalars.items()
                if 'knn/' in name
            },
            'command': command_line(['python', *sys.argv]),
        },
    }


@HOOKS.register_module()
class BackboneExportHook(Hook):
    """Writes ``WORK_DIR/backbone.pth`` at the end of training, whole or not at all.

    It holds ``state_dict`` (names start with ``backbone.``) and ``meta`` (version, config, epoch, seed ...), loads
    without executing code and is taken up downstream by
    ``init_cfg=dict(type='Pretrained', checkpoint='.../backbone.pth', prefix='backbone.')``.

    A model card stands beside it, ``backbone.pth.md``.

    Beside mmengine's ``EMAHook`` the file holds the averaged weights, as ``state_dict`` of the run's checkpoints does.

    Args:
        filename: Name of the file in the run's folder.
        averaged: Whether the averaged weights are taken where there are such; False takes the raw ones.
    """

    priority = 'VERY_LOW'

    def __init__(self, filename: str = 'backbone.pth', averaged: bool = True) -> None:
        self.filename, self.averaged = filename, averaged

    def after_train(self, runner: Runner) -> None:
        """Write the file on the main process.

        Raises:
            UserError: The model has no ``backbone``.
        """
        average = next((hook.ema_model for hook in runner.hooks if isinstance(hook, EMAHook)), None)
        state = backbone_state(average if average is not None and self.averaged else runner.model)
        if not is_main_process():
            return
        if not state:
            raise UserError(
                f'{type(runner.model).__name__} has no `backbone` to export: remove BackboneExportHook from '
                'custom_hooks'
            )
        path = osp.join(runner.work_dir, self.filename)
        checkpoint = {'state_dict': state, 'meta': to_serializable(run_meta(runner))}
        save_atomically(checkpoint, path)
        write_card(path, checkpoint)
        kind = ''
        if average is not None:
            kind = (
                ', averaged by EMAHook; averaged=False of BackboneExportHook takes the raw ones'
                if self.averaged
                else ', the raw ones beside EMAHook; averaged=True of BackboneExportHook takes the averaged ones'
            )
        runner.logger.info(f'The backbone ({len(state)} tensors{kind}) is saved to {path}')
