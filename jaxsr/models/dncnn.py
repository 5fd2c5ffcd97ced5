"""DnCNN: a plain stack that predicts noise, or the error of bicubic enlargement."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxsr.models.blocks import batch_norm, convolution
from jaxsr.ops.resize import resize

_BIASES = ("all", "unnormalised", "first")


class DnCNN(nn.Module):
    """x - conv(...[conv, BN, ReLU] x (depth - 2)...(ReLU(conv(x)))), all 3x3.

    lq [B,H,W,channels] in [0,1] -> [B,sH,sW,channels] float32, not clipped; Y or grey for one
    channel, RGB for three. As a super-resolution network (DnCNN-3) it works on the bicubically
    enlarged image: with `scale` > 1 it enlarges its input first (clamped border); with 1 the
    caller has done so, or wants noise or JPEG artefacts removed.

    depth:      convolutions; 17 for one noise level, 20 for blind ones and DnCNN-3
    batch_norm: False is the released form, normalisation merged into the convolutions
    bias:       `all` (KAIR, MatConvNet), `unnormalised` (paper: none before a normalisation),
                `first` (cszn's PyTorch code: only the first convolution has one)
    residual:   False returns the stack's own output
    Batch normalisation with epsilon 1e-4 and momentum 0.1 (0.9 in PyTorch's convention). Kernels
    start orthogonal with gain 0.2 (KAIR), biases 0. One channel: 17 layers 555,137 merged, 557,057
    with BN and all biases, 556,097 `unnormalised`; 20 layers 665,921 merged, 668,225 with BN.
    Raises ValueError for another bias. Source: Zhang et al., arXiv:1608.03981, section III;
    cszn/KAIR models/network_dncnn.py; cszn/DnCNN TrainingCodes/dncnn_pytorch/main_train.py.
    """

    depth: int = 17
    features: int = 64
    channels: int = 1
    batch_norm: bool = False
    bias: str = "all"
    residual: bool = True
    scale: int = 1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, lq: jax.Array, *, train: bool = False) -> jax.Array:
        if self.bias not in _BIASES:
            raise ValueError(f"bias must be one of {', '.join(_BIASES)}, not {self.bias!r}.")
        lq = lq.astype(jnp.float32)
        if self.scale > 1:
            lq = resize(lq, self.scale, border="clamp")
        last = self.depth - 1
        x = lq
        for index in range(self.depth):
            normalised = self.batch_norm and 0 < index < last
            biased = {"all": True, "unnormalised": not normalised, "first": index == 0}[self.bias]
            x = convolution(
                self.channels if index == last else self.features,
                3,
                name=f"conv_{index}",
                kernel_init=nn.initializers.orthogonal(0.2, column_axis=-1),
                bias=biased,
                dtype=self.dtype,
            )(x)
            if normalised:
                # every code of this family forgets faster than PyTorch's default
                numbers = dict(momentum=0.1, epsilon=1e-4)
                x = batch_norm(train=train, name=f"norm_{index}", dtype=self.dtype, **numbers)(x)
            if index < last:
                x = nn.relu(x)
        x = x.astype(jnp.float32)
        return lq - x if self.residual else x
