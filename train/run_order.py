"""The order in which a run reads its corpus, from their two descriptions (no torch)."""

from train.configuration import RunConfig
from train.data.corpus import Corpus
from train.data.order import Order


def order_of(config: RunConfig, corpus: Corpus) -> Order:
    """The order in which a run reads the corpus. Raises InputError where it would have to repeat data beyond
    `data.max_epochs`.
    """
    data = config.data
    windows = corpus.window_counts(data.sequence_length)
    order = Order(config.seed, windows, data.sequence_length, data.weights, data.unique_tokens, data.max_epochs)
    order.require(config.total_tokens)
    return order
