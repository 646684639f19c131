"""What every teacher has to fulfil; a new one adds a class with its config only."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mmimg2vec.models.teachers.base import Teacher, inspect_teacher
from mmimg2vec.models.teachers.build import build_teacher


class TeacherContract:
    """Features on a grid, all that a target generator asks for, and weights that are a function of the seed."""

    size = (64, 64)

    def config(self) -> dict[str, Any]:
        raise NotImplementedError('a test class names its teacher here')

    def released(self, teacher: Teacher) -> dict[str, Tensor]:
        """Weights as a release names them."""
        return dict(teacher.network.state_dict())

    def build(self, seed: int = 0) -> Teacher:
        return build_teacher(self.config(), seed)

    def images(self) -> Tensor:
        return torch.randn(2, 3, *self.size, generator=torch.Generator().manual_seed(4))

    @torch.no_grad()
    def test_tokens_lie_on_a_grid(self):
        teacher = self.build()
        tokens, grid, pooled = teacher(self.images())
        assert tokens.ndim == 3 and tokens.shape[:2] == (2, grid[0] * grid[1])
        assert pooled.ndim == 2 and len(pooled) == 2
        assert tokens.isfinite().all() and tokens.std() > 0
        if teacher.token_stride is not None:
            assert grid == tuple(side // step for side, step in zip(self.size, teacher.token_stride, strict=True))

    @torch.no_grad()
    def test_images_are_seen_one_by_one(self):
        teacher, images = self.build(), self.images()
        assert not any(module.training for module in teacher.modules())
        both, alone = teacher(images), teacher(images[1:])
        torch.testing.assert_close(both.tokens[1:], alone.tokens, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(both.pooled[1:], alone.pooled, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(both.tokens[0], both.tokens[1])

    def test_it_says_what_a_target_generator_asks(self):
        teacher = self.build()
        assert teacher.name and teacher.known_from
        assert len(teacher.mean) == len(teacher.std) == 3 and min(teacher.std) > 10  # gray levels
        assert teacher.native_size is None or len(teacher.native_size) == 2
        assert teacher.num_extra_tokens >= 0
        assert all(part in teacher.network.modules() for part in teacher.stages().values())

    @torch.no_grad()
    def test_the_description_is_true(self):
        spec, features = inspect_teacher(self.build, self.size), self.build()(self.images())
        assert (spec.size, spec.grid) == (self.size, features.grid)
        assert (spec.channels, spec.pooled_channels) == (features.tokens.shape[-1], features.pooled.shape[-1])
        assert spec.parameters == sum(parameter.numel() for parameter in self.build().parameters())

    def test_weights_are_a_function_of_the_seed(self):
        state = torch.random.get_rng_state()
        first, again, other = self.build(1), self.build(1), self.build(2)
        assert torch.equal(state, torch.random.get_rng_state())
        assert first.fingerprint() == again.fingerprint() != other.fingerprint()

    @torch.no_grad()
    def test_a_release_fills_the_network(self):
        source, filled = self.build(1), self.build(2)
        filled.network.load_state_dict(filled.convert_weights(self.released(source)))
        assert filled.fingerprint() == source.fingerprint()
        assert torch.equal(filled(self.images()).tokens, source(self.images()).tokens)
