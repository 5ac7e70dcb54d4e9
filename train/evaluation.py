"""Held-out loss on the same windows for every run: nats per token with standard error, and bits per byte.

The windows depend on the prepared corpus alone, never on a seed, so runs differ by their models and not by luck of the
draw. Evaluation draws no random number and leaves the training order untouched.

Shapes: M members, W windows, T positions.
"""

import math

import numpy as np
import torch
import torch.distributed as distributed
from numpy.typing import NDArray

from windtunnel.models.transformer import Transformer
from windtunnel.train.batches import as_tensors, gather
from windtunnel.train.data.corpus import Corpus
from windtunnel.train.data.evaluation_windows import evaluation_windows
from windtunnel.train.device import Ranks

FloatArray = NDArray[np.float64]

SEQUENCES_PER_PASS = 32


class Evaluation:
    def __init__(
        self, corpus: Corpus, *, sequence_length: int, evaluation_tokens: int, ranks: Ranks, device: torch.device
    ) -> None:
        self._names = [domain.name for domain in corpus.manifest.domains]
        self._domain_W, self._window_W = evaluation_windows(corpus, sequence_length, evaluation_tokens)
        self._domains = as_tensors([corpus.validation_tokens(d) for d in range(len(self._names))], device)
        self._sequence_length = sequence_length
        self._ranks = ranks
        self._device = device
        self._document_W = _documents(corpus, self._domain_W, self._window_W * sequence_length)
        self._bytes_W = None  # synthetic tokens stand for no text
        token_bytes = corpus.token_bytes()
        if token_bytes is not None:
            window_WT1 = self._windows(np.arange(len(self._domain_W))).cpu().numpy()
            self._bytes_W = token_bytes[window_WT1[:, 1:]].sum(-1)

    @property
    def tokens(self) -> int:
        return len(self._domain_W) * self._sequence_length

    def _windows(self, rows: NDArray[np.int64]) -> torch.Tensor:
        return gather(
            self._domains,
            self._domain_W[rows],
            self._window_W[rows] * self._sequence_length,
            self._sequence_length + 1,
            self._device,
        )

    @torch.no_grad()
    def __call__(self, model: Transformer, members: int) -> list[dict[str, float]]:
        """One row of `validation_*` columns per member."""
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
            distributed.all_reduce(nats_MW)  # each window is computed by one rank and zero elsewhere: the sum is exact
        return [self._summary(nats_W) for nats_W in nats_MW.cpu().numpy()]

    def _summary(self, nats_W: FloatArray) -> dict[str, float]:
        everything = np.ones(len(nats_W), dtype=bool)
        row = self._columns("validation", nats_W, everything)
        # Two questions, two errors. Over windows: how well these windows stand for their documents. By document: how
        # well these few documents stand for text of their kind, which is several times larger. Runs evaluated on the
        # same windows share most of either, so a difference between runs is known better than both.
        row["validation_standard_error"] = (
            float(nats_W.std(ddof=1) / math.sqrt(len(nats_W))) if len(nats_W) > 1 else 0.0
        )
        row["validation_standard_error_by_document"] = clustered_standard_error(nats_W, self._document_W)
        if len(self._names) > 1:
            for index, name in enumerate(self._names):
                row |= self._columns(f"validation_{name}", nats_W, self._domain_W == index)
        return row

    def _columns(self, prefix: str, nats_W: FloatArray, chosen_W: NDArray[np.bool_]) -> dict[str, float]:
        columns = {f"{prefix}_nats_per_token": float(nats_W[chosen_W].mean())}
        if self._bytes_W is not None:
            nats = float(nats_W[chosen_W].sum()) * self._sequence_length
            columns[f"{prefix}_bits_per_byte"] = nats / (math.log(2) * float(self._bytes_W[chosen_W].sum()))
        return columns


def _documents(corpus: Corpus, domain_W: NDArray[np.int64], start_W: NDArray[np.int64]) -> NDArray[np.int64]:
    """A number for the document in which each window starts."""
    document_W, known = np.zeros(len(domain_W), dtype=np.int64), 0
    for domain in range(len(corpus.manifest.domains)):
        offsets, chosen_W = corpus.document_offsets(domain, "validation"), domain_W == domain
        document_W[chosen_W] = known + np.searchsorted(offsets, start_W[chosen_W], side="right")
        known += len(offsets)
    return document_W


def clustered_standard_error(nats_W: FloatArray, document_W: NDArray[np.int64]) -> float:
    """Standard error of the mean of windows that come in documents (Liang & Zeger 1986); 0 for one document."""
    _, index_W = np.unique(document_W, return_inverse=True)
    count = int(index_W.max()) + 1
    if count < 2:
        return 0.0
    sums = np.bincount(index_W, weights=nats_W - nats_W.mean())
    return float(np.sqrt((sums**2).sum() * count / (count - 1)) / len(nats_W))
