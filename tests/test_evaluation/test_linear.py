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


def test_test_features_are_standardized_as_the_training_features():
    # All of one class: by statistics of their own half of them would be on the other side.
    train = torch.tensor([[-1.2], [-0.8], [0.8], [1.2]])
    labels = torch.tensor([0, 0, 1, 1])
    test = torch.tensor([[1.0], [2.0], [3.0], [10.0]])
    assert linear_accuracy(train, labels, test, torch.ones(4, dtype=torch.long)) == 100
    assert linear_accuracy(train, labels, test / 100, torch.ones(4, dtype=torch.long)) == 100


def test_default_penalty():
    features, labels = data(40, 0)
    fitted = fit_linear(features, labels, 4)
    assert all(torch.equal(a, b) for a, b in zip(fitted, fit_linear(features, labels, 4, l2=1e-3), strict=True))
    assert (
        fit_linear(features, labels, 4, l2=2e-3)[0].norm()
        < fitted[0].norm()
        < fit_linear(features, labels, 4, l2=5e-4)[0].norm()
    )
    assert fit_linear(features, labels, 4, max_iters=1)[0].norm() < fitted[0].norm()
