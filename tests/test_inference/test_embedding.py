"""Embeddings of folders of images, their neighbors, and their components as colors."""

import json
import re
import sys

import cv2
import numpy as np
import pytest
import torch
from tiny_vit import ARCH, random_vit, save_backbone
from tool_scripts import load_tool

from mmimg2vec.engine.command_line import run
from mmimg2vec.errors import UserError
from mmimg2vec.inference.embedding import Embedder, embed
from mmimg2vec.inference.picture_pages import write_components, write_neighbors

MEAN, STD = [120.0, 110.0, 100.0], [60.0, 50.0, 40.0]


@pytest.fixture
def images(tmp_path):
    """Five pictures, two of them alike, in a folder whose names would be HTML."""
    folder = tmp_path / 'images' / '<b>a'
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for index in range(5):
        picture = generator.integers(0, 255, (40, 48, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f'{index}.png'), picture)
    (folder / '5.png').write_bytes((folder / '2.png').read_bytes())
    return tmp_path / 'images'


@pytest.fixture
def backbone(tmp_path):
    config = dict(arch=ARCH, img_size=32, patch_size=8)
    preprocessing = dict(mean=MEAN, std=STD, to_rgb=True)
    return save_backbone(tmp_path / 'backbone.pth', random_vit(), config, data_preprocessor=preprocessing)


def test_the_embeddings_are_those_of_the_network(backbone, images, tmp_path):
    rows = {}
    for kind in ('cls', 'mean', 'patches'):
        # Batches that do not divide the number of images.
        result = embed(Embedder(backbone, device='cpu'), images, tmp_path / kind, kind, batch_size=4)
        rows[kind] = np.load(tmp_path / kind / 'embeddings.npy')
        assert list(rows[kind].shape) == result['shape'] and rows[kind].dtype == np.float32
        assert json.loads((tmp_path / kind / 'embeddings.json').read_text()) == result
    assert rows['patches'].shape == (6, 16, 24)
    np.testing.assert_allclose(rows['patches'].mean(1), rows['mean'], atol=1e-5)
    names = result['images']
    assert names == sorted(names) and len(names) == 6
    # By hand: 7/8 of the shorter side, from the middle, as evaluation has it.
    picture = cv2.imread(names[3])[2:37, 6:41]  # of 40 x 48: 35 px
    picture = cv2.resize(picture, (32, 32), interpolation=cv2.INTER_AREA)[..., ::-1].astype(np.float32)
    inputs = torch.from_numpy((picture - MEAN) / STD).permute(2, 0, 1)[None].float()
    with torch.no_grad():
        (tokens,) = random_vit()(inputs)[-1]
    np.testing.assert_allclose(rows['cls'][3], tokens[0], atol=1e-5)
    np.testing.assert_allclose(rows['patches'][3], tokens[1:], atol=1e-5)


def test_bad_images_are_listed_and_the_rows_closed_up(backbone, images, tmp_path):
    (images / '<b>a' / '1.png').write_bytes(b'no image')
    embedder = Embedder(backbone, device='cpu')
    result = embed(embedder, images, tmp_path / 'out', batch_size=2)
    assert [entry['image'] for entry in result['skipped']] == [str(images / '<b>a' / '1.png')]
    rows = np.load(tmp_path / 'out' / 'embeddings.npy', mmap_mode='r')
    assert len(rows) == len(result['images']) == 5
    whole = embed(embedder, result['images'], tmp_path / 'whole')
    np.testing.assert_array_equal(rows, np.load(tmp_path / 'whole' / 'embeddings.npy'))
    assert whole['skipped'] == []
    with pytest.raises(UserError, match=r'1 of 6 images fail, more than max_share=0 .*embeddings.json'):
        embed(embedder, images, tmp_path / 'strict', max_share=0)
    assert (tmp_path / 'strict' / 'embeddings.npy').is_file()  # what was paid for is kept


def test_none_readable_leaves_no_file(backbone, tmp_path):
    (tmp_path / 'bad.png').write_bytes(b'no image')
    with pytest.raises(UserError, match=r'none of the 1 images can be read \(first: .*bad.png'):
        embed(Embedder(backbone, device='cpu'), tmp_path / 'bad.png', tmp_path / 'out')
    assert not list((tmp_path / 'out').iterdir())


def test_a_copy_is_the_nearest_and_an_image_no_neighbor_of_itself(backbone, images, tmp_path, monkeypatch):
    monkeypatch.setattr('mmimg2vec.inference.picture_pages._CHUNK', 2)
    embedder = Embedder(backbone, device='cpu')
    result = embed(embedder, images, tmp_path / 'out', 'patches')
    page = write_neighbors(embedder, tmp_path / 'out', [images / '<b>a' / '2.png'], result, count=3).read_text()
    captions = re.findall(r'<figcaption>(.*?)<br>(.*?)</figcaption>', page)
    assert [text for text, _ in captions][:2] == ['query', '1.000'] and len(captions) == 4
    assert captions[1][1].endswith('5.png')
    assert sum(path.endswith('2.png') for _, path in captions) == 1  # the query alone
    assert '<b>' not in page and page.count('data:image/jpeg;base64,') == 4


def test_components_have_one_basis_and_a_black_background(backbone, images, tmp_path):
    embedder = Embedder(backbone, device='cpu')
    page = write_components(embedder, images, tmp_path / 'out', batch_size=4)
    pictures = sorted((tmp_path / 'out' / 'pca').iterdir())
    assert len(pictures) == 6 and '<b>' not in page.read_text()
    alike = [cv2.imread(str(pictures[index])) for index in (2, 5)]
    np.testing.assert_array_equal(*alike)
    colors = np.stack([cv2.imread(str(path))[:, 32:] for path in pictures])
    black = (colors == 0).all(-1).mean()
    assert 0.1 < black < 0.9
    everything = write_components(embedder, images, tmp_path / 'all', threshold=0).parent
    colors = np.stack([cv2.imread(str(path))[:, 32:] for path in sorted((everything / 'pca').iterdir())])
    assert (colors == 0).all(-1).mean() < black


def test_what_a_backbone_does_not_have(tmp_path):
    model = random_vit(with_cls_token=False)
    config = dict(arch=ARCH, img_size=32, patch_size=8, with_cls_token=False)
    embedder = Embedder(save_backbone(tmp_path / 'b.pth', model, config), device='cpu')
    embedder.check('patches')
    with pytest.raises(UserError, match='no class token'):
        embedder.check('cls')
    with pytest.raises(UserError, match='35 px do not divide into patches of 8'):
        Embedder(tmp_path / 'b.pth', img_size=35)


def test_parquet(backbone, images, tmp_path):
    parquet = pytest.importorskip('pyarrow.parquet')
    result = embed(Embedder(backbone, device='cpu'), images, tmp_path / 'out', file_format='parquet', batch_size=4)
    table = parquet.read_table(tmp_path / 'out' / 'embeddings.parquet').to_pydict()
    assert table['image'] == result['images']
    embed(Embedder(backbone, device='cpu'), images, tmp_path / 'out')
    np.testing.assert_array_equal(np.float32(table['embedding']), np.load(tmp_path / 'out' / 'embeddings.npy'))


def test_missing_pyarrow_is_one_line(backbone, images, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'pyarrow', None)
    with pytest.raises(UserError, match='run: pip install pyarrow'):
        embed(Embedder(backbone, device='cpu'), images, tmp_path / 'out', file_format='parquet')
    assert not (tmp_path / 'out').exists()


def test_the_tool(backbone, images, tmp_path, monkeypatch, capsys):
    (images / 'bad.jpg').write_bytes(b'no image')
    tool, out = load_tool('embed'), tmp_path / 'out'
    query = images / '<b>a' / '0.png'
    arguments = [backbone, images, '--out', out, '--query', query, '--pca', '--workers', 0, '--device', 'cpu']
    monkeypatch.setattr('sys.argv', ['embed.py', *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        run(tool.main)
    printed = capsys.readouterr()
    assert end.value.code == 1 and 'bad.jpg' in printed.err
    assert '7 images found' in printed.out and '7/7 images' in printed.out
    names = sorted(path.name for path in out.iterdir())
    assert names == ['embeddings.json', 'embeddings.npy', 'neighbors.html', 'pca', 'pca.html']
