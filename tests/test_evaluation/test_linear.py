import torch
import torch.nn.functional as F

from mmimg2vec.evaluation import fit_linear, linear_accuracy


def data(count, seed, classes=4, width=6, spread=0.5):
    generator = torch.Generator().manual_seed(seed)
    centers = torch.randn(classes, width, generator=torch.Generator().manual_seed(7))
    labels = torch.arange(count) % classes
    noise = torch.randn(count, width, generator=generator)
    return (centers[labels] + spread * noise).double(), labels


def test_fit_is_the_optimum():
    features, labels = data(80, 0)
    weight, bias = fit_linear(features, labels, 4, l2=0.01)
    weight.requires_grad_(), bias.requires_grad_()
    loss = F.cross_entropy(F.linear(features, weight, bias), labels)
    loss = loss + 0.005 * weight.square().sum()
    for gradient in torch.autograd.grad(loss, (weight, bias)):
        assert gradient.abs().max() < 1e-5


def test_accuracy_is_deterministic_and_scale_free():
    train, test = data(80, 0, spread=1.2), data(60, 1, spread=1.2)
    accuracy = linear_accuracy(*train, *test)
    assert 50 < accuracy < 100
    assert linear_accuracy(*train, *test) == accuracy
    shifted = [x * torch.logspace(-2, 3, 6).double() + 5 for x in (train[0], test[0])]
    assert abs(linear_accuracy(shifted[0], train[1], shifted[1], test[1]) - accuracy) < 1e-6


def test_constant_feature_and_no_gradient_mode():
    features, labels = data(40, 0, spread=0.1)
    features[:, 0] = 3.0
    with torch.no_grad():
        assert linear_accuracy(features, labels, features, labels) == 100
