"""What a constructor raises names the key of the config, in one line."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import Registry

from mmimg2vec.engine.command_line import run
from mmimg2vec.engine.construction_errors import construction_error, keep_trace

PARTS = Registry('parts')


@PARTS.register_module()
class Part:
    def __init__(self, size=1, inner=None, text=''):
        if size % 2 == 0:  # not by assert, which pytest writes anew
            raise AssertionError(*() if text == 'bare' else ('the size has to be odd',))
        if text == 'unicode':
            b'\xff'.decode()
        self.inner = None if inner is None else PARTS.build(inner)


class Wrapping(Registry):
    """Raises as some builders do: another exception that names the class."""

    def build(self, cfg, *args, **kwargs):
        try:
            return PARTS.build(cfg)
        except Exception as error:
            raise RuntimeError(f'class `Part`: {error}') from error


def error_of(cfg, registry=PARTS):
    def main():
        for name in cfg:
            registry.build(cfg[name])

    try:
        main()
    except Exception as error:
        return error


@pytest.mark.parametrize(
    ('options', 'line'),
    [
        ({'first.size': 2}, 'first (Part) cannot be built: the size has to be odd (AssertionError)'),
        ({'second.inner.size': 4}, 'second.inner (Part) cannot be built: the size has to be odd (AssertionError)'),
        ({'second.size': 4}, 'second (Part) cannot be built: the size has to be odd (AssertionError)'),
        ({'first.text': 'bare', 'first.size': 2}, 'first (Part) cannot be built: raise AssertionError('),
        ({'second.wrong': 4}, 'second (Part) cannot be built: '),
        ({'second.inner.text': 'unicode'}, 'second.inner (Part) cannot be built: '),
        ({'second.inner.type': 'Prat'}, 'second.inner (Prat) cannot be built: '),
    ],
)
@pytest.mark.parametrize('registry', [PARTS, Wrapping('wrapping')])
def test_the_part_is_named(options, line, registry):
    cfg = Config(dict(first=dict(type='Part'), second=dict(type='Part', inner=dict(type='Part'))))
    cfg.merge_from_dict(options)
    assert construction_error(error_of(cfg, registry)).startswith(line)


def test_other_exceptions_are_not_of_a_constructor():
    try:
        raise ValueError('x')
    except ValueError as error:
        assert construction_error(error) is None


def test_a_script_ends_with_the_line(capsys):
    def main():
        cfg = Config(dict(model=dict(type='Part', size=2)))
        PARTS.build(cfg.model)

    with pytest.raises(SystemExit) as end:
        run(main)
    assert end.value.code == 2
    line = capsys.readouterr().err.strip()
    assert '\n' not in line and 'error: model (Part) cannot be built: the size has to be odd' in line
    assert 'AssertionError' in Path(line.rpartition(' ')[2]).read_text()


def test_the_trace_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    monkeypatch.setattr('mmengine.logging.MMLogger.get_current_instance', lambda: type('Logger', (), {'handlers': []}))
    try:
        raise ValueError('the reason')
    except ValueError as error:
        path = Path(keep_trace(error))
    assert path.parent == tmp_path and 'ValueError: the reason' in path.read_text()
