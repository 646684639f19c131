"""The report of a chain: Markdown with pictures beside it, and the same as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import html
import re
import time
from pathlib import Path

import torch

from mmimg2vec.chain.commands import Launch, shell_line, stage_command
from mmimg2vec.chain.logs import final_metrics
from mmimg2vec.chain.plan import Chain, Stage
from mmimg2vec.chain.records import read_record, read_seconds
from mmimg2vec.chain.report.figures import describe_curves, draw_curves, draw_results
from mmimg2vec.chain.report.pictures import draw_predictions
from mmimg2vec.chain.report.results import Comparison, compare, pairs, table, write_json
from mmimg2vec.environment import require
from mmimg2vec.errors import UserError

_LEGEND = {
    'accuracy/top1': 'Top-1 accuracy: share of the validation images whose class is named first.',
    'coco/bbox_mAP': 'Box and mask AP: average precision of COCO, over overlaps of 50 to 95 %.',
    'mIoU': 'mIoU: overlap of predicted and true regions, averaged over the classes.',
    'knn': 'kNN and linear accuracy: how well classes can be told apart from the frozen features, by the nearest '
    'labeled images or by a linear layer; nothing of the backbone is trained, and from scratch are random weights.',
}


def write_report(chain: Chain) -> Path:
    """Write ``report.md``, ``report.html``, ``results.json`` and the pictures of what is finished.

    Returns:
        Path of the HTML page.
    """
    pictures = chain.work_dir / 'pictures'
    pictures.mkdir(parents=True, exist_ok=True)
    rows = compare(chain)
    write_json(chain.work_dir / 'results.json', rows)
    text = '\n\n'.join(_sections(chain, rows, pictures)) + '\n'
    (chain.work_dir / 'report.md').write_text(text, encoding='utf-8')
    page = chain.work_dir / 'report.html'
    page.write_text(to_html(text, chain.title, chain.work_dir), encoding='utf-8')
    return page


def _sections(chain: Chain, rows: list[Comparison], pictures: Path) -> list[str]:
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else 'CPU'
    seconds = sum(read_seconds(chain.folder(stage)) for stage in chain.stages)
    sections = [f'# {chain.title}', chain.introduction.strip()]
    unfinished = [s.name for s in chain.stages if read_record(chain.folder(s)) is None]
    if unfinished:
        sections.append(f'**Not finished: {", ".join(unfinished)}.**')
    sections.append('## Results')
    if rows:
        sections.append(table([rows], chain.differences))
        bars = draw_results([rows], pictures / 'results.png')
        sections += [_picture(_describe(rows), bars)] if bars else []
        sections.append(_legend(rows))
    sections.append(
        f'One run, seed {chain.seed}, on {where}, {time.strftime("%Y-%m-%d")}; {seconds / 60:.0f} minutes of '
        'stages, some of them at the same time. A single run says nothing about the spread over seeds.'
    )
    for stage, baseline in pairs(chain):
        if stage.config:
            sections += _stage(chain, stage, baseline, pictures)
    sections += ['## Stages', _stages(chain)]
    return [section for section in sections if section]


def _legend(rows: list[Comparison]) -> str:
    keys = {row.key for row in rows}
    return ' '.join(text for key, text in _LEGEND.items() if key in keys)


def _stage(chain: Chain, stage: Stage, baseline: Stage | None, pictures: Path) -> list[str]:
    curves = draw_curves(chain, stage, baseline, pictures / f'{stage.name}-curves.png')
    sections = [f'## {stage.title}']
    if curves is not None:
        sections.append(_picture(describe_curves(chain, stage, baseline), curves))
    if read_record(chain.folder(stage)) is not None:
        drawn = sorted(chain.folder(stage).glob('*/vis_data/vis_image/features_*.png'))
        if drawn:
            shown = pictures / f'{stage.name}-features.png'
            shown.write_bytes(max(drawn, key=lambda file: file.stat().st_mtime).read_bytes())
            sections += [
                'Image, what the student sees of it, the target (what the teacher sees, or pixels), and what the '
                'student predicts for the masked patches: features as colors, by their first principal components.',
                _picture(f'Features of {stage.title} as colors, a row for each image', shown),
            ]
        sections += _predictions(chain, stage, baseline, pictures / f'{stage.name}-pictures.png')
    return sections if len(sections) > 1 else []


def _predictions(chain: Chain, stage: Stage, baseline: Stage | None, path: Path) -> list[str]:
    try:
        drawn = draw_predictions(chain, stage, baseline, path)
    except (UserError, RuntimeError, OSError, KeyError, AssertionError) as error:
        # The numbers are worth the report without pictures too: data moved away, a checkpoint deleted.
        reason = (str(error).splitlines() or [''])[0]
        return [f'No pictures of {stage.name}: {type(error).__name__}: {reason}']
    if drawn is None:
        return []
    return [
        'Validation images, which no training has seen. Of detections, the most confident are drawn, as many as there '
        'are objects, each with the score that the model gives it.'
        if 'coco/bbox_mAP' in final_metrics(chain.folder(stage))
        else 'Validation images, which no training has seen.',
        _picture(f'Validation images with truth and predictions of {stage.title}', drawn),
    ]


def _stages(chain: Chain) -> str:
    lines = ['| stage | minutes | finished | command |', '|---|---|---|---|']
    for stage in chain.stages:
        record = read_record(chain.folder(stage)) or {}
        command = record.get('command') or shell_line(*stage_command(chain, stage, Launch()))
        command = command.replace('|', '\\|')
        minutes = read_seconds(chain.folder(stage)) / 60
        lines.append(f'| {stage.title} | {minutes:.1f} | {record.get("finished", "no")} | `{command}` |')
    return '\n'.join(lines)


def _describe(rows: list[Comparison]) -> str:
    """The bars in words."""
    values = [
        f'{row.title}, {row.metric}: {row.value:.1f}'
        + ('' if row.baseline is None else f' pre-trained, {row.baseline:.1f} from scratch')
        for row in rows
        if row.value is not None
    ]
    return f'Bars, in percent. {"; ".join(values)}'


def _picture(title: str, path: Path) -> str:
    return f'![{re.sub(r"[][]", "", title)}](pictures/{path.name})'


_STYLE = """
:root { color-scheme: light dark; --text: #222; --ground: #fff; --line: #ddd; }
@media (prefers-color-scheme: dark) { :root { --text: #ddd; --ground: #16181b; --line: #444; } a { color: #8ab4f8; } }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--text); background: var(--ground); max-width: 72rem;
  margin: 2rem auto; padding: 0 1rem; overflow-wrap: break-word; }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto; }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .8rem; text-align: left; vertical-align: top; }
p:has(> img) { overflow-x: auto; } img { background: #fff; border-radius: 4px; }
code { font-size: 80%; } h2 { margin-top: 2.5rem; }
"""


def to_html(text: str, title: str, folder: Path) -> str:
    """Turn Markdown into one HTML page that holds its pictures.

    HTML in the text is shown as text: names of files and classes, and what a record of a stage says, are nobody's code.

    Args:
        text: Markdown; its pictures' paths are relative to ``folder``.
        title: Title of the page.
        folder: Folder of the Markdown file.
    """
    markdown = require('markdown', 'the HTML report')
    converter = markdown.Markdown(extensions=['tables'])
    converter.preprocessors.deregister('html_block')
    converter.inlinePatterns.deregister('html')
    body = re.sub(r'href="(?!https?://)[^"]*"', '', converter.convert(text))

    def embed(match: re.Match) -> str:
        data = base64.b64encode((folder / match[1]).read_bytes()).decode()
        return f'src="data:image/png;base64,{data}"'

    body = re.sub(r'src="([^":]+\.png)"', embed, body)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{html.escape(title)}</title>'
        f'<style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n'
    )
