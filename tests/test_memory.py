"""What a program needs is known before it runs, and one that does not fit is refused with a way out."""

import runpy

import jax
import jax.numpy as jnp
import pytest

from jaxsr import build, memory, train
from jaxsr.types import UserError

MIB = 2**20


def test_a_program_needs_its_arguments_results_and_what_lies_between():
    def twice(x):
        return jnp.cumsum(x @ x, axis=0)

    x = jnp.zeros((1024, 1024))
    need = memory.needed(jax.jit(twice).lower(x).compile())
    assert 8 * MIB <= need <= 24 * MIB
    assert memory.total() > 2**28


def test_what_does_not_fit_is_refused_with_the_share_that_would():
    memory.check(80, 100, lambda share: "never")
    with pytest.raises(UserError, match=r"the steps need .* GiB can be used here: take 0.45\."):
        memory.check(200, 100, lambda share: f"take {share:.2f}")


def test_a_new_shape_is_compiled_and_looked_at_anew(monkeypatch):
    program = memory.checked(jax.jit(lambda x: 2 * x), lambda share: "take less")
    two = jnp.ones(2)
    assert float(program(two)(two).sum()) == 4
    monkeypatch.setattr(memory, "needed", lambda made: 2 * memory.total())
    assert program(two) is program(two)
    with pytest.raises(UserError, match="take less"):
        program(jnp.ones(3))


@pytest.mark.usefixtures("unoptimised")
def test_a_prior_that_does_not_fit_names_the_crop_that_does(root, tmp_path, monkeypatch):
    path = root / "configs" / "dip_denoise.py"
    made = build.experiment(runpy.run_path(str(path))["get_config"]("tiny"))
    monkeypatch.setattr(memory, "needed", lambda program: 100 * MIB)
    monkeypatch.setattr(memory, "total", lambda: 25 * MIB)
    with pytest.raises(
        UserError, match=r"0.1 GiB of memory.*--config.crop.size=12, or fewer images"
    ):
        train.train(made, tmp_path / "run")
    several = made._replace(loop=made.loop._replace(steps_per_call=2))
    with pytest.raises(UserError, match=r"here: set config.train.steps_per_call=1, or take a crop"):
        train.train(several, tmp_path / "run")
    assert made.smaller(0.25).startswith("take a crop, --config.crop.size=16")
    assert made.smaller(1e-4).startswith("take a network with fewer scales")
