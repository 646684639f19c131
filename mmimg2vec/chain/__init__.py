"""From images to classifier, detector and segmenter: stages in order, skipped, resumed, reported."""

from mmimg2vec.chain.commands import Launch, as_typed, stage_command
from mmimg2vec.chain.plan import Chain, Stage, read_chain
from mmimg2vec.chain.preflight import check_chain
from mmimg2vec.chain.records import is_finished, set_aside
from mmimg2vec.chain.runner import run_chain

__all__ = [
    'Chain',
    'Launch',
    'Stage',
    'as_typed',
    'check_chain',
    'is_finished',
    'read_chain',
    'run_chain',
    'set_aside',
    'stage_command',
]
