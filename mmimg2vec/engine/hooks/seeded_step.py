"""Random numbers of the model as a function of the seed and the iteration."""

from __future__ import annotations

import random

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmimg2vec.datasets import SeededSampler
from mmimg2vec.registry import HOOKS


@HOOKS.register_module()
class SeededStepHook(Hook):
    """Seeds all generators from (seed of the run, iteration, rank) ahead of each training step.

    Dropout and drop path then draw the same numbers in an interrupted and resumed run as in an uninterrupted one,
    without any generator's state in the checkpoint (the project's choice). It also gives the sampler the seed that a
    checkpoint brings, where the config leaves the seed to chance.
    """

    priority = 'VERY_HIGH'

    def before_run(self, runner: Runner) -> None:
        """Remember whether the sampler runs on the seed of the run, before a checkpoint may change that."""
        # Not `runner.train_dataloader`: in a test that would read the training data.
        loader = getattr(runner._train_loop, 'dataloader', None)
        sampler = getattr(loader, 'sampler', None)
        self.follows = isinstance(sampler, SeededSampler) and sampler.seed == runner.seed

    def before_train(self, runner: Runner) -> None:
        """Give the sampler the seed of the resumed run."""
        if self.follows:
            runner.train_dataloader.sampler.seed = runner.seed

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        """Seed ``random``, numpy and torch on all devices."""
        words = np.random.SeedSequence((runner.seed, runner.iter, get_rank())).generate_state(4)
        random.seed(int(words[0]))
        np.random.seed(words[1])
        torch.manual_seed(int(words[2]) << 32 | int(words[3]))
