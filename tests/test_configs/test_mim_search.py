"""What `mim search mmimg2vec` reads: model-index.yml and the metafiles that it imports."""

import pytest
from check_configs import ROOT
from config_checks.files import find_configs, on_embedded_data

search = pytest.importorskip('mim.commands.search')


@pytest.fixture(scope='module')
def found():
    return search.convert2df(search.load(str(ROOT / 'model-index.yml')))


def test_every_config_is_found(found):
    configs = {file for file in find_configs(ROOT) if not on_embedded_data(file)}
    assert {ROOT / path for path in found['config']} == configs
    assert set(found.index) == {file.stem for file in configs}


def test_search_by_data_and_batch(found):
    coco = search.filter_by_training_datasets(found, ['coco'])
    assert len(coco) == 8
    small = search.filter_by_conditions(coco, 'batch_size<=16')
    assert sorted(small.index) == [
        'mask-rcnn_vitdet-base-p16-sfp_8xb2-ms-1x_coco',
        'mask-rcnn_vitdet-large-p16-sfp_8xb2-ms-1x_coco',
    ]
