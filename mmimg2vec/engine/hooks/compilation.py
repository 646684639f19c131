"""torch.compile for what is computed most, by one line of a config."""

from __future__ import annotations

from typing import Any, cast

import torch
from mmengine.dataset import default_collate
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from mmimg2vec.datasets import DrawKey, SeededDataset
from mmimg2vec.errors import UserError
from mmimg2vec.models.algorithms import MaskedImageModel
from mmimg2vec.registry import HOOKS
from mmimg2vec.utils.distributed import unwrapped

# Images that are loaded for the trial; they are repeated until they fill a batch.
_LOADED = 4


@HOOKS.register_module()
class CompileHook(Hook):
    """Compiles the blocks of the student and of the neck, and the teacher (torch.compile), in place.

    ``default_hooks=dict(compile=dict(type='mmimg2vec.CompileHook'))``, or ``--cfg-options
    default_hooks.compile.type=mmimg2vec.CompileHook``. Names of tensors stay, so that checkpoints of compiled and of
    other runs are the same, and each resumes the other. Each block is compiled by itself: all of a kind share what was
    compiled. It happens in a trial before the first step, forward and backward, on a batch of the size of the run, so
    that a failure shows there. The project's choice.

    Args:
        backend: As torch.compile's.
        on_failure: What a failure does: ``'fallback'`` goes on without, after one line in the log, ``'stop'`` ends the
            run.

    Raises:
        UserError: An option that does not exist.
    """

    # Behind the hooks that give the dataset its seed.
    priority = 'VERY_LOW'

    def __init__(self, backend: str = 'inductor', on_failure: str = 'fallback') -> None:
        if on_failure not in ('fallback', 'stop'):
            raise UserError(f"CompileHook: on_failure={on_failure!r}: choose 'fallback' or 'stop'")
        self.backend = backend
        self.on_failure = on_failure

    def before_train(self, runner: Runner) -> None:
        """Compile.

        Raises:
            UserError: The model or its data are none of pre-training; or it cannot be compiled, and that is to stop the
                run.
        """
        model, dataset = unwrapped(runner.model), runner.train_dataloader.dataset
        if not isinstance(model, MaskedImageModel) or not isinstance(dataset, SeededDataset):
            raise UserError(
                'CompileHook compiles pre-training models on a SeededDataset: leave it out of other configs'
            )
        parts = compiled_parts(model)
        _allow_variants(len(parts))
        for part in parts:
            # Sizes do not change in a run; dynamic ones are slower.
            part.compile(backend=self.backend, dynamic=False)
        try:
            self._try(runner, model, dataset)
        except (RuntimeError, ImportError, OSError) as error:
            for part in parts:
                part._compiled_call_impl = None  # torch has no public way back
            cause = getattr(error, 'inner_exception', error)  # torch's own message begins with the backend's name
            reason = next((line for line in str(cause).splitlines() if line.strip()), type(cause).__name__)
            line = f'the model cannot be compiled by {getattr(self.backend, "__name__", self.backend)} ({reason})'
            if self.on_failure == 'stop':
                raise UserError(
                    f"{line}: leave CompileHook out, or set its on_failure='fallback' to go on without"
                ) from error
            runner.logger.warning(f'{line}: the run goes on without')
            return
        runner.logger.info(f'{len(parts)} parts of the model are compiled by {self.backend}')

    @staticmethod
    def _try(runner: Runner, model: MaskedImageModel, dataset: SeededDataset) -> None:
        """Compile by a forward and a backward pass, which leave nothing behind."""
        size = cast(int, getattr(runner.train_dataloader.batch_sampler, 'batch_size', 1))
        samples = [dataset[DrawKey(index, 0, 0)] for index in range(min(size, _LOADED, len(dataset)))]
        batch = default_collate([samples[index % len(samples)] for index in range(size)])
        was_training = model.training
        model.train()
        with torch.random.fork_rng(), runner.optim_wrapper.optim_context(runner.model):
            losses: Any = model(**model.data_preprocessor(batch, True), mode='loss')
            total, _ = model.parse_losses(losses)
        # Not backward(): DDP's hooks wait for the gradients of whole steps.
        torch.autograd.grad(total, [p for p in model.parameters() if p.requires_grad], allow_unused=True)
        model.train(was_training)


def compiled_parts(model: MaskedImageModel) -> list[nn.Module]:
    """Blocks of backbone and neck (what stands in their module lists), and the network of the teacher."""
    children = [child for part in (model.backbone, model.neck) for child in part.children()]
    blocks = [block for child in children if isinstance(child, nn.ModuleList) for block in child]
    teacher = getattr(model.target_generator, 'teacher', None)
    return blocks if teacher is None else [*blocks, teacher.network]


def _allow_variants(count: int) -> None:
    """Let torch compile so many variants of the same code: before 2.5 each block of a network is one."""
    limits = torch._dynamo.config
    name = 'recompile_limit' if hasattr(limits, 'recompile_limit') else 'cache_size_limit'
    setattr(limits, name, max(getattr(limits, name), 4 * count))
