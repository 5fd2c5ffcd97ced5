"""Weight files of one tool and of an agent for it, random and quick to compile."""

import jax
import jax.numpy as jnp

from jaxsr import checkpoint
from jaxsr.models.toolbox import SmallTool
from jaxsr.models.toolchain_agent import ToolchainAgent, zero_carry


def tool(path, seed=0):
    """Writes a small tool that changes its image a little; gives the path as text."""
    drawn = SmallTool().init(jax.random.key(seed), jnp.zeros((1, 24, 24, 3)))["params"]
    drawn["conv3"]["kernel"] = 0.01 * jax.random.normal(jax.random.key(1), (5, 5, 16, 3))
    checkpoint.save_weights(path, {"params": drawn}, {"network": {"name": "tool_small"}})
    return str(path)


def agent(path, *, stops=False, tools=1):
    """Writes an agent that always takes the first tool, or always stops; gives the path as text."""
    module = ToolchainAgent(tools=tools)
    drawn = module.init(
        jax.random.key(0), jnp.zeros((1, 1, 63, 63, 3)), jnp.zeros((1, 1, tools)), zero_carry(1)
    )
    drawn["params"]["q"]["bias"] = 9.0 * jax.nn.one_hot(tools if stops else 0, tools + 1)
    checkpoint.save_weights(path, drawn, {"network": {"name": "toolchain_agent", "tools": tools}})
    return str(path)
