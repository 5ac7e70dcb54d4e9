"""Parameters and training FLOPs in every convention, from the configuration alone (no torch).

The exponents of a scaling law move with the convention (Porian et al. 2024, arXiv:2406.19146): each has a name.
"""

from dataclasses import dataclass

from windtunnel.models.configuration import Activation, ModelConfig


@dataclass(frozen=True)
class ParameterCount:
    """Parameters of one model; embedding + head + non_embedding = total."""

    embedding: int
    """vocabulary_size * width: the token table, also when it is tied to the readout."""
    head: int
    """vocabulary_size * width for an untied readout, 0 for a tied one."""
    non_embedding: int
    """Blocks and norms: the N of Kaplan et al. 2020 (arXiv:2001.08361), with the gains of the norms."""
    total: int
    """All parameters: the N of Hoffmann et al. 2022 (arXiv:2203.15556)."""
    active: int
    """Parameters in the matrix products and gains of one token's forward pass; without experts, equal to total."""


@dataclass(frozen=True)
class FlopCount:
    """Training FLOPs per token: forward and backward, a multiply-add as 2, only matrix products counted.

    The backward pass costs twice the forward pass, and nothing is recomputed. Norms, rotary positions, activations,
    softmax, loss and optimizer are left out in every convention, as in all the sources.
    """

    six_n_non_embedding: int
    """6 * non_embedding: Kaplan et al. 2020 (arXiv:2001.08361), section 2.1. Leaves out readout and attention."""
    six_n: int
    """6 * (non_embedding + vocabulary_size * width): the readout is a matrix product whether tied or not. This is what
    Porian et al. 2024 (arXiv:2406.19146) find closest to the cost of small models; the default for fits."""
    six_n_total: int
    """6 * total: C = 6 N D of Hoffmann et al. 2022 (arXiv:2203.15556). An untied token table counts as a product."""
    exact: int
    """Every matrix product, attention over the whole sequence_length ** 2 square as dense kernels do it: 6 * (matrix
    parameters + vocabulary_size * width) + 12 * depth * width * sequence_length. Hoffmann et al. 2022, appendix F,
    without its embedding lookup and softmax, which are not matrix products."""
    exact_causal: int
    """As `exact`, but a position attends only to itself and those before it: (sequence_length + 1) / 2 on average."""


def matrix_parameters(width: int, depth: int, feedforward_width: int, activation: Activation) -> int:
    """Parameters of the hidden matrices of all blocks.

    In each block: 4 width ** 2 of attention, and 3 (swiglu) or 2 (gelu) times width * feedforward_width.
    """
    feedforward_matrices = 3 if activation == "swiglu" else 2
    return depth * (4 * width * width + feedforward_matrices * width * feedforward_width)


def count_parameters(config: ModelConfig) -> ParameterCount:
    """Count the parameters of one member, exactly those of `Transformer(config)`."""
    gains = (2 * config.depth + 1) * config.width
    if config.qk_norm:
        gains += 2 * config.depth * config.head_size
    embedding = config.vocabulary_size * config.width
    head = 0 if config.tied_embedding else embedding
    non_embedding = matrix_parameters(config.width, config.depth, config.feedforward_width, config.activation) + gains
    total = embedding + head + non_embedding
    return ParameterCount(embedding, head, non_embedding, total, active=total)


def flops_per_token(config: ModelConfig, sequence_length: int) -> FlopCount:
    """Training FLOPs per token at this sequence length (tokens), in every convention.

    Raises ValueError when `sequence_length` is below 1.
    """
    if sequence_length < 1:
        raise ValueError(f"sequence_length={sequence_length} must be a whole number of at least 1")
    count = count_parameters(config)
    readout = config.vocabulary_size * config.width
    matrices = matrix_parameters(config.width, config.depth, config.feedforward_width, config.activation)
    # query . key and weights . value: 2 products of 2 * width FLOPs for each attended position, times 3 with backward.
    attention_per_position = 12 * config.depth * config.width
    return FlopCount(
        six_n_non_embedding=6 * count.non_embedding,
        six_n=6 * (count.non_embedding + readout),
        six_n_total=6 * count.total,
        exact=6 * (matrices + readout) + attention_per_position * sequence_length,
        exact_causal=6 * (matrices + readout) + attention_per_position // 2 * (sequence_length + 1),
    )
