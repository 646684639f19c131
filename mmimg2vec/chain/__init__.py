"""From images to classifier, detector and segmenter: stages in order, skipped, resumed, reported."""

from mmimg2vec.chain.chain_config import read_chain
from mmimg2vec.chain.commands import Launch, shell_line, stage_command
from mmimg2vec.chain.plan import Chain, Stage
from mmimg2vec.chain.preflight import check_chain
from mmimg2vec.chain.records import archive, is_finished
from mmimg2vec.chain.runner import run_chain

__all__ = [
    'Chain',
    'Launch',
    'Stage',
    'archive',
    'check_chain',
    'is_finished',
    'read_chain',
    'run_chain',
    'shell_line',
    'stage_command',
]
