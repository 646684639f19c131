#!/usr/bin/env python3
"""Check the configs: that names and contents agree, that everything named exists, that the parts fit.

    python tools/check_configs.py [CONFIG ...]

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

from config_checks.consistency import check_consistency
from config_checks.files import check_file, check_metafiles, find_configs, metafile_batch
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
    name = parse_name(file.stem)
    if name is None:
        problems.append(
            'its name is not {algo}_{model}_{GPUs}xb{batch}[-accumN][-option...]-{schedule}-{epochs}e_{data}'
        )
    else:
        problems += check_content(cfg, name)
        wanted = (name.epochs, name.gpus * name.batch * name.accumulation)
        path = file.relative_to(root).as_posix() if file.is_relative_to(root) else ''
        stated = metafile_batch(root).get(path, wanted)
        if stated != wanted:
            problems.append(f'the metafile states (epochs, batch) {stated}, by the name {wanted}')
    types = check_types(cfg)
    if types:
        return [*problems, *types]  # what does not exist cannot be built
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    decay = name is None or name.data != EMBEDDED_DATA  # short runs have one weight decay for all
    return [*problems, *check_consistency(cfg, decay)]


def main() -> int:
    """Check, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('configs', nargs='*', type=Path, help='config files; all of configs/')
    args = parser.parse_args()
    # mmengine names every parameter that is frozen or has a decay of its own.
    MMLogger.get_current_instance().setLevel('ERROR')
    files = [file.resolve() for file in args.configs] or find_configs(ROOT)
    problems = [f'{file}: {problem}' for file in files for problem in check_config(file)]
    if not args.configs:
        problems += check_metafiles(ROOT)
    for problem in problems:
        print(' '.join(problem.split()))
    print(f'{len(files)} configs, {len(problems)} problems', file=sys.stderr)
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
