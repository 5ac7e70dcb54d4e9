"""A study: which runs make its family, which are held out as targets, and the laws fixed before any target is trained.

One YAML file, typed by the classes here. `windtunnel.sweeps.study.load` reads it and names the line of a mistake.
"""

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from windtunnel.models.family import parse_count
from windtunnel.train.config.schema import Count

Scalar = str | int | float | bool | None
LARGEST_RANGE = 1000


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _number(value: Any) -> Any:
    """`25k` and `1e-3` are numbers here; `true` is none."""
    if isinstance(value, bool):
        raise ValueError(f"{str(value).lower()} is not a number")
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return float(parse_count(value))
    return value


Number = Annotated[float, BeforeValidator(_number), Field(gt=0, allow_inf_nan=False)]


class LogRange(_Strict):
    """`{from: 25k, to: 400k, points: 5}`: geometric, both ends included. Values are whole where both ends are."""

    first: Number = Field(alias="from")
    last: Number = Field(alias="to")
    points: int = Field(ge=2, le=LARGEST_RANGE)

    def values(self) -> list[Scalar]:
        ratio = (math.log(self.last) - math.log(self.first)) / (self.points - 1)
        inner = [self.first * math.exp(ratio * place) for place in range(1, self.points - 1)]
        whole = self.first.is_integer() and self.last.is_integer()
        every = [self.first, *inner, self.last]
        return [round(value) for value in every] if whole else [float(f"{value:.6g}") for value in every]


Values = Annotated[list[Scalar | list[Scalar]], Field(min_length=1)] | LogRange | Scalar  # a list in a list: one value


class Block(_Strict):
    """Runs of one grid (the product of its lists), of one list of rows (settings that go together), or the product of
    both; `where` keeps those of them for which a condition on the resolved run holds.
    """

    grid: dict[str, Values] = {}
    rows: Annotated[list[dict[str, Scalar]], Field(min_length=1)] | None = None
    where: str | None = None

    @model_validator(mode="after")
    def _has_runs(self) -> "Block":
        if not self.grid and self.rows is None:
            raise ValueError("a block needs a grid or rows")
        twice = sorted({key for row in self.rows or () for key in row} & set(self.grid))
        if twice:
            raise ValueError(f"{twice[0]} is in the grid and in the rows: keep one")
        return self


class CurveAnalysis(_Strict):
    """Laws of schedules fitted to the whole curves of the family, which say the curve of every target. The first makes
    the study's prediction.
    """

    laws: Annotated[list[str], Field(min_length=1)]
    losses: Literal["training", "validation"] = "validation"
    objective: str | None = None  # None: that of curves


class Analysis(_Strict):
    """What will be fitted, fixed before the targets are trained: laws of final losses, of whole curves, or both. The
    first law makes the study's prediction; all are sealed, scored and ranked.
    """

    laws: list[str] = []
    curves: CurveAnalysis | None = None
    objective: str | None = None  # None: each law's own
    where: str | None = None  # rows of the family that are fitted
    columns: str | None = None  # as `--columns`: which count is N, D or C
    hold: str | None = None  # rows held out in the back-test; None: rolling over growing compute

    @model_validator(mode="after")
    def _names_each_law_once(self) -> "Analysis":
        if not self.laws and self.curves is None:
            raise ValueError("an analysis names laws, of final losses (laws) or of whole curves (curves)")
        for laws in (self.laws, self.curves.laws if self.curves else []):
            twice = sorted({law for law in laws if laws.count(law) > 1})
            if twice:
                raise ValueError(f"laws: {twice[0]} is named twice: keep one")
        return self


class Budget(_Strict):
    """The plan is refused where it needs more; `sweeps.planning.budget` says when, and what of it binds where."""

    tokens: Count | None = None
    flops: Number | None = None
    hours: Number | None = None  # by the clock, with all workers of the machine at hand
    disk_gigabytes: Number | None = None  # workers wait for room


class Study(_Strict):
    title: str
    fixed: dict[str, Scalar | list[Scalar]] = {}  # settings of every run
    family: Annotated[list[Block], Field(min_length=1)]
    targets: list[Block] = []
    analysis: Analysis | None = None
    budget: Budget = Budget()

    @model_validator(mode="after")
    def _targets_have_laws(self) -> "Study":
        if self.targets and self.analysis is None:
            raise ValueError("targets need an analysis: name the laws before they are trained")
        return self
