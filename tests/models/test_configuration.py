import math
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"width": 0}, r"model\.width=0 must be a whole number of at least 1"),
        ({"depth": 2.0}, r"model\.depth=2\.0 must be a whole number"),
        ({"head_count": True}, r"model\.head_count=True must be a whole number"),
        ({"head_count": 5}, r"width=32 is not a multiple of model\.head_count=5"),
        ({"width": 18, "head_count": 2}, "heads of odd size 9"),
        ({"activation": "relu"}, r"model\.activation='relu' is not known: choose one of swiglu, gelu"),
        ({"rotary_base": 1.0}, r"model\.rotary_base=1\.0 must be a finite number above 1"),
        ({"norm_epsilon": 0.0}, r"model\.norm_epsilon=0\.0 must be a finite number above 0"),
        ({"z_loss": -1e-4}, r"model\.z_loss=-0\.0001 must be a finite number at least 0"),
        ({"z_loss": math.nan}, r"model\.z_loss=nan must be a finite number"),
        ({"parametrization_name": "ntk"}, "choose one of standard, mup, completep"),
        ({"parametrization_base_width": 0}, r"parametrization\.base_width=0 must be"),
        ({"parametrization_embedding_std": 0.0}, r"parametrization\.embedding_std=0\.0 must be"),
        ({"parametrization_residual_exponent": math.inf}, r"parametrization\.residual_exponent=inf must be"),
    ],
)
def test_invalid_configuration_is_a_one_line_error(model_config, overrides, message):
    with pytest.raises(ValueError, match=message) as caught:
        model_config(**overrides)
    assert "\n" not in str(caught.value)


def test_multipliers_are_one_at_the_base(model_config):
    for name in ("standard", "mup", "completep"):
        config = model_config(parametrization_name=name)
        assert config.residual_multiplier == 1.0
        assert config.logit_multiplier == 1.0


def test_multipliers_away_from_the_base(model_config):
    shape = {"width": 128, "head_count": 8, "depth": 8}
    assert model_config(**shape).residual_multiplier == 0.25
    assert model_config(**shape, parametrization_residual_exponent=0.5).residual_multiplier == 0.5
    assert model_config(**shape, parametrization_residual_exponent=0.0).residual_multiplier == 1.0
    assert model_config(**shape).logit_multiplier == 0.25
    assert model_config(**shape, parametrization_name="completep").logit_multiplier == 0.25
    assert model_config(**shape, parametrization_name="standard").logit_multiplier == 1.0
    assert model_config(**shape).attention_scale == 0.25  # head size 16


def test_shape_and_accounting_load_without_torch():
    program = (
        "import sys; from windtunnel.models import accounting, configuration, family, parametrization; "
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
