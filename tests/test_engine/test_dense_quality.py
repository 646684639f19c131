"""Dense quality of the student while pre-training runs, and the loss of a prediction by position alone."""

import json

import pytest
import torch
import toy
from mmengine.hooks import Hook

from mmimg2vec.chain.report import figures
from mmimg2vec.engine.hooks.dense_quality import DenseQualityHook
from mmimg2vec.errors import UserError
from mmimg2vec.evaluation.features import evaluating
from mmimg2vec.models import FeatureHead
from mmimg2vec.teacher_selection.formulas import dense_structure


@pytest.fixture
def images(tmp_path):
    toy.write_images(tmp_path / 'images')
    return tmp_path / 'images'


def hook(folder, **kwargs):
    return dict(type='mmimg2vec.DenseQualityHook', dataloader=toy.labeled_dataloader(folder), images=8, **kwargs)


def scalars(work_dir):
    (path,) = work_dir.glob('*/vis_data/scalars.json')
    return [json.loads(line) for line in path.read_text().splitlines()]


class Notes(Hook):
    priority = 'LOWEST'

    def after_train_epoch(self, runner):
        self.found = torch.rand(1).item(), [module.training for module in runner.model.modules()]


def test_it_is_the_dse_of_the_patch_tokens_and_changes_nothing(images, tmp_path):
    notes = []
    for name, hooks in {'with': [hook(images, interval=2)], 'without': []}.items():
        run = toy.runner_of(images, tmp_path / name, 3, hooks)
        run.register_hook(Notes())
        run.train()
        notes.append(run.hooks[-1].found)
        if name == 'with':
            measured = [line for line in scalars(tmp_path / name) if 'dense/dse' in line]
            loader = next(h for h in run.hooks if isinstance(h, DenseQualityHook)).loader
            kept, model = [], run.model
            with evaluating(model), torch.no_grad():
                for batch in loader:
                    kept.append(model.extract_feat(model.data_preprocessor(batch)['inputs'])[0][:, 1:])
            want = dense_structure(torch.cat(kept)[:8])
    assert notes[0] == notes[1]
    assert [line['step'] for line in measured] == [6, 9]  # epochs 2, and the last
    for key, name in (('dse', 'dense/dse'), ('dse_inter', 'dense/inter'), ('dse_intra_image', 'dense/intra_image')):
        assert measured[-1][name] == pytest.approx(want[key], rel=1e-3)


def test_position_loss_is_logged_once_and_drawn_as_a_line(images, tmp_path, monkeypatch):
    def targets(self, inputs):
        patches = torch.nn.functional.unfold(inputs, toy.PATCH, stride=toy.PATCH).mT
        return dict(tokens=patches @ self.weight.T)

    def forward(self, inputs, mode='tensor', **_):
        features = self.extract_feat(inputs)
        return features if mode == 'tensor' else dict(loss=features[0].square().mean())

    monkeypatch.setattr(toy.ToyTargets, '__call__', targets)
    monkeypatch.setattr(toy.ToyPretrainer, 'forward', forward)
    run = toy.runner_of(images, tmp_path / 'run', 2, [hook(images)])
    run.model.head = FeatureHead(toy.WIDTH, 0, global_weight=0)
    run.train()
    (line,) = [line for line in scalars(tmp_path / 'run') if 'position_loss' in line]
    assert line['step'] == 0 and line['position_loss'] > 0
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    figures._draw_position_loss(axes, scalars(tmp_path / 'run'))
    assert axes.lines[0].get_ydata()[0] == line['position_loss']
    figures._draw_position_loss(axes, [])
    assert len(axes.lines) == 1


def test_too_few_images_are_refused():
    with pytest.raises(UserError, match='give 8 or more'):
        DenseQualityHook({}, images=4)
