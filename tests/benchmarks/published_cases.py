"""Numbers printed in papers, and our results on the same published tables.

A parameter holds within half a unit of its last printed digit or the stated tolerance, a minimized objective at or
below the printed value. The tables are in the folder WINDTUNNEL_PUBLIC_DATA, by default ../shared/data beside the
checkout; a case without its table is skipped. Curve laws are in `curve_cases`.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import spearmanr

from tests.support.paths import PUBLIC_DATA
from windtunnel.analysis.compute_optimal.isoflop import fit_isoflop, fit_pairs
from windtunnel.analysis.fitting.fit import fit, fit_two_step
from windtunnel.analysis.fitting.result import TwoStepFit
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.laws.constraints import fix_parameters
from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.laws.two_step import compose
from windtunnel.analysis.solver.objective import parse_objective
from windtunnel.analysis.tables.load import load_table
from windtunnel.analysis.tables.table import Table


@dataclass(frozen=True)
class Row:
    """One printed number. `at_most` and `at_least` are one-sided; otherwise `tolerance` is two-sided."""

    quantity: str
    printed: float
    ours: float
    tolerance: float = 0.0
    at_most: bool = False
    at_least: bool = False

    @property
    def holds(self) -> bool:
        if self.at_most:
            return self.ours <= self.printed
        if self.at_least:
            return self.ours >= self.printed
        return abs(self.ours - self.printed) <= self.tolerance

    @property
    def rule(self) -> str:
        return "<=" if self.at_most else ">=" if self.at_least else f"+-{self.tolerance:.2g}"


@dataclass(frozen=True)
class Case:
    name: str
    folder: str
    rows: Callable[[], Iterator[Row]]

    @property
    def reason_unavailable(self) -> str:
        """Why the case cannot run, or an empty string."""
        exists = (PUBLIC_DATA / self.folder).is_dir()
        return "" if exists else f"no {self.folder} in {PUBLIC_DATA}: set WINDTUNNEL_PUBLIC_DATA"


# -- over-training and downstream error: the loss is fitted to 5 models, the error to these and the 1.4B at M = 20

OVERTRAINING = {
    "rpj": {"E": (1.83665, 5e-6), "eta": (0.1364, 5e-5), "a": (212.2, 0.05), "b": (366.7, 0.05)},
    "c4_original": {"E": (1.50826, 5e-6), "eta": (0.1212, 5e-5), "a": (141.3, 0.05), "b": (189.5, 0.05)},
    "rw_original": {"E": (1.73446, 5e-6), "eta": (0.1272, 5e-5), "a": (157.1, 0.05), "b": (246.2, 0.05)},
}
DOWNSTREAM = {
    "rpj": {"k": 2.206, "gamma": 0.715, "epsilon": 0.857},
    "c4_original": {"k": 2.079, "gamma": 0.756, "epsilon": 0.850},
    "rw_original": {"k": 2.215, "gamma": 0.707, "epsilon": 0.865},
}
HELD_OUT = {  # 1.4B at 640 tokens per parameter, 6.9B at 20
    "N < 2e9 and M == 640": (0.7103, 3.6365),
    "N > 6e9 and M == 20": (0.7320, 0.0464),
}


def overtraining_table(corpus: str) -> Table:
    return load_table(
        PUBLIC_DATA / "gadre_overtrain" / "flat_104_models.csv",
        columns="N=N,D=D,M=tok_mult,C=6*N*D,loss=loss_c4_val,error=err_avg17",
        where=f"dataset == '{corpus}'",
    )


def fit_overtraining(corpus: str) -> TwoStepFit:
    table = overtraining_table(corpus)
    six = table.select("M == 20 and N < 2e9 or M == 320 and N < 2e7")
    law = compose(replace(get_law("overtraining"), objective="mse"), get_law("error-loss"))
    return fit_two_step(six, law, first_table=six.select("N < 1e9"), allow_few_points=True)


def overtraining(corpus: str) -> Iterator[Row]:
    fitted = fit_overtraining(corpus)
    for name, (printed, tolerance) in OVERTRAINING[corpus].items():
        yield Row(name, printed, fitted.parameters[name], tolerance)
    for name, printed in DOWNSTREAM[corpus].items():
        yield Row(f"error: {name}", printed, fitted.parameters[name], 5e-4)
    if corpus != "rpj":
        return
    for where, (loss, error) in HELD_OUT.items():
        at = overtraining_table(corpus).select(where).columns
        tokens = where.partition(" and ")[2]
        loss_error = percent_error(fitted.steps[0].predict(at), at["loss"])
        yield Row(f"held-out loss error %, {tokens}", loss, loss_error, 5e-5)
        yield Row(f"held-out error error %, {tokens}", error, percent_error(fitted.predict(at), at["error"]), 5e-5)


def percent_error(predicted_P: Array, measured_P: Array) -> float:
    return 100 * float(np.abs(predicted_P / measured_P - 1)[0])


# -- repeated data

DATABLATIONS = {
    "E": float(np.exp(0.6254804)),
    "A": float(np.exp(6.255414)),
    "B": float(np.exp(7.3049974)),
    "alpha": 0.3526596,
    "beta": 0.3526596,
}
HALF_LIVES = {"R_D*": 15.387756, "R_N*": 5.309743}


def data_constrained_table() -> Table:
    return load_table(PUBLIC_DATA / "datablations" / "c4_182_runs_from_notebook_cell25.csv")


def published_data_constrained() -> Iterator[Row]:
    table, law = data_constrained_table(), get_law("data-constrained")
    loss_P = table.columns["loss"]
    predicted_P = law.predict_one({**DATABLATIONS, **HALF_LIVES}, table.columns)
    value = float(parse_objective("log-huber:1e-3").value(predicted_P[None], loss_P[None])[0])
    explained = 1 - float(np.sum((predicted_P - loss_P) ** 2) / np.sum((loss_P - loss_P.mean()) ** 2))
    # The tolerances follow from the eight printed digits of the constants.
    yield Row("objective", 0.015825936570763588, value, 2e-9)
    yield Row("R2", 0.7722046, explained, 5e-8)


def refitted_data_constrained() -> Iterator[Row]:
    fitted = fit(data_constrained_table(), fix_parameters(get_law("data-constrained"), DATABLATIONS), bootstrap=1000)
    yield Row("objective", 0.0158074, fitted.value, at_most=True)
    yield Row("R_D* not identified", 1.0, float("R_D*" in fitted.not_identified))
    yield Row("R_D* interval open above", np.inf, fitted.intervals["R_D*"][1], at_least=True)


def joint_data_constrained() -> Iterator[Row]:
    fitted = fit(data_constrained_table(), fix_parameters(get_law("data-constrained"), {"beta": "alpha"}))
    yield Row("objective, all fitted, beta = alpha", 0.0158074, fitted.value, at_most=True)


# -- routed models

ROUTERS = ("Hash", "S-Base", "RL-R")


def routed_table(routers: str) -> Table:
    """Last losses of dense models (as one expert) and of these routers, one expert per token in every other block."""
    table = load_table(
        PUBLIC_DATA / "dm_routing" / "curves.csv.gz",
        columns="N=dense_parameter_count,experts=num_experts,loss=loss_validation",
        where=f"loss_validation > 0 and step > 240000 and k == 1 and routing_frequency == 0.5 and ({routers})",
    )
    last: dict[float, int] = {}
    for row, (run, step) in enumerate(zip(table.columns["hyper_id"], table.columns["step"], strict=True)):
        if run not in last or step > table.columns["step"][last[run]]:
            last[run] = row
    return table.take(np.array(sorted(last.values())))


def routed() -> Iterator[Row]:
    dense = routed_table("router_type == 'Dense'").columns
    slope = np.polyfit(np.log10(dense["N"]), np.log10(dense["loss"]), 1)[0]
    yield Row("dense slope", -0.0788, float(slope), 5e-5)
    for router in ROUTERS:
        table = routed_table(f"router_type == 'Dense' or router_type == '{router}'").select("seed == 42")
        rmse = np.sqrt(fit(table, get_law("routed")).value / len(table)) / np.log(10)
        yield Row(f"rmse(log10 L), {router}", 0.0034, float(rmse), at_most=True)


# -- data mixtures

MIXTURE_TESTS = {"1m": 0.96, "60m": 0.955, "1B": 0.985}


def mixture_table(weights: str, losses: str) -> Table:
    """Proportions with the loss on Pile-CC, matched by index."""
    folder = PUBLIC_DATA / "regmix"
    table = load_table(folder / weights)
    measured = load_table(folder / losses).columns
    if not np.array_equal(table.columns["index"], measured["index"]):
        raise ValueError(f"{weights} and {losses} list different runs")
    return replace(table, columns={**table.columns, "loss": measured["metric/the_pile_pile_cc_val_loss"]})


def mixture() -> Iterator[Row]:
    train = mixture_table("train_mixture_1m.csv", "train_pile_loss_1m.csv")
    fitted = fit(train, get_law("mixture:train_the_pile_*"), profile=False)
    for size, printed in MIXTURE_TESTS.items():
        test = mixture_table(f"test_mixture_{size}.csv", f"test_pile_loss_{size}.csv").columns
        correlation = float(spearmanr(fitted.predict(test), test["loss"]).statistic)
        yield Row(f"Spearman at {size}", printed, correlation, at_least=True)


# -- isoFLOP

EXPONENTS = {  # set-up: printed with and without weights 1/sigma
    "rw/base/long/kaplan/kaplan/train": ("Kaplan's set-up", 0.8353, 0.8338),
    "rw/base/long/kaplan/standard/val": ("head FLOPs", 0.7065, 0.7009),
    "rw/base/short/kaplan/standard/val": ("warm-up", 0.6020, 0.6035),
    "rw/base/short/chinchilla/standard/val": ("cosine", 0.5715, 0.5714),
    "rw/tuned/short/const/standard/val": ("tuned", 0.4969, 0.4970),
}
TUNED = "rw/tuned/short/const/standard/val"
TUNED_INTERVAL = (0.4907, 0.5045)


def isoflop_exponents() -> Iterator[Row]:
    pairs = load_table(
        PUBLIC_DATA / "porian_isoflop" / "optimal_pairs_flat.csv", columns="C=flops,N=n_opt", where="n_opt > 0"
    )
    for setup, (name, weighted, unweighted) in EXPONENTS.items():
        columns = pairs.select(f"experiment == '{setup}' and n_std > 0").columns
        by_noise = fit_pairs(columns["C"], columns["N"], columns["n_std"])
        yield Row(f"{name}, weights 1/sigma", weighted, by_noise.exponent, 5e-5)
        yield Row(f"{name}, unweighted", unweighted, fit_pairs(columns["C"], columns["N"]).exponent, 5e-5)


def isoflop_points() -> Iterator[Row]:
    points = load_table(PUBLIC_DATA / "porian_isoflop" / "isoflop_points_flat.csv", columns="C=flops,N=n,D=tokens")
    size = fit_isoflop(points.select(f"experiment == '{TUNED}'")).size
    assert size is not None
    center, half = sum(TUNED_INTERVAL) / 2, (TUNED_INTERVAL[1] - TUNED_INTERVAL[0]) / 2
    yield Row("exponent of the tuned set-up, 95 % interval", center, size.exponent, half)
    low, high = size.interval
    yield Row("our interval reaches theirs, below", TUNED_INTERVAL[1], low, at_most=True)
    yield Row("our interval reaches theirs, above", TUNED_INTERVAL[0], high, at_least=True)


CASES = (
    Case("over-training, RedPajama", "gadre_overtrain", lambda: overtraining("rpj")),
    Case("over-training, C4", "gadre_overtrain", lambda: overtraining("c4_original")),
    Case("over-training, RefinedWeb", "gadre_overtrain", lambda: overtraining("rw_original")),
    Case("data-constrained, published constants", "datablations", published_data_constrained),
    Case("data-constrained, half-lives refitted", "datablations", refitted_data_constrained),
    Case("data-constrained, all refitted", "datablations", joint_data_constrained),
    Case("routed", "dm_routing", routed),
    Case("mixture, Pile-CC", "regmix", mixture),
    Case("isoFLOP, optimal pairs", "porian_isoflop", isoflop_exponents),
    Case("isoFLOP, raw points", "porian_isoflop", isoflop_points),
)


def main() -> None:
    print(f"{'case':<40} {'quantity':<36} {'printed':>13} {'rule':>9} {'ours':>13}  verdict")
    for case in CASES:
        if case.reason_unavailable:
            print(f"{case.name:<40} skipped: {case.reason_unavailable}")
            continue
        start = time.perf_counter()
        rows = list(case.rows())
        seconds = time.perf_counter() - start
        for number, row in enumerate(rows):
            verdict = ("holds" if row.holds else "DOES NOT HOLD") + (f"  {seconds:.2f} s" if number == 0 else "")
            name = case.name if number == 0 else ""
            print(f"{name:<40} {row.quantity:<36} {row.printed:>13.8g} {row.rule:>9} {row.ours:>13.8g}  {verdict}")


if __name__ == "__main__":
    main()
