"""The report of a chain: numbers, curves and pictures."""

from mmimg2vec.chain.report.figures import draw_results
from mmimg2vec.chain.report.page import write_report
from mmimg2vec.chain.report.results import Comparison, as_json, compare, table

__all__ = ['Comparison', 'as_json', 'compare', 'draw_results', 'table', 'write_report']
