"""A specification is parsed, checked, and names one folder."""

from dataclasses import replace

import pytest

from windtunnel.train.data.prepare import planned_vocabulary
from windtunnel.train.data.sources import domain_names
from windtunnel.train.data.specification import DataSpec, Source
from windtunnel.train.errors import InputError


def test_plus_joins_domains_but_not_inside_a_name() -> None:
    spec = DataSpec("speeches+text:c++/*.txt+plays+jsonl:a+b.jsonl")
    assert spec.sources == (
        Source("speeches", ""),
        Source("text", "c++/*.txt"),
        Source("plays", ""),
        Source("jsonl", "a+b.jsonl"),
    )


def test_synthetic_source_has_options() -> None:
    (source,) = DataSpec("synthetic:context-tree?vocabulary=64&zipf=1.5", 0, 100).sources
    assert source == Source("synthetic", "context-tree", (("vocabulary", "64"), ("zipf", "1.5")))


def test_folder_name_depends_on_every_field() -> None:
    spec = DataSpec("speeches")
    others = [
        DataSpec("plays"),
        replace(spec, vocabulary=512),
        replace(spec, token_budget=1000),
        replace(spec, validation_fraction=0.1),
        replace(spec, text_field="body"),
        replace(spec, group_field="author"),
        replace(spec, split_seed=1),
    ]
    assert len({one.folder_name for one in [spec, *others]}) == 8
    assert spec.folder_name.startswith("speeches-")


def test_domain_names_are_unique_and_safe() -> None:
    spec = DataSpec("speeches+speeches+text:Some Dir/My Corpus.v2.txt+jsonl:*.jsonl+hub:org/Name", token_budget=100)
    assert domain_names(spec.sources) == ["speeches", "speeches-2", "text-my-corpus", "jsonl", "hub-name"]


@pytest.mark.parametrize(
    ("spec", "vocabulary"),
    [
        ("speeches", 256),
        ("synthetic:context-tree", 1024),
        ("synthetic:zipf-facts", 576),
        ("synthetic:context-tree?vocabulary=64", 64),
    ],
)
def test_vocabulary_is_known_before_preparing(spec: str, vocabulary: int) -> None:
    synthetic = spec.startswith("synthetic")
    assert planned_vocabulary(DataSpec(spec, 0 if synthetic else 256, 1000)) == vocabulary


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spec": "speech"}, "'speech' is not a source; use speeches, plays"),
        ({"spec": ""}, "'' is not a source"),
        ({"spec": "text:"}, "'text:' is not a source"),
        ({"spec": "speeches+foo"}, r"'speeches\+foo' is not a source"),
        ({"spec": "synthetic:context-tree"}, "has no end: give the number of train tokens with token_budget="),
        ({"spec": "hub:org/name"}, "has no end"),
        ({"spec": "speeches+synthetic:zipf-facts", "token_budget": 10}, "share no vocabulary"),
        ({"spec": "speeches", "vocabulary": 100}, "vocabulary=100 cannot be used"),
        ({"spec": "speeches", "vocabulary": 10**9}, "vocabulary=1000000000 is too large .* at most 1048576"),
        ({"spec": "speeches", "validation_fraction": 0.0}, r"outside \(0, 0\.5\]"),
        ({"spec": "speeches", "validation_fraction": float("nan")}, r"outside \(0, 0\.5\]"),
        ({"spec": "speeches", "token_budget": -1}, "is negative"),
        ({"spec": "synthetic:zipf-facts?alpha=1&alpha=2", "token_budget": 10}, "each once"),
    ],
)
def test_invalid_specification_is_a_one_line_error(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        DataSpec(**arguments)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "vocabulary", "message"),
    [
        ("synthetic:tree", 0, "not a synthetic source"),
        ("synthetic:context-tree?width=3", 0, "no option 'width': use vocabulary, zipf, seed"),
        ("synthetic:context-tree?vocabulary=many", 0, "give a whole number"),
        ("synthetic:context-tree", 512, "has its own of 1024"),
        ("synthetic:context-tree+synthetic:zipf-facts", 0, r"vocabularies \[576, 1024\]"),
    ],
)
def test_invalid_synthetic_option_is_an_error(spec: str, vocabulary: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        planned_vocabulary(DataSpec(spec, vocabulary, 1000))
