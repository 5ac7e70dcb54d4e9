"""Configuration of a model: shape, switches and parametrization, as plain frozen dataclasses (no torch)."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

ParametrizationName = Literal["standard", "mup", "completep"]
Activation = Literal["swiglu", "gelu"]


@dataclass(frozen=True)
class Parametrization:
    """How initial scale, learning rate, decay and multipliers follow the size of the model.

    The rules themselves are in `windtunnel.models.parametrization`.

    Raises ValueError for an invalid field.
    """

    name: ParametrizationName
    base_width: int
    """The width at which every width multiplier is 1: where the learning rate was tuned."""
    base_depth: int
    """The depth at which every depth multiplier is 1."""
    residual_exponent: float
    """Residual branches are multiplied by (base_depth / depth) ** residual_exponent. 1 is CompleteP's alpha = 1."""
    embedding_std: float
    """Initial standard deviation of the embedding rows, at every width."""
    readout_std: float
    """Initial standard deviation of the untied readout at base width; 0 (zeros) starts from uniform predictions."""

    def __post_init__(self) -> None:
        _require_choice("parametrization.name", self.name, get_args(ParametrizationName))
        _require_positive_integers(self, "parametrization.", "base_width", "base_depth")
        _require_finite(self, "parametrization.", 0.0, True, "residual_exponent", "readout_std")
        _require_finite(self, "parametrization.", 0.0, False, "embedding_std")


@dataclass(frozen=True)
class ModelConfig:
    """A decoder-only transformer: shape, switches and parametrization.

    Raises ValueError, one line with the fix, for fields that do not define a model.
    """

    width: int
    depth: int
    head_count: int
    feedforward_width: int
    vocabulary_size: int
    activation: Activation
    qk_norm: bool
    tied_embedding: bool
    rotary_base: float
    norm_epsilon: float
    z_loss: float
    """Coefficient of mean(logsumexp(logits) ** 2), which the loop adds to the training loss; 0 for none."""
    parametrization: Parametrization

    def __post_init__(self) -> None:
        _require_positive_integers(
            self, "model.", "width", "depth", "head_count", "feedforward_width", "vocabulary_size"
        )
        _require_choice("model.activation", self.activation, get_args(Activation))
        if self.width % self.head_count:
            raise ValueError(
                f"model.width={self.width} is not a multiple of model.head_count={self.head_count}: "
                "choose a head count that divides the width"
            )
        if self.head_size % 2:
            raise ValueError(
                f"model.head_count={self.head_count} at model.width={self.width} gives heads of odd size "
                f"{self.head_size}, which rotary positions cannot pair: choose an even width / head_count"
            )
        _require_finite(self, "model.", 1.0, False, "rotary_base")
        _require_finite(self, "model.", 0.0, False, "norm_epsilon")
        _require_finite(self, "model.", 0.0, True, "z_loss")

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.width // self.head_count

    @property
    def width_ratio(self) -> float:
        """width / base_width, the m_d of the muP tables."""
        return self.width / self.parametrization.base_width

    @property
    def depth_ratio(self) -> float:
        """depth / base_depth, the m_L of the CompleteP table."""
        return self.depth / self.parametrization.base_depth

    @property
    def residual_multiplier(self) -> float:
        """Factor of every residual branch, (base_depth / depth) ** residual_exponent, under every parametrization.

        Without it, the sum of the branches grows with depth, and loss against size bends.
        Source: CompleteP, Dey et al. 2025 (arXiv:2505.01618), Table 1.
        """
        return float(self.depth_ratio**-self.parametrization.residual_exponent)

    @property
    def logit_multiplier(self) -> float:
        """Factor of the logits: base_width / width under muP and CompleteP, 1 under the standard parametrization.

        The rule is the same for tied and untied embeddings: in both, entries and Adam updates do not depend on width,
        and after one step the logits are sums over width of aligned terms, so they must be divided by the width.
        Source: Yang et al. 2022 (Tensor Programs V, arXiv:2203.03466), Table 8 and, for the shared matrix,
        `MuSharedReadout` of the authors' `mup` package.
        """
        return 1.0 if self.parametrization.name == "standard" else 1.0 / self.width_ratio

    @property
    def attention_scale(self) -> float:
        """Factor of query . key: 1 / sqrt(head_size) under every parametrization.

        muP requires a factor proportional to 1 / head_size when the head size grows. The family (`models.family`) grows
        the number of heads and keeps their size, so both rules give the same constant, and the form
        sqrt(base_head_size) / head_size would only add a setting.
        """
        return 1.0 / math.sqrt(self.head_size)


def _require_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name}={value!r} is not known: choose one of {', '.join(choices)}")


def _require_positive_integers(owner: object, prefix: str, *fields: str) -> None:
    for field in fields:
        value = getattr(owner, field)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{prefix}{field}={value!r} must be a whole number of at least 1")


def _require_finite(owner: object, prefix: str, bound: float, bound_is_allowed: bool, *fields: str) -> None:
    for field in fields:
        value = getattr(owner, field)
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not is_number or value < bound or (value == bound and not bound_is_allowed):
            relation = "at least" if bound_is_allowed else "above"
            raise ValueError(f"{prefix}{field}={value!r} must be a finite number {relation} {bound:g}")
