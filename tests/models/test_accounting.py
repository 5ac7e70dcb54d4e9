import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from windtunnel.models.accounting import count_parameters, flops_per_token
from windtunnel.models.initialization import initialize
from windtunnel.models.transformer import Transformer

SWITCHES = [
    {"activation": activation, "tied_embedding": tied, "qk_norm": qk_norm}
    for activation in ("swiglu", "gelu")
    for tied in (False, True)
    for qk_norm in (False, True)
]


@pytest.mark.parametrize("switches", SWITCHES)
def test_counted_parameters_equal_those_of_the_module(model_config, switches):
    config = model_config(width=48, head_count=3, depth=3, **switches)
    sizes = {name: parameter[0].numel() for name, parameter in Transformer(config, members=2).named_parameters()}
    count = count_parameters(config)
    assert count.total == count.active == sum(sizes.values())
    assert count.embedding == sizes["embedding.weight"]
    assert count.head == sizes.get("readout.weight", 0)
    assert count.non_embedding == count.total - count.embedding - count.head


@pytest.mark.slow
@pytest.mark.parametrize("switches", SWITCHES)
def test_exact_flops_equal_those_torch_counts(model_config, switches):
    config = model_config(**switches)
    model = Transformer(config)
    initialize(model, [0])
    tokens = torch.randint(config.vocabulary_size, (1, 2, 24))
    # The counter knows the two products of attention only when they are products, as in the plain kernel.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model.loss(tokens, tokens)[0].sum().backward()
    assert counter.get_total_flops() == flops_per_token(config, 24).exact * 2 * 24


def test_conventions_match_a_hand_count(model_config):
    config = model_config(width=16, head_count=2, depth=3, feedforward_width=40, vocabulary_size=100, activation="gelu")
    matrices = 3 * (4 * 16 * 16 + 2 * 16 * 40)
    gains = 7 * 16
    flops = flops_per_token(config, 9)
    assert flops.six_n_non_embedding == 6 * (matrices + gains)
    assert flops.six_n == 6 * (matrices + gains + 1600)
    assert flops.six_n_total == 6 * (matrices + gains + 3200)
    assert flops.exact == 6 * (matrices + 1600) + 12 * 3 * 16 * 9
    # A causal position t of 9 sees t + 1 positions: 45 in all, 5 on average.
    assert flops.exact_causal == 6 * (matrices + 1600) + 12 * 3 * 16 * 5


def test_readout_counts_as_a_product_whether_tied_or_not(model_config):
    tied, untied = (flops_per_token(model_config(tied_embedding=tied), 128) for tied in (True, False))
    assert (tied.six_n, tied.exact, tied.exact_causal) == (untied.six_n, untied.exact, untied.exact_causal)
    assert tied.six_n_total == tied.six_n


def test_sequence_length_below_one_is_an_error(model_config):
    with pytest.raises(ValueError, match="sequence_length=0"):
        flops_per_token(model_config(), 0)
