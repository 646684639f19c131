from mmengine.config import Config

from mmimg2vec.checkpoint.config_text import read_config_text


def test_reads_what_mmengine_dumps():
    cfg = Config(
        dict(
            model=dict(
                type='X',
                backbone=dict(arch='base', out_indices=(0, 1), scale=-1.5, flags=[True, None]),
                by_number={1: 'a', 'a.b': dict(c=2)},
            ),
            name='run',
        )
    )
    assert read_config_text(cfg.pretty_text) == cfg.to_dict()


def test_calls_nothing(tmp_path):
    trace = tmp_path / 'trace'
    text = f'x = open({str(trace)!r}, "w")\nimport os\ny = dict(a=[os.getcwd()])\nz = 1\n'
    values = read_config_text(text)
    assert not trace.exists()
    assert values['y'] == {'a': ['os.getcwd()']}
    assert values['z'] == 1


def test_no_python_is_no_config():
    assert read_config_text('model = dict(') == {}
