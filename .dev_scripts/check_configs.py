#!/usr/bin/env python3
"""Check the configs: that names and contents agree, that everything named exists, that the parts fit.

    python .dev_scripts/check_configs.py [CONFIG ...]

Prints one line per problem and ends with status 1 if there are any. Without arguments all of ``configs/`` is checked.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope

sys.path.append(str(Path(__file__).resolve().parent))

from config_checks.benchmark_models import check_benchmark_model
from config_checks.consistency import check_consistency
from config_checks.files import CHAINS, check_chain, check_file, check_twins, find_chains, find_configs
from config_checks.names import EMBEDDED_DATA, GRAMMAR, check_content, parse_name
from config_checks.types import check_types

ROOT = Path(__file__).resolve().parents[1]


def check_config(file: Path) -> list[str]:
    """Problems of one config file, each in a line."""
    try:
        cfg = Config.fromfile(file)._cfg_dict
    except Exception as error:  # a config is a program: anything may happen in it
        return [f'cannot be read: {type(error).__name__}: {error}']
    name = parse_name(file.stem)
    problems = check_file(file)
    problems += check_content(cfg, name) if name else [f'its name is not {GRAMMAR}']
    downstream = name is not None and name.downstream
    # Parts of a downstream config are of its own scope, which may be left out.
    types = check_types(cfg, cfg.get('default_scope') if downstream else None)
    if types:
        return [*problems, *types]  # what does not exist cannot be built
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    if downstream:
        return [*problems, *check_benchmark_model(cfg, name)]
    decay = name is None or name.data != EMBEDDED_DATA  # short runs have one weight decay for all
    return [*problems, *check_consistency(cfg, decay)]


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
        problems += check_twins(ROOT)
    for problem in problems:
        print(' '.join(problem.split()))
    print(f'{len(files)} configs, {len(problems)} problems', file=sys.stderr)
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
