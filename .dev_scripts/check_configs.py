#!/usr/bin/env python3
"""Check the configs: that names and contents agree, that everything named exists, that the parts fit.

    python .dev_scripts/check_configs.py [CONFIG ...]

Prints one line per problem and ends with status 1 if there are any. Without arguments all of ``configs/`` is checked,
and the metafiles.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope

sys.path.append(str(Path(__file__).resolve().parent))

from config_checks.benchmark_models import check_benchmark_model, check_start
from config_checks.benchmarks import GRAMMAR, check_benchmark, parse_benchmark
from config_checks.consistency import check_consistency
from config_checks.files import (
    CHAINS,
    check_chain,
    check_file,
    check_metafiles,
    find_chains,
    find_configs,
    metafile_batch,
)
from config_checks.methods import check_method
from config_checks.names import EMBEDDED_DATA, check_content, parse_name
from config_checks.types import check_types

ROOT = Path(__file__).resolve().parents[1]


def check_config(file: Path, root: Path = ROOT) -> list[str]:
    """Problems of one config file, each in a line."""
    try:
        cfg = Config.fromfile(file)._cfg_dict
    except Exception as error:  # a config is a program: anything may happen in it
        return [f'cannot be read: {type(error).__name__}: {error}']
    problems = check_file(file)
    benchmark = parse_benchmark(file.stem)
    name = None if benchmark else parse_name(file.stem)
    if benchmark:
        problems += check_benchmark(cfg, benchmark)
        problems += [*check_method(cfg, benchmark, file), *check_start(cfg, file)]
        problems += _check_metafile(file, root, benchmark.length, benchmark.gpus * benchmark.batch)
    elif name:
        problems += check_content(cfg, name)
        total = name.gpus * name.batch * name.accumulation
        problems += _check_metafile(file, root, name.epochs, total)
    else:
        problems.append(
            'its name is neither {algo}_{model}_{GPUs}xb{batch}[-accumN][-option...]-{schedule}-{epochs}e_{data} '
            f'nor {GRAMMAR}'
        )
    # Parts of a downstream config are of its own scope, which may be left out.
    types = check_types(cfg, cfg.get('default_scope') if benchmark else None)
    if types:
        return [*problems, *types]  # what does not exist cannot be built
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    if benchmark:
        return [*problems, *check_benchmark_model(cfg, benchmark)]
    decay = name is None or name.data != EMBEDDED_DATA  # short runs have one weight decay for all
    return [*problems, *check_consistency(cfg, decay)]


def _check_metafile(file: Path, root: Path, length: int | None, batch: int) -> list[str]:
    path = file.relative_to(root).as_posix() if file.is_relative_to(root) else ''
    stated = metafile_batch(root).get(path, (length, batch))
    if stated != (length, batch):
        return [f'the metafile states (length, batch) {stated}, by the name {(length, batch)}']
    return []


def main() -> int:
    """Check, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('configs', nargs='*', type=Path, help='config files; all of configs/')
    args = parser.parse_args()
    # mmengine names every parameter that is frozen or has a decay of its own.
    MMLogger.get_current_instance().setLevel('ERROR')
    files = [file.resolve() for file in args.configs] or [*find_configs(ROOT), *find_chains(ROOT)]
    problems = []
    for file in files:
        is_chain = file.parent.name == CHAINS
        found = check_chain(file, ROOT) if is_chain else check_config(file)
        problems += [f'{file}: {problem}' for problem in found]
    if not args.configs:
        problems += check_metafiles(ROOT)
    for problem in problems:
        print(' '.join(problem.split()))
    print(f'{len(files)} configs, {len(problems)} problems', file=sys.stderr)
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
