"""What is installed, as data: the two stacks and where their pins are."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Whatever changes what an environment holds; a change of any of these runs the steps again.
INPUTS = (
    'requirements/*.txt',
    'setup.py',
    'pyproject.toml',
    'mmimg2vec/version.py',
    '.dev_scripts/setup_steps/stacks.py',
)


@dataclass(frozen=True)
class Stack:
    """One set of packages that work together.

    Attributes:
        name: ``'onedl'`` (the maintained OpenMMLab distributions) or ``'classic'`` (the original ones).
        folder: The virtual environment, in the checkout.
        requirements: What is installed after torch and mmcv.
        constraints: The tested versions.
        mmcv: Name of mmcv's distribution.
        build_isolation: Whether pip may build source packages in an environment of their own; False where a
            package's setup.py imports torch.
        link_package: Whether mim has to be shown where the package is.
        disk_gb: Size of the finished environment (measured, with a margin).
        compile_minutes: Rough time of mmcv's source build on two cores.
    """

    name: str
    folder: str
    requirements: str
    constraints: str
    mmcv: str
    build_isolation: bool
    link_package: bool
    disk_gb: float
    compile_minutes: int

    @property
    def venv(self) -> Path:
        """Absolute path of the virtual environment."""
        return ROOT / self.folder

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.venv / 'bin' / 'python'


STACKS = {
    'onedl': Stack(
        name='onedl',
        folder='.venv',
        requirements='requirements/onedl.txt',
        constraints='requirements/constraints.txt',
        mmcv='onedl-mmcv',
        build_isolation=True,
        link_package=False,
        disk_gb=7.0,
        compile_minutes=12,
    ),
    'classic': Stack(
        name='classic',
        folder='.venv-classic',
        requirements='requirements/classic.txt',
        constraints='requirements/classic-constraints.txt',
        mmcv='mmcv',
        # mmdet's setup.py imports torch.
        build_isolation=False,
        link_package=True,
        disk_gb=7.0,
        compile_minutes=12,
    ),
}


def input_hash(stack: Stack, root: Path = ROOT) -> str:
    """Hash everything that decides what the environment holds, the checkout's place included.

    The place counts because an editable installation and the environment's scripts hold absolute paths.
    """
    digest = hashlib.sha256(f'{stack.name}\0{root}\0'.encode())
    for pattern in INPUTS:
        for path in sorted(root.glob(pattern)):
            digest.update(path.relative_to(root).as_posix().encode() + b'\0' + path.read_bytes())
    return digest.hexdigest()
