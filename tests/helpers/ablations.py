"""The rows of docs/ablations.md: variants of a config that change an option."""

import argparse
import re
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from mmimg2vec.engine.command_line import Options
from mmimg2vec.utils.config import load_config

ROOT = Path(__file__).resolve().parents[2]
_ROW = re.compile(r'\| (?P<name>\S+) \| `(?P<config>configs/\S+\.py)` \| `(?P<options>[^`]+)` \| .+ \| .+ \|')


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        name: Its name.
        config: Path of the config below the root of the project.
        options: What follows ``--cfg-options``, parsed.
    """

    name: str
    config: str
    options: dict

    def load(self) -> Config:
        """Read the config with the options, as the tools do."""
        return load_config(str(ROOT / self.config), dict(self.options))


def read_rows() -> list[Row]:
    """All rows of all tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=Options)
    rows = []
    for match in map(_ROW.fullmatch, (ROOT / 'docs' / 'ablations.md').read_text(encoding='utf-8').splitlines()):
        if match:
            options = parser.parse_args(['--cfg-options', *match['options'].split()]).cfg_options
            rows.append(Row(match['name'], match['config'], options))
    return rows
