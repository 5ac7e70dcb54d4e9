"""A fleet of decoder-only transformers of one shape, as one program. A single model is a fleet of one.

Shape suffixes, in order of axes:
    M members of the fleet     B sequences (batch)     T positions        N = B * T
    D width (residual stream)  H heads                 K head size        F feed-forward width
    V vocabulary               I, O inputs and outputs of a linear layer  R rows in general
Inside attention B counts the sequences of all members, and 2D or 2H are queries and keys side by side.

Every parameter has a leading member axis, and no operation mixes members: a linear layer is one batched product, the
embedding one gather with an offset per member, attention folds members into the batch. So a member is bitwise the same
alone and in a fleet.

The architecture is that of Llama (Touvron et al. 2023, arXiv:2302.13971), with the norms of queries and keys of Qwen3
(arXiv:2505.09388) as an option, and residual and logit multipliers from the configuration. Initial values come from
`windtunnel.models.initialization`; a new Transformer has none.
"""

import torch
import torch.nn.functional as F  # noqa: N812  (the usual name)
from torch import Tensor, nn

from windtunnel.models.configuration import ModelConfig


class Embedding(nn.Module):
    """Rows of the token table: one gather for all members, each offset into its own part of the table."""

    def __init__(self, members: int, vocabulary_size: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(members, vocabulary_size, width))

    def forward(self, tokens_MN: Tensor) -> Tensor:
        M, V, D = self.weight.shape
        offsets_M1 = torch.arange(M, device=tokens_MN.device).unsqueeze(1) * V
        return F.embedding(tokens_MN + offsets_M1, self.weight.reshape(M * V, D))


class Linear(nn.Module):
    """y = x W for each member, computed in `compute_dtype`, which is also the dtype of the result.

    The explicit cast replaces autocast: it is visible, works the same on every device, and costs nothing in float32.
    """

    def __init__(self, members: int, inputs: int, outputs: int, compute_dtype: torch.dtype) -> None:
        super().__init__()
        self.compute_dtype = compute_dtype
        self.weight = nn.Parameter(torch.empty(members, inputs, outputs))

    def forward(self, x_MNI: Tensor) -> Tensor:
        return torch.bmm(x_MNI.to(self.compute_dtype), self.weight.to(self.compute_dtype))


class RMSNorm(nn.Module):
    """Divides by the root mean square of the last axis and multiplies by a gain, in float32 (arXiv:1910.07467)."""

    def __init__(self, members: int, size: int, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.gain = nn.Parameter(torch.empty(members, size))

    def forward(self, x_MRD: Tensor) -> Tensor:
        normed_MRD = F.rms_norm(x_MRD.float(), (x_MRD.shape[-1],), eps=self.epsilon)
        return normed_MRD * self.gain.unsqueeze(1)


class Attention(nn.Module):
    """Causal multi-head attention with rotary positions."""

    def __init__(self, config: ModelConfig, members: int, compute_dtype: torch.dtype) -> None:
        super().__init__()
        self.config = config
        self.compute_dtype = compute_dtype
        # One product for queries, keys and values: their columns lie side by side, each a block of `width`.
        self.query_key_value = Linear(members, config.width, 3 * config.width, compute_dtype)
        self.output = Linear(members, config.width, config.width, compute_dtype)
        if config.qk_norm:
            self.query_norm = RMSNorm(members, config.head_size, config.norm_epsilon)
            self.key_norm = RMSNorm(members, config.head_size, config.norm_epsilon)

    def forward(self, x_MND: Tensor, rotary_2TK: Tensor) -> Tensor:
        M, N, D = x_MND.shape
        T, H, K = rotary_2TK.shape[1], self.config.head_count, self.config.head_size
        qk_MN2D, v_MND = self.query_key_value(x_MND).split((2 * D, D), dim=-1)
        if self.config.qk_norm:
            q_MRK, k_MRK = (half.reshape(M, N * H, K) for half in qk_MN2D.chunk(2, dim=-1))
            q_MND, k_MND = self.query_norm(q_MRK).view(M, N, D), self.key_norm(k_MRK).view(M, N, D)
            qk_MN2D = torch.cat((q_MND, k_MND), dim=-1)
        # Members join the batch: attention has no parameters.
        sequences = M * N // T
        qk_BT2HK = rotate(qk_MN2D.reshape(sequences, T, 2 * H, K), rotary_2TK).to(self.compute_dtype)
        q_BHTK, k_BHTK = qk_BT2HK.transpose(1, 2).chunk(2, dim=1)
        v_BHTK = v_MND.reshape(sequences, T, H, K).transpose(1, 2)
        mixed_BHTK = F.scaled_dot_product_attention(
            q_BHTK, k_BHTK, v_BHTK, is_causal=True, scale=self.config.attention_scale
        )
        out_MND: Tensor = self.output(mixed_BHTK.transpose(1, 2).reshape(M, N, D))
        return out_MND


class FeedForward(nn.Module):
    """SwiGLU, (silu(x W_gate) * x W_up) W_down (arXiv:2002.05202), or gelu(x W_up) W_down with the exact GELU (erf)."""

    def __init__(self, config: ModelConfig, members: int, compute_dtype: torch.dtype) -> None:
        super().__init__()
        self.gated = config.activation == "swiglu"
        if self.gated:
            # One product for both: gate columns first, then up columns.
            self.gate_and_up = Linear(members, config.width, 2 * config.feedforward_width, compute_dtype)
        else:
            self.up = Linear(members, config.width, config.feedforward_width, compute_dtype)
        self.down = Linear(members, config.feedforward_width, config.width, compute_dtype)

    def forward(self, x_MND: Tensor) -> Tensor:
        if self.gated:
            gate_MNF, up_MNF = self.gate_and_up(x_MND).chunk(2, dim=-1)
            hidden_MNF = F.silu(gate_MNF) * up_MNF
        else:
            hidden_MNF = F.gelu(self.up(x_MND))
        out_MND: Tensor = self.down(hidden_MNF)
        return out_MND


class Block(nn.Module):
    """Attention and feed-forward, each a residual branch behind its norm and times the residual multiplier."""

    def __init__(self, config: ModelConfig, members: int, compute_dtype: torch.dtype) -> None:
        super().__init__()
        self.residual_multiplier = config.residual_multiplier
        self.attention_norm = RMSNorm(members, config.width, config.norm_epsilon)
        self.attention = Attention(config, members, compute_dtype)
        self.feedforward_norm = RMSNorm(members, config.width, config.norm_epsilon)
        self.feedforward = FeedForward(config, members, compute_dtype)

    def forward(self, x_MND: Tensor, rotary_2TK: Tensor) -> Tensor:
        # alpha multiplies and adds in one pass; the sum with the float32 stream is float32 for any dtype of the branch.
        x_MND = torch.add(x_MND, self.attention(self.attention_norm(x_MND), rotary_2TK), alpha=self.residual_multiplier)
        return torch.add(x_MND, self.feedforward(self.feedforward_norm(x_MND)), alpha=self.residual_multiplier)


class Transformer(nn.Module):
    """`members` models of one configuration. Parameters are float32 and uninitialized: see `models.initialization`."""

    def __init__(self, config: ModelConfig, members: int = 1, compute_dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.config = config
        self.embedding = Embedding(members, config.vocabulary_size, config.width)
        self.blocks = nn.ModuleList(Block(config, members, compute_dtype) for _ in range(config.depth))
        self.final_norm = RMSNorm(members, config.width, config.norm_epsilon)
        self.compute_dtype = compute_dtype
        if not config.tied_embedding:
            self.readout = Linear(members, config.width, config.vocabulary_size, compute_dtype)
        self._rotary_tables: dict[tuple[int, torch.device], Tensor] = {}

    def forward(self, tokens_MBT: Tensor) -> Tensor:
        """Logits (M, B, T, V), float32, of the token that follows each position.

        `tokens_MBT` are integers in [0, V). T is arbitrary: positions are relative and have no parameters.
        """
        M, B, T = tokens_MBT.shape
        rotary_2TK = self._rotary(T, tokens_MBT.device)
        x_MND = self.embedding(tokens_MBT.reshape(M, B * T))
        for block in self.blocks:
            x_MND = block(x_MND, rotary_2TK)
        # The product is linear, so the multiplier applies to the smaller of the two tensors.
        x_MND = self.final_norm(x_MND) * self.config.logit_multiplier
        if self.config.tied_embedding:
            table_MDV = self.embedding.weight.to(self.compute_dtype).transpose(1, 2)
            logits_MNV = torch.bmm(x_MND.to(self.compute_dtype), table_MDV)
        else:
            logits_MNV = self.readout(x_MND)
        return logits_MNV.float().reshape(M, B, T, -1)

    def loss(self, tokens_MBT: Tensor, targets_MBT: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-entropy of every target in nats and log partition (logsumexp of the logits), both (M, B, T) float32.

        Not reduced: the training loop and the evaluation average in different ways.
        """
        logits_MBTV = self(tokens_MBT)
        nats_MBT = F.cross_entropy(logits_MBTV.flatten(0, 2), targets_MBT.flatten(), reduction="none").view_as(
            targets_MBT
        )
        # -log p = log partition - logit, so the log partition costs a gather instead of a second pass over the logits.
        target_logits_MBT = logits_MBTV.gather(-1, targets_MBT.unsqueeze(-1)).squeeze(-1)
        return nats_MBT, nats_MBT + target_logits_MBT

    def _rotary(self, length: int, device: torch.device) -> Tensor:
        """The rotary table for this length, cached per device. A constant, so it is not in checkpoints."""
        key = (length, device)
        if key not in self._rotary_tables:
            # Evaluation may come first, and a tensor created in inference mode cannot be used in training.
            with torch.inference_mode(False):
                self._rotary_tables[key] = rotary_table(length, self.config.head_size, self.config.rotary_base, device)
        return self._rotary_tables[key]


def rotary_table(length: int, head_size: int, base: float, device: torch.device) -> Tensor:
    """Cosines and signed sines, (2, T, K), of the angles position * base ** (-2 i / K) for i in [0, K/2).

    Each angle serves dimensions i and i + K/2; the sine is negative in the first half (arXiv:2104.09864).
    """
    exponents = torch.arange(0, head_size, 2, dtype=torch.float32, device=device) / head_size
    angles = torch.outer(torch.arange(length, dtype=torch.float32, device=device), 1.0 / base**exponents)
    cosine, sine = angles.cos(), angles.sin()
    return torch.stack((torch.cat((cosine, cosine), dim=1), torch.cat((-sine, sine), dim=1)))


def rotate(x_BTHK: Tensor, rotary_2TK: Tensor) -> Tensor:
    """Rotate the pair of dimensions (i, i + K/2) of every head by the angle of its position, in float32.

    Pairs are halves of a head, as in Llama checkpoints, not neighbors, so exported weights need no permutation. Rolling
    by half a head aligns each dimension with its partner: two products and a sum, the fewest passes over memory.
    """
    cosine_T1K, signed_sine_T1K = rotary_2TK.unsqueeze(2).unbind()
    x_BTHK = x_BTHK.float()
    partner_BTHK = x_BTHK.roll(x_BTHK.shape[-1] // 2, dims=-1)
    return x_BTHK * cosine_T1K + partner_BTHK * signed_sine_T1K
