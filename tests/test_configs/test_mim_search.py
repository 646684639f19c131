"""What `mim search mmimg2vec` reads: the index that the build writes from the names and heads of the configs."""

import json

import pytest
from check_configs import ROOT
from config_checks.files import find_configs, on_embedded_data
from mmengine.config import Config
from model_index import model_index, write_model_index

search = pytest.importorskip('mim.commands.search')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """What is beside the package's configs after a build."""
    folder = tmp_path_factory.mktemp('mim')
    write_model_index(ROOT, folder)
    (folder / 'configs').symlink_to(ROOT / 'configs')
    return folder


@pytest.fixture(scope='module')
def found(folder):
    return search.convert2df(search.load(str(folder / 'model-index.yml')))


def test_every_config_is_found(found, folder):
    configs = {file for file in find_configs(ROOT) if not on_embedded_data(file)}
    assert {(folder / path).resolve() for path in found['config']} == configs
    assert set(found.index) == {file.stem for file in configs}


def test_search_by_data_and_batch(found):
    coco = search.filter_by_training_datasets(found, ['coco'])
    stems = {file.stem for file in find_configs(ROOT) if file.stem.endswith('_coco')}
    assert set(coco.index) == stems and len(stems) > 8
    small = search.filter_by_conditions(coco, 'batch_size<=16')
    assert set(small.index) == {stem for stem in stems if '_8xb2-ms-1x_' in stem}


@pytest.mark.parametrize(
    ('collection', 'folder_name'), [('MFF', 'mff'), ('CAE v2', 'cae_v2'), ('Benchmarks', 'benchmarks')]
)
def test_search_by_collection(found, collection, folder_name):
    models = set(search.filter_by_models(found, [collection.lower()]).index)
    assert models == {file.stem for file in (ROOT / 'configs' / folder_name).rglob('*.py')}


def test_what_the_index_says():
    index = model_index(ROOT)
    papers = {entry['Name']: entry.get('Paper', {}).get('URL') for entry in index['Collections']}
    assert (
        papers['Img2Vec'] == 'https://arxiv.org/abs/2304.12535' and papers['MFF'] == 'https://arxiv.org/abs/2308.00261'
    )
    models = {entry['Name']: entry['Metadata'] for entry in index['Models']}
    upernet = models['upernet_vit-base-p16_8xb2-amp-160k_ade20k-512x512']
    assert (upernet['Iterations'], upernet['Batch Size'], upernet['Task']) == (160000, 16, 'Semantic Segmentation')
    assert upernet['Description'] == 'UPerNet on ViT-B/16, ADE20K, 160k iterations.'
    # Neither results nor weights: nothing was trained at this size here.
    assert {json.dumps([entry['Results'], entry['Weights']]) for entry in index['Models']} == {'[null, [""]]'}


def test_a_config_is_downloaded(folder, tmp_path, monkeypatch):
    download = pytest.importorskip('mim.commands.download')
    for module in (search, download):
        monkeypatch.setattr(module, 'is_installed', lambda package: True)
        monkeypatch.setattr(module, 'get_installed_path', lambda package: str(folder))
    name = next(stem for stem in sorted(file.stem for file in find_configs(ROOT)) if stem.endswith('knn_in1k'))
    download._download_configs('mmimg2vec', [name], str(tmp_path))
    assert 'knn' in Config.fromfile(tmp_path / f'{name}.py')


def test_a_name_outside_the_grammar(tmp_path):
    for name in ('img2vec', 'cae_v2', 'mff', 'benchmarks'):
        (tmp_path / 'configs' / name).mkdir(parents=True)
        (tmp_path / 'configs' / name / 'README.md').write_text(f'# {name}')
    (tmp_path / 'configs' / 'mff' / 'odd.py').touch()
    with pytest.raises(ValueError, match=r'odd\.py: its name does not follow the grammar'):
        model_index(tmp_path)
