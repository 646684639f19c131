"""The pages of the documentation, and what stands in them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / 'README.md', ROOT / 'CONTRIBUTING.md', *sorted((ROOT / 'docs').rglob('*.md'))]
#: READMEs beside configs, whose links are looked at too.
READMES = sorted((ROOT / 'configs').rglob('README.md'))


def name_of(page: Path) -> str:
    """The page's path in the checkout, for the name of a test."""
    return page.relative_to(ROOT).as_posix()


def blocks(text: str, language: str) -> list[str]:
    """The code blocks of a language, without their indentation in a list."""
    found = re.findall(rf'^( *)```{language}\n(.*?)^ *```$', text, re.MULTILINE | re.DOTALL)
    return [re.sub(rf'^{indent}', '', code, flags=re.MULTILINE) for indent, code in found]


def commands(text: str) -> list[str]:
    """The commands of all shell blocks, one a line: continued lines joined, remarks gone, variables put in."""
    result = []
    for block in blocks(text, 'bash'):
        variables: dict[str, str] = {}
        for line in block.replace('\\\n', ' ').splitlines():
            line = re.sub(r'(^|\s)#.*', '', line).strip()
            if assigned := re.fullmatch(r'(?:export )?([A-Z_0-9]+)=(\S+)', line):
                variables[assigned[1]] = assigned[2]
                continue
            for name, value in variables.items():
                line = re.sub(rf'\${name}\b', value, line)
            result += [part.strip() for part in line.split('&&') if part.strip()]
    return result


def anchors(text: str) -> set[str]:
    """The names that headings can be linked by, as GitHub and MyST make them."""
    text = re.sub(r'^ *```.*?^ *```$', '', text, flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r'^#{1,3} (.+)$', text, re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', title.lower()).strip().replace(' ', '-') for title in titles}
