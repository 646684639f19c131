#!/usr/bin/env python3
"""Does token diversity predict what a student learns? The table and the plot over the seeds of an experiment.

    python tools/analysis_tools/diversity_predicts.py work_dirs/experiment/teachers_shapes

Reads what is finished of ``tools/experiment.py configs/chains/teachers_shapes.py``, which calls it at its end. Writes
``prediction.md``, ``prediction.json`` and ``prediction.png`` into the same folder.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from mmimg2vec.chain.report.correlation import (
    correlation_table,
    draw_correlation,
    read_outcomes,
)
from mmimg2vec.engine.command_line import run, silence_mmengine


def main() -> None:
    """Read, print the table, write the files."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('folder', type=Path, help='folder of the experiment, with a folder per seed')
    folder = parser.parse_args().folder
    silence_mmengine()
    outcomes = read_outcomes(folder)
    text = correlation_table(outcomes)
    (folder / 'prediction.md').write_text(text + '\n', encoding='utf-8')
    rows = [asdict(outcome) for outcome in outcomes]
    (folder / 'prediction.json').write_text(json.dumps(rows, indent=1) + '\n', encoding='utf-8')
    draw_correlation(outcomes, folder / 'prediction.png')
    print(f'{text}\n\n{folder}/prediction.md, prediction.json, prediction.png')


if __name__ == '__main__':
    run(main)
