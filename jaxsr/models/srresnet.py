"""SRResNet, the generator of SRGAN, and the two PyTorch copies that are widely used."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxsr.models.blocks import PReLU, batch_norm, instance_norm, shuffle_factors, torch_conv
from jaxsr.ops.pixel_shuffle import pixel_shuffle

_SLOPE = 0.2
_CHOICES = {
    "norm": ("batch", "instance"),
    "activation": ("prelu", "prelu_per_channel", "lrelu"),
    "bias": ("all", "unnormalised", "none"),
    "output": ("symmetric", "tanh", "linear"),
}


class SRResNet(nn.Module):
    """SRResNet of the SRGAN paper: normalised residual blocks, sub-pixel upsampling.

    F0 = act(conv9(lq)); `blocks` times x + N(conv3(act(N(conv3(x))))); F0 + N(conv3(x)); per
    stage act(PS(conv3 to 4f maps)); conv9 to RGB; N the normalisation. No activation after a sum.

    norm:       `batch`, or `instance` (then the output depends on the whole image)
    activation: `prelu` (one slope a layer), `prelu_per_channel`, or `lrelu` (0.2)
    bias:       of the convolutions: `all`, `unnormalised` (not of those that N follows), `none`
    output:     `symmetric` (o+1)/2 for a network that was trained on [-1,1], `tanh`
                (tanh(o)+1)/2, or `linear`

    lq [B,H,W,3] RGB in [0,1], any float dtype -> [B,sH,sW,3] float32 in [0,1], not clipped.
    `scale` is 2, 3, 4 or 8. ValueError for it or an option that is unknown.
    1,549,462 parameters with the defaults, 1,547,350 with bias `unnormalised`; with a slope per
    channel 1,550,659 and 1,548,547 (the paper does not say which of the four). leftthomas/SRGAN:
    blocks 5, output `tanh`, 734,219. twtygqyy/pytorch-SRResNet: norm `instance`, activation
    `lrelu`, bias `none`, output `linear`, 1,546,752.
    Convolutions start as PyTorch's default (uniform ±1/sqrt(fan_in)): the paper does not say;
    slopes 0.25, scales 1. BN momentum 0.9 (0.1 in PyTorch's convention), epsilon 1e-5.
    Source: arXiv:1609.04802 section 2.1 and figure 4; the two repositories' model files.
    """

    features: int = 64
    blocks: int = 16
    scale: int = 4
    norm: str = "batch"
    activation: str = "prelu"
    bias: str = "all"
    head_size: int = 9
    tail_size: int = 9
    output: str = "symmetric"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, lq: jax.Array, *, train: bool = False) -> jax.Array:
        self._check()
        factors = shuffle_factors(self.scale)
        bias, f = self.bias != "none", self.features
        x = torch_conv(lq, f, self.head_size, name="conv_input", dtype=self.dtype, bias=bias)
        first = x = self._activate(x, "act_input")
        for i in range(self.blocks):
            y = self._normalised(x, f"residual_{i}_conv1", f"residual_{i}_norm1", train=train)
            y = self._activate(y, f"residual_{i}_act")
            x = x + self._normalised(y, f"residual_{i}_conv2", f"residual_{i}_norm2", train=train)
        x = first + self._normalised(x, "conv_mid", "norm_mid", train=train)
        for i, factor in enumerate(factors):
            x = torch_conv(x, f * factor**2, 3, name=f"up_{i}_conv", dtype=self.dtype, bias=bias)
            x = self._activate(pixel_shuffle(x, factor, order="torch"), f"up_{i}_act")
        x = torch_conv(x, 3, self.tail_size, name="conv_output", dtype=self.dtype, bias=bias)
        x = x.astype(jnp.float32)
        if self.output == "linear":
            return x
        return ((jnp.tanh(x) if self.output == "tanh" else x) + 1) / 2

    def _normalised(self, x: jax.Array, conv: str, norm: str, *, train: bool) -> jax.Array:
        bias = self.bias == "all"
        x = torch_conv(x, self.features, 3, name=conv, dtype=self.dtype, bias=bias)
        if self.norm == "instance":
            return instance_norm(name=norm, dtype=self.dtype)(x)
        return batch_norm(train=train, name=norm, dtype=self.dtype)(x)

    def _activate(self, x: jax.Array, name: str) -> jax.Array:
        if self.activation == "lrelu":
            return nn.leaky_relu(x, _SLOPE)
        return PReLU(shared=self.activation == "prelu", dtype=self.dtype, name=name)(x)

    def _check(self) -> None:
        given = {
            "norm": self.norm,
            "activation": self.activation,
            "bias": self.bias,
            "output": self.output,
        }
        for name, value in given.items():
            if value not in _CHOICES[name]:
                raise ValueError(
                    f"{name} must be one of {', '.join(_CHOICES[name])}, not {value!r}."
                )
