"""The held-out windows on which every run of a study is evaluated. They depend on the data, not on a seed."""

import numpy as np
import numpy.typing as npt

from windtunnel.train.data.corpus import Corpus
from windtunnel.train.data.mixture import apportion
from windtunnel.train.errors import InputError

Integers = npt.NDArray[np.int64]


def evaluation_windows(corpus: Corpus, sequence_length: int, evaluation_tokens: int) -> tuple[Integers, Integers]:
    """(domain, window) of evaluation_tokens // sequence_length windows of the validation split, ordered by domain.

    Domains share the windows in proportion to their validation windows (largest remainder, at least one each). The
    training mixture plays no role. In a domain with W windows, the k-th of n is window (2k+1) W // (2n): evenly spread,
    each at most once. No window is shared with train.

    Raises InputError if there are fewer windows than `evaluation_tokens` needs, or fewer than one per domain.
    """
    available = corpus.window_counts(sequence_length, "validation")
    for domain, count in zip(corpus.manifest.domains, available, strict=True):
        if not count:
            raise InputError(
                f"{corpus.folder}: {domain.validation_tokens:,} validation tokens of {domain.name} hold no window of "
                f"{sequence_length}: shorten sequence_length or prepare with a larger validation_fraction"
            )
    num_windows = evaluation_tokens // sequence_length
    if num_windows < len(available):
        raise InputError(
            f"evaluation_tokens={evaluation_tokens:,} is less than one window of {sequence_length} tokens for each of "
            f"{len(available)} domains: raise it"
        )
    if num_windows > sum(available):
        raise InputError(
            f"evaluation_tokens={evaluation_tokens:,} but {corpus.folder} holds {sum(available) * sequence_length:,} "
            f"held-out tokens in windows of {sequence_length}: lower evaluation_tokens or prepare with a larger "
            "validation_fraction"
        )
    shares = np.minimum(apportion([float(count) for count in available], num_windows), available)
    while int(shares.sum()) < num_windows:  # a share was limited by the windows of its domain
        shares[int(np.argmax(np.asarray(available) - shares))] += 1
    domains = np.repeat(np.arange(len(available), dtype=np.int64), shares)
    windows = [
        (2 * np.arange(share, dtype=np.int64) + 1) * count // (2 * share)
        for share, count in zip(shares.tolist(), available, strict=True)
    ]
    return domains, np.concatenate(windows)
