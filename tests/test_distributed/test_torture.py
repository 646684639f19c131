"""The short version of ``make test-torture``: real processes, kills and signals."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / '.dev_scripts' / 'torture.py'


@pytest.mark.parametrize('trial', ['kills', 'poison'])
def test_a_few_of_the_trials(trial, tmp_path):
    report = tmp_path / 'report.json'
    command = [sys.executable, str(SCRIPT), '--only', trial, '--kills', '2', '--json', str(report)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    (row,) = json.loads(report.read_text())
    assert row['held'] == row['of'] > 0
