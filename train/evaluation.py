"""Held-out loss on the same windows for every run: nats per token with standard error, and bits per byte.

The windows depend on the prepared corpus alone, never on a seed, so that runs differ by their models and not by the
windows drawn. Evaluation draws no random number and does not change the training order.

Shapes: M members, W windows, T positions.
"""

import math

import numpy as np
import torch
import torch.distributed as distributed
from numpy.typing import NDArray

from windtunnel.models.transformer import Transformer
from windtunnel.train.batches import gather_windows, shard_tensors
from windtunnel.train.data.corpus import Corpus
from windtunnel.train.data.evaluation_windows import evaluation_windows
from windtunnel.train.device import Ranks

FloatArray = NDArray[np.float64]

SEQUENCES_PER_PASS = 32


class Evaluation:
    """The held-out windows of a corpus; calling it evaluates a model on them."""

    def __init__(
        self, corpus: Corpus, *, sequence_length: int, evaluation_tokens: int, ranks: Ranks, device: torch.device
    ) -> None:
        self._names = [domain.name for domain in corpus.manifest.domains]
        self._domain_W, self._window_W = evaluation_windows(corpus, sequence_length, evaluation_tokens)
        self._domains = shard_tensors([corpus.validation_tokens(d) for d in range(len(self._names))], device)
        self._sequence_length = sequence_length
        self._ranks = ranks
        self._device = device
        self._document_W = _document_numbers(corpus, self._domain_W, self._window_W * sequence_length)
        self._bytes_W = None  # synthetic tokens have no text
        token_bytes = corpus.token_bytes()
        if token_bytes is not None:
            window_WT1 = self._windows(np.arange(len(self._domain_W))).cpu().numpy()
            self._bytes_W = token_bytes[window_WT1[:, 1:]].sum(-1)

    @property
    def tokens(self) -> int:
        """Number of evaluated tokens."""
        return len(self._domain_W) * self._sequence_length

    def _windows(self, rows: NDArray[np.int64]) -> torch.Tensor:
        return gather_windows(
            self._domains,
            self._domain_W[rows],
            self._window_W[rows] * self._sequence_length,
            self._sequence_length + 1,
            self._device,
        )

    @torch.no_grad()
    def __call__(self, model: Transformer, members: int) -> list[dict[str, float]]:
        """One row of `validation_*` columns for each member."""
        count = len(self._domain_W)
        nats_MW = torch.zeros(members, count, dtype=torch.float64, device=self._device)
        passes = range(0, count, SEQUENCES_PER_PASS)
        for index, begin in enumerate(passes):
            if index % self._ranks.world_size != self._ranks.rank:
                continue
            rows = np.arange(begin, min(begin + SEQUENCES_PER_PASS, count))
            window_MBT1 = self._windows(rows)[None].expand(members, -1, -1)
            nats_MBT, _ = model.loss(window_MBT1[..., :-1], window_MBT1[..., 1:])
            nats_MW[:, begin : begin + len(rows)] = nats_MBT.double().mean(-1)
        if self._ranks.world_size > 1:
            # Exact: one rank computes each window, and it is zero on the others.
            distributed.all_reduce(nats_MW)
        return [self._row(nats_W) for nats_W in nats_MW.cpu().numpy()]

    def _row(self, nats_W: FloatArray) -> dict[str, float]:
        row = self._loss_columns("validation", nats_W, np.ones(len(nats_W), dtype=bool))
        # Over windows: how well the windows represent their documents. By document: how well the few documents
        # represent text of their kind, which is several times larger. A difference between runs is known more exactly
        # than either, because runs are evaluated on the same windows.
        row["validation_standard_error"] = (
            float(nats_W.std(ddof=1) / math.sqrt(len(nats_W))) if len(nats_W) > 1 else 0.0
        )
        row["validation_standard_error_by_document"] = clustered_standard_error(nats_W, self._document_W)
        if len(self._names) > 1:
            for index, name in enumerate(self._names):
                row |= self._loss_columns(f"validation_{name}", nats_W, self._domain_W == index)
        return row

    def _loss_columns(self, prefix: str, nats_W: FloatArray, mask_W: NDArray[np.bool_]) -> dict[str, float]:
        columns = {f"{prefix}_nats_per_token": float(nats_W[mask_W].mean())}
        if self._bytes_W is not None:
            nats = float(nats_W[mask_W].sum()) * self._sequence_length
            columns[f"{prefix}_bits_per_byte"] = nats / (math.log(2) * float(self._bytes_W[mask_W].sum()))
        return columns


def _document_numbers(corpus: Corpus, domain_W: NDArray[np.int64], start_W: NDArray[np.int64]) -> NDArray[np.int64]:
    """(W,) the number of the document in which each window starts."""
    document_W, first_number = np.zeros(len(domain_W), dtype=np.int64), 0
    for domain in range(len(corpus.manifest.domains)):
        offsets, mask_W = corpus.document_offsets(domain, "validation"), domain_W == domain
        document_W[mask_W] = first_number + np.searchsorted(offsets, start_W[mask_W], side="right")
        first_number += len(offsets)
    return document_W


def clustered_standard_error(nats_W: FloatArray, document_W: NDArray[np.int64]) -> float:
    """Standard error of the mean over windows, clustered by document (Liang & Zeger 1986); 0 for one document."""
    _, index_W = np.unique(document_W, return_inverse=True)
    count = int(index_W.max()) + 1
    if count < 2:
        return 0.0
    sums = np.bincount(index_W, weights=nats_W - nats_W.mean())
    return float(np.sqrt((sums**2).sum() * count / (count - 1)) / len(nats_W))
