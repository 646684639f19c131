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


def test_names_are_whole():
    """The stem is all that metafiles, default work directories and mim know of a config."""
    stems = [file.stem for file in find_configs(ROOT)]
    assert len(set(stems)) == len(stems)


def test_search_by_data_and_batch(found):
    coco = search.filter_by_training_datasets(found, ['coco'])
    stems = {file.stem for file in find_configs(ROOT) if file.stem.endswith('_coco')}
    assert set(coco.index) == stems and len(stems) > 8
    small = search.filter_by_conditions(coco, 'batch_size<=16')
    assert set(small.index) == {stem for stem in stems if '_8xb2-ms-1x_' in stem}


@pytest.mark.parametrize(('collection', 'method'), [('MFF', 'mff'), ('CAE v2', 'cae-v2')])
def test_search_by_collection(found, collection, method):
    models = set(search.filter_by_models(found, [collection.lower()]).index)
    own = {f.stem for f in find_configs(ROOT) if f'_{method}-pre_' in f.stem or f.stem.startswith(f'{method}_')}
    assert models == {stem for stem in own if 'shapes' not in stem}
