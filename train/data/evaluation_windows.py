"""The held-out windows that every run of a study is evaluated on: fixed by the data alone, by no seed."""

import numpy as np
import numpy.typing as npt

from windtunnel.train.data.corpus import Corpus
from windtunnel.train.data.mixture import apportion
from windtunnel.train.errors import InputError

Integers = npt.NDArray[np.int64]


def evaluation_windows(corpus: Corpus, sequence_length: int, evaluation_tokens: int) -> tuple[Integers, Integers]:
    """(domain, window) of evaluation_tokens // sequence_length windows of the validation split, domain by domain, in
    order.

    Domains share the windows in proportion to the validation windows they have (largest remainder, at least one each);
    the training mixture plays no part. In a domain with W windows, the k-th of n is window (2k+1) W // (2n): evenly
    spread, each once. No window is shared with train.

    Raises InputError, saying how many held-out tokens there are, where fewer windows exist than asked for.
    """
    available = corpus.window_counts(sequence_length, "validation")
    for entry, count in zip(corpus.manifest.domains, available, strict=True):
        if not count:
            raise InputError(
                f"{corpus.folder}: {entry.validation_tokens:,} validation tokens of {entry.name} hold no window of "
                f"{sequence_length}: "
                "shorten sequence_length or prepare with a larger validation_fraction"
            )
    asked = evaluation_tokens // sequence_length
    if asked < len(available):
        raise InputError(
            f"evaluation_tokens={evaluation_tokens:,} is less than one window of {sequence_length} tokens for each of "
            f"{len(available)} "
            "domains: raise it"
        )
    if asked > sum(available):
        raise InputError(
            f"evaluation_tokens={evaluation_tokens:,} but {corpus.folder} holds {sum(available) * sequence_length:,} "
            "held-out tokens in "
            f"windows of {sequence_length}: lower evaluation_tokens or prepare with a larger validation_fraction"
        )
    shares = np.minimum(apportion([float(count) for count in available], asked), available)
    while int(shares.sum()) < asked:  # a share was cut to what the domain has
        shares[int(np.argmax(np.asarray(available) - shares))] += 1
    domains = np.repeat(np.arange(len(available), dtype=np.int64), shares)
    windows = [
        (2 * np.arange(share, dtype=np.int64) + 1) * count // (2 * share)
        for share, count in zip(shares.tolist(), available, strict=True)
    ]
    return domains, np.concatenate(windows)
