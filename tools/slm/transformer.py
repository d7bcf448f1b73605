"""The model: a decoder as in Llama. RMSNorm, rotary positions, grouped queries, SwiGLU, a head tied to the embedding.

Names of weights are AUTON's. Positions turn neighbouring elements, ``(0, 1), (2, 3), …``, as ``llama`` in GGUF does, so
that no row moves on export.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from slm.configuration import Architecture


class RMSNorm(nn.Module):
    """Divides by the root of the mean square, then scales each element."""

    def __init__(self, size: int, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """The same shape, ``[..., size]``."""
        return values * torch.rsqrt(values.square().mean(-1, keepdim=True) + self.epsilon) * self.weight


def rotations(architecture: Architecture) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines, each [positions, head_dim / 2]."""
    pairs = torch.arange(0, architecture.head_dim, 2, dtype=torch.float64)
    frequencies = architecture.rope_theta ** (-pairs / architecture.head_dim)
    angles = torch.outer(torch.arange(architecture.max_position_embeddings, dtype=torch.float64), frequencies)
    return angles.cos().float(), angles.sin().float()


def rotate(heads: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor) -> torch.Tensor:
    """Turn the pairs of ``heads`` [batch, heads, positions, head_dim]; computed in f32."""
    even, odd = heads.float().unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.stack((even * cosines - odd * sines, even * sines + odd * cosines), dim=-1)
    return turned.flatten(-2).to(heads.dtype)


class Attention(nn.Module):
    """Causal self-attention; several query heads share a head of keys and values."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.head_dim = architecture.head_dim
        self.shared_by = architecture.num_attention_heads // architecture.num_key_value_heads
        hidden, key_value = architecture.hidden_size, architecture.num_key_value_heads * architecture.head_dim
        self.q_proj = nn.Linear(hidden, hidden, bias=False)
        self.k_proj = nn.Linear(hidden, key_value, bias=False)
        self.v_proj = nn.Linear(hidden, key_value, bias=False)
        self.o_proj = nn.Linear(hidden, hidden, bias=False)

    def forward(self, hidden: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor) -> torch.Tensor:
        """[batch, positions, hidden_size], from and to."""
        projected = (self.q_proj(hidden), self.k_proj(hidden), self.v_proj(hidden))
        queries, keys, values = (one.unflatten(-1, (-1, self.head_dim)).transpose(1, 2) for one in projected)
        attended = functional.scaled_dot_product_attention(
            rotate(queries, cosines, sines),
            rotate(keys, cosines, sines).repeat_interleave(self.shared_by, dim=1),
            values.repeat_interleave(self.shared_by, dim=1),
            is_causal=True,
        )
        return self.o_proj(attended.transpose(1, 2).flatten(-2))


class SwiGLU(nn.Module):
    """The feed-forward part: ``down(silu(gate(x)) * up(x))``."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        hidden, inner = architecture.hidden_size, architecture.intermediate_size
        self.gate_proj = nn.Linear(hidden, inner, bias=False)
        self.up_proj = nn.Linear(hidden, inner, bias=False)
        self.down_proj = nn.Linear(inner, hidden, bias=False)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """[batch, positions, hidden_size], from and to."""
        return self.down_proj(functional.silu(self.gate_proj(hidden)) * self.up_proj(hidden))


class Layer(nn.Module):
    """Attention and feed-forward, each behind a norm and added to what came in."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.attn_norm = RMSNorm(architecture.hidden_size, architecture.norm_epsilon)
        self.attn = Attention(architecture)
        self.ffn_norm = RMSNorm(architecture.hidden_size, architecture.norm_epsilon)
        self.ffn = SwiGLU(architecture)

    def forward(self, hidden: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor) -> torch.Tensor:
        """[batch, positions, hidden_size], from and to."""
        attended = hidden + self.attn(self.attn_norm(hidden), cosines, sines)
        return attended + self.ffn(self.ffn_norm(attended))


class Transformer(nn.Module):
    """The whole model. ``checkpointed``: layers are computed again in the backward pass, to save memory."""

    def __init__(self, architecture: Architecture, *, checkpointed: bool = False) -> None:
        super().__init__()
        self.architecture = architecture
        self.checkpointed = checkpointed
        self.embed_tokens = nn.Embedding(architecture.vocab_size, architecture.hidden_size)
        self.layers = nn.ModuleList(Layer(architecture) for _ in range(architecture.num_layers))
        self.norm = RMSNorm(architecture.hidden_size, architecture.norm_epsilon)
        cosines, sines = rotations(architecture)
        self.register_buffer("cosines", cosines, persistent=False)
        self.register_buffer("sines", sines, persistent=False)

    def start(self, seed: int) -> Transformer:
        """Draw the weights anew; what adds to the residual stream is smaller, the more there is of it."""
        generator = torch.Generator().manual_seed(seed)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                adds = name.endswith(("o_proj.weight", "down_proj.weight"))
                deviation = 0.02 / (2 * len(self.layers)) ** 0.5 if adds else 0.02
                nn.init.normal_(weight, std=deviation, generator=generator)
        return self

    def hidden(self, tokens: torch.Tensor) -> torch.Tensor:
        """What the head reads, [batch, positions, hidden_size], for ``tokens`` [batch, positions]."""
        hidden = self.embed_tokens(tokens)
        cosines, sines = self.cosines[: tokens.shape[1]], self.sines[: tokens.shape[1]]
        for layer in self.layers:
            if self.checkpointed and self.training:
                hidden = checkpoint(layer, hidden, cosines, sines, use_reentrant=False)
            else:
                hidden = layer(hidden, cosines, sines)
        return self.norm(hidden)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits [batch, positions, vocab_size]."""
        return functional.linear(self.hidden(tokens), self.embed_tokens.weight)

    def loss(self, tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The mean of -ln p(target), in nats; both [batch, positions]."""
        return functional.cross_entropy(self(tokens).float().flatten(0, 1), targets.flatten())
