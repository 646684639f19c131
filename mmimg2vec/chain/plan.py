"""What a chain is: stages, what each of them starts from, and in which folder it works."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmimg2vec.errors import UserError


@dataclass(frozen=True)
class Stage:
    """One stage: a training run of a config, or a command.

    Attributes:
        name: Name, and name of its folder below the chain's.
        title: What a reader of the report sees.
        config: Config to train; empty for a command.
        command: Words after the Python interpreter, such as ``tools/probe.py ...``; empty for a config.
        env: Environment variables that the stage sees besides the user's.
        options: Dotted key -> value, as ``--cfg-options``.
        gpus: Processes, where a launcher is used.
        needs: Stages that have to be finished first.
        baseline_of: The stages that are compared with this one: the same budget, from scratch.
        makes: Files and folders outside its own that the stage writes, such as data.
    """

    name: str
    title: str
    config: str = ''
    command: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    gpus: int = 1
    needs: tuple[str, ...] = ()
    baseline_of: tuple[str, ...] = ()
    makes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chain:
    """Stages in an order in which each comes after what it needs.

    Attributes:
        name: Name of the chain's config.
        title: Title of the report.
        introduction: What the report says first (Markdown).
        work_dir: Folder of the report and of the stages' folders.
        seed: Seed of every stage.
        stages: The stages.
        jobs: Stages that may run at the same time.
        differences: Pairs of stages whose results are subtracted, the second from the first, in the tables.
        summary: Words of a command, after the Python interpreter, that ``tools/experiment.py`` ends with; ``{out}`` in
            them stands for the folder of all seeds.
    """

    name: str
    title: str
    introduction: str
    work_dir: Path
    seed: int
    stages: tuple[Stage, ...]
    jobs: int = 1
    differences: tuple[tuple[str, str], ...] = ()
    summary: tuple[str, ...] = ()

    def folder(self, stage: Stage | str) -> Path:
        """Folder of a stage."""
        return self.work_dir / (stage if isinstance(stage, str) else stage.name)

    def select(self, names: tuple[str, ...] | list[str]) -> list[Stage]:
        """The stages of some names, in the order of the chain; all of them where no name is given.

        Raises:
            UserError: There is no stage of a name.
        """
        for name in names:
            self[name]
        return [stage for stage in self.stages if not names or stage.name in names]

    def with_dependents(self, names: tuple[str, ...] | list[str]) -> list[str]:
        """Some stages and all that need them, in the order of the chain.

        Raises:
            UserError: There is no stage of a name.
        """
        found = {self[name].name for name in names}
        for stage in self.stages:
            if found.intersection(stage.needs):
                found.add(stage.name)
        return [stage.name for stage in self.stages if stage.name in found]

    def __getitem__(self, name: str) -> Stage:
        """The stage of a name.

        Raises:
            UserError: There is none.
        """
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise UserError(
            f'the chain {self.name} has no stage "{name}"; it has: {", ".join(s.name for s in self.stages)}'
        )
