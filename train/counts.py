"""The parts of a record besides the configuration: counts in every convention, and the data."""

from dataclasses import asdict

from windtunnel.models.accounting import count_parameters, flops_per_token
from windtunnel.train.config.config import RunConfig
from windtunnel.train.data.corpus import Corpus
from windtunnel.train.data.order import run_order
from windtunnel.train.records import Json


def counts(config: RunConfig, corpus: Corpus) -> Json:
    """The `counts` of a record: parameters, FLOPs, steps, tokens and epochs, in every convention."""
    parameters = count_parameters(config.model)
    flops = flops_per_token(config.model, config.data.sequence_length)
    order, samples = run_order(config, corpus), config.schedule.total_steps * config.sequences_per_step
    return {
        "parameters": asdict(parameters),
        "flops_per_token": asdict(flops),
        "flops": {name: value * config.total_tokens for name, value in asdict(flops).items()},
        "steps": config.schedule.total_steps,
        "tokens": config.total_tokens,
        "unique_tokens": order.unique_tokens_seen(samples),
        "epochs": order.epochs(samples),
        "tokens_per_parameter": config.total_tokens / parameters.total,
    }


def corpus_summary(corpus: Corpus) -> Json:
    """The `data` of a record: content hash, and each domain's source, license, tokens and known entropy."""
    return {
        "content_hash": corpus.manifest.content_hash,
        "domains": [
            {
                "name": domain.name,
                "source": domain.source,
                "licence": domain.licence,
                "train_tokens": domain.train_tokens,
                "validation_tokens": domain.validation_tokens,
                "validation_bytes_per_token": domain.validation_bytes_per_token,
                "entropy_nats_per_token": domain.entropy_nats_per_token,
                "opening_excess_nats": domain.opening_excess_nats,
            }
            for domain in corpus.manifest.domains
        ],
    }
