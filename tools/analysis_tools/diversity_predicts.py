#!/usr/bin/env python3
"""Do measures of teachers predict what a student learns? Tables and a plot over the seeds of experiments.

    python tools/analysis_tools/diversity_predicts.py work_dirs/experiment/teachers_shapes [FOLDER ...]

Reads what is finished of ``tools/experiment.py`` with a chain such as ``configs/chains/teachers_shapes.py`` or
``configs/chains/protocol_teachers.py``, which calls it at its end. Writes ``prediction.md``, ``prediction.json`` and
``prediction.png`` into each folder; several folders are several data sets.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

try:
    from mmimg2vec.chain.report.correlation import (
        correlation_table,
        draw_correlation,
        read_outcomes,
    )
    from mmimg2vec.chain.report.validity import validity_table
    from mmimg2vec.engine.command_line import run, silence_mmengine
except ModuleNotFoundError as error:
    sys.exit(f'mmimg2vec: error: {sys.executable} has no {error.name}: take .venv/bin/python, made by `make venv`')


def main() -> None:
    """Read, print the tables, write the files."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('folders', type=Path, nargs='+', help='folders of experiments, with a folder per seed')
    folders = parser.parse_args().folders
    silence_mmengine()
    for folder in folders:
        outcomes = read_outcomes(folder)
        text = f'{correlation_table(outcomes)}\n\n{validity_table(outcomes)}'
        (folder / 'prediction.md').write_text(text + '\n', encoding='utf-8')
        rows = [asdict(outcome) for outcome in outcomes]
        (folder / 'prediction.json').write_text(json.dumps(rows, indent=1) + '\n', encoding='utf-8')
        draw_correlation(outcomes, folder / 'prediction.png')
        print(f'{text}\n\n{folder}/prediction.md, prediction.json, prediction.png\n')


if __name__ == '__main__':
    run(main)
