"""Domains and conditions: what can be drawn, encoded, perturbed, and what is refused."""

from __future__ import annotations

import json
import math
from collections import Counter

import numpy as np
import pytest

from kt_ext.core.space import Boolean, Choice, Condition, Fixed, Float, Int, Parameter, Space
from random_spaces import random_space

PLAIN = (bool, int, float, str)
IF_CNN = (Condition("model", ("cnn",)),)
SPACE = Space(
    [
        Parameter("model", Choice(("mlp", "cnn"))),
        Parameter("units", Int(16, 64, 16), (Condition("model", ("mlp",)),)),
        Parameter("units", Int(1, 3), IF_CNN),
        Parameter("pool", Boolean(), IF_CNN),
        Parameter("rate", Float(1e-4, 1e-1, scale="log"), (Condition("model", ("cnn",)), Condition("pool", (True,)))),
    ]
)


class Draws:
    """Stands for a Generator whose next uniform numbers and indices are known."""

    def __init__(self, *draws: float) -> None:
        self._draws = list(draws)

    def random(self) -> float:
        return self._draws.pop(0)

    def integers(self, high: int) -> int:
        draw = self._draws.pop(0)
        assert 0 <= draw < high
        return int(draw)


def test_every_integer_has_equal_mass():
    domain = Int(3, 8)
    counts = Counter(domain.from_unit((k + 0.5) / 6000) for k in range(6000))
    assert counts == dict.fromkeys(range(3, 9), 1000)
    assert domain.from_unit(0.0) == 3 and domain.from_unit(1.0) == 8


def test_logarithmic_integers_have_the_mass_of_their_interval():
    domain = Int(1, 3, scale="log")
    counts = Counter(domain.from_unit((k + 0.5) / 10000) for k in range(10000))
    expected = {value: 10000 * math.log((value + 1) / value) / math.log(4) for value in (1, 2, 3)}
    assert all(abs(counts[value] - expected[value]) <= 1 for value in (1, 2, 3))


@pytest.mark.parametrize(
    ("domain", "values"),
    [
        # Python's 1.0 // 0.1 is 9.0, and 0.5 // 0.1 is 4.0: Keras Tuner never draws these upper ends.
        (Float(0, 1, 0.1), [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]),
        (Float(0, 0.5, 0.1), [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]),
        (Float(0, 1, 0.3), [0.0, 0.3, 0.6, 0.9]),
        (Float(1e-3, 10, 10, "log"), [0.001, 0.01, 0.1, 1.0, 10.0]),
        (Float(1, 9, 2, "reverse_log"), [9.0, 8.0, 6.0, 2.0]),
        (Int(1, 10, 4), [1, 5, 9]),
        (Int(2, 32, 2, "log"), [2, 4, 8, 16, 32]),
        (Int(2, 5), [2, 3, 4, 5]),
        (Choice(("b", "a")), ["b", "a"]),
        (Boolean(), [False, True]),
        (Fixed(0.5), [0.5]),
    ],
)
def test_values_of_a_finite_domain(domain, values):
    listed = [domain.at(index) for index in range(domain.count)]
    assert listed == (pytest.approx(values) if isinstance(domain, Float) else values)
    assert {type(value) for value in listed} == {type(values[0])}
    assert [domain.from_unit(domain.to_unit(value)) for value in values] == listed
    assert [domain.index(value) for value in listed] == list(range(domain.count))


@pytest.mark.parametrize("scale", ["linear", "log", "reverse_log"])
@pytest.mark.parametrize("domain", [Float, Int])
def test_stays_inside_at_both_ends(domain, scale):
    rng = np.random.default_rng(0)
    for _ in range(300):
        low, high = sorted(rng.uniform(1, 1000, 2))
        one = domain(low, high, scale=scale) if domain is Float else Int(int(low), int(high), scale=scale)
        for unit in (0.0, np.nextafter(0, 1), 1 - 2**-53, 1.0):
            value = one.from_unit(float(unit))
            assert one.low <= value <= one.high
            assert 0 <= one.to_unit(value) <= 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Float(1, 0), "low=1.0: must not exceed high=0.0"),
        (lambda: Float(0, 1, scale="log"), "low=0.0: must be > 0 on a log scale"),
        (lambda: Int(0, 4, scale="reverse_log"), "low=0: must be > 0 on a reverse_log scale"),
        (lambda: Float(0, 1, step=0), "step=0.0: must be > 0"),
        (lambda: Int(1, 8, step=1, scale="log"), "step=1: must be > 1 on a log scale"),
        (lambda: Float(0, 1, scale="ln"), "scale='ln': must be one of linear, log, reverse_log"),
        (lambda: Float(0, math.inf), "the range must be finite"),
        (lambda: Float(math.nan, 1), "the range must be finite"),
        (lambda: Int(0.5, 4), "low=0.5: must be an integer"),
        (lambda: Choice(()), "must hold at least one value"),
        (lambda: Choice((np.float64(1),)), "must be a plain bool, int, float or str"),
        (lambda: Fixed(math.nan), "not NaN"),
    ],
)
def test_a_wrong_domain_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_bounds_become_plain_numbers():
    domain = Float(np.float32(0.5), 2)
    assert (type(domain.low), type(domain.high)) == (float, float)
    assert type(Int(np.int64(1), np.int64(3)).from_unit(0.5)) is int


def test_active():
    def names(values):
        return [(p.name, type(p.domain).__name__, p.domain.count) for p in SPACE.active(values)]

    assert names({}) == [("model", "Choice", 2)]
    assert names({"model": "mlp"}) == [("model", "Choice", 2), ("units", "Int", 4)]
    assert names({"model": "cnn"})[1:] == [("units", "Int", 3), ("pool", "Boolean", 2)]
    assert names({"model": "cnn", "pool": True})[-1] == ("rate", "Float", None)
    # The value of an inactive parent activates nothing.
    assert [p.name for p in SPACE.active({"model": "mlp", "pool": True})] == ["model", "units"]


def test_first_registered_of_several_active_wins():
    both = (Condition("a", (1, 2)),)
    space = Space([Parameter("a", Int(1, 2)), Parameter("b", Fixed("first"), both), Parameter("b", Fixed("second"))])
    assert space.decode(np.array([0.2, 0.5, 0.5])) == {"a": 1, "b": "first"}
    assert np.isnan(space.encode({"a": 1, "b": "first"})[2])


@pytest.mark.parametrize(
    ("parent", "value"), [(Boolean(), 1), (Int(1, 2), 1.0), (Float(0, 1, 0.5), 0), (Fixed(2), 2.0)]
)
def test_conditions_compare_by_equality(parent, value):
    space = Space([Parameter("parent", parent), Parameter("child", Boolean(), (Condition("parent", (value,)),))])
    with_child = [v for v in map(space.enumeration.at, range(space.size)) if "child" in v]
    assert [v["parent"] == value for v in with_child] == [True, True]


def test_parents_are_moved_first():
    child, grandchild = (Condition("parent", (1,)),), (Condition("child", (True,)),)
    lost = [
        Parameter("grandchild", Boolean(), grandchild),
        Parameter("child", Boolean(), child),
        Parameter("free", Boolean()),
        Parameter("parent", Int(1, 2), (Condition("free", (True,)),)),
        Parameter("parent", Int(1, 3), (Condition("free", (False,)),)),
    ]
    space = Space(lost)
    assert [p.name for p in space.parameters] == ["free", "parent", "parent", "child", "grandchild"]
    assert Space(space.parameters).parameters == space.parameters


def test_a_cycle_or_an_unknown_parent_is_refused():
    with pytest.raises(ValueError, match="a, b: their conditions form a cycle"):
        Space([Parameter("a", Boolean(), (Condition("b", (1,)),)), Parameter("b", Boolean(), (Condition("a", (1,)),))])
    with pytest.raises(ValueError, match="a: its condition names 'b', which the space lacks"):
        Space([Parameter("a", Boolean(), (Condition("b", (1,)),))])


@pytest.mark.parametrize("seed", range(30))
def test_sample_encode_decode(seed):
    rng = np.random.default_rng(seed)
    space = random_space(rng, n_parameters=8, continuous=0.3)
    for _ in range(20):
        values = space.sample(rng)
        space.validate(values)
        assert [p.name for p in space.active(values)] == list(values)
        assert all(type(value) in PLAIN for value in values.values())
        unit = space.encode(values)
        active = {id(p) for p in space.active(values)}
        assert unit.shape == (len(space.parameters),)
        assert [not math.isnan(u) for u in unit] == [id(p) in active for p in space.parameters]
        back = space.decode(unit)
        assert back.keys() == values.keys()
        assert all(
            back[name] == (pytest.approx(value) if isinstance(value, float) else value)
            for name, value in values.items()
        )


def test_encode_of_values_that_the_space_no_longer_has():
    space = Space([Parameter("a", Float(0, 1)), Parameter("b", Choice(("x",))), Parameter("c", Int(1, 2))])
    np.testing.assert_array_equal(space.encode({"a": 7.0, "b": "gone"}), [1.0, math.nan, math.nan])
    np.testing.assert_array_equal(space.encode({"a": "text", "b": "x", "c": -3}), [math.nan, 0.5, 0.25])


@pytest.mark.parametrize("unit", [[0.5, 1.1], [-0.1, 0.5], [math.nan, 0.5]])
def test_decode_refuses_what_is_outside(unit):
    space = Space([Parameter("a", Float(0, 1)), Parameter("b", Boolean())])
    with pytest.raises(ValueError, match=r"must be in \[0, 1\]"):
        space.decode(np.array(unit))
    with pytest.raises(ValueError, match=r"shape \(3,\): must be \(2,\)"):
        space.decode(np.zeros(3))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "model: is active and has no value"),
        ({"model": "rnn"}, r"model='rnn': must be one of \['mlp', 'cnn'\]"),
        ({"model": "mlp", "units": 80}, "units=80: must be between 16 and 64"),
        ({"model": "mlp", "units": 17}, "units=17: must be a multiple of step=16 from low=16; the nearest is 16"),
        ({"model": "mlp", "units": True}, "units=True: must be a plain int, not bool"),
        ({"model": "mlp", "units": 16, "pool": True}, "pool=True: is not active"),
        ({"model": "mlp", "units": 16, "x": 1}, "x=1: is not a parameter of this space"),
        ({"model": "cnn", "units": 1, "pool": 1}, "pool=1: must be a plain bool"),
        ({"model": "cnn", "units": 1, "pool": True, "rate": np.float64(0.01)}, "must be a plain float, not float64"),
        ({"model": "cnn", "units": 1, "pool": True, "rate": math.nan}, "rate=nan: must be between"),
    ],
)
def test_validate_refuses(values, message):
    with pytest.raises(ValueError, match=message):
        SPACE.validate(values)


def test_validate_accepts():
    SPACE.validate({"model": "cnn", "units": 3, "pool": True, "rate": 0.01})
    Space([Parameter("a", Float(0, 1, 0.1))]).validate({"a": 0.3})


@pytest.mark.parametrize(
    ("domain", "value", "draws", "expected"),
    [
        # draws: resample below 0.25, then the index of the factor in (0.8, 1.2) or of the neighbour
        (Float(0, 1), 0.5, (0.9, 1), 0.6),
        (Float(0, 1), 0.9, (0.9, 1), 1.0),
        (Float(-1, 1), -0.5, (0.9, 1), -0.6),
        (Float(0, 1), 0.5, (0.1, 0.75), 0.75),
        (Float(1e-4, 1e-1, scale="log"), 0.01, (0.9, 0), 0.008),
        (Float(0, 1, 0.25), 0.5, (0.9, 1), 0.75),  # 0.6 is nearest to 0.5, so one step up
        (Float(0, 1, 0.25), 0.5, (0.9, 0), 0.25),
        (Float(1, 9, 2, "reverse_log"), 6.0, (0.9, 1), 8.0),
        (Float(1, 9, 2, "reverse_log"), 8.0, (0.9, 0), 6.0),
        (Float(1, 9, 2, "reverse_log"), 2.0, (0.9, 1), 6.0),  # 2.4 is nearest to 2
        (Int(1, 100), 50, (0.9, 1), 60),
        (Int(1, 100), 2, (0.9, 1), 3),  # 2.4 rounds to 2
        (Int(1, 100), 2, (0.9, 0), 1),
        (Int(1, 100), 1, (0.9, 0), 1),  # cannot go lower
        (Int(-9, 9), -2, (0.9, 1), -3),
        (Int(-9, 9), 0, (0.9, 0), -1),
        (Int(16, 64, 16), 32, (0.9, 1), 48),
        (Int(1, 64, 2, "log"), 8, (0.9, 0), 4),
        (Int(1, 64, scale="log"), 3, (0.9, 1), 4),
        (Int(1, 64), 900, (0.9, 0), 51),  # out of bounds since the space shrank: from 64 on
        (Choice((64, 16, 32), ordered=True), 32, (0.9, 1), 64),  # neighbours by size
        (Choice((64, 16, 32), ordered=True), 16, (0.9, 0), 32),
        (Choice(("s", "m", "l"), ordered=True), "m", (0.9, 0), "s"),
        (Choice(("s", "m", "l")), "m", (0.9, 1), "l"),
        (Choice(("only",)), "only", (0.9,), "only"),
        (Choice(("s", "m")), "gone", (0.9, 0.6), "m"),
        (Boolean(), True, (0.9,), True),
        (Boolean(), True, (0.1,), False),
        (Fixed(3), 3, (0.9,), 3),
    ],
)
def test_perturb(domain, value, draws, expected):
    moved = Space([Parameter("p", domain)]).perturb({"p": value}, Draws(*draws))["p"]
    assert moved == pytest.approx(expected) if isinstance(expected, float) else moved == expected
    assert type(moved) is type(expected)


def test_perturb_follows_the_parents():
    # model: no resample, the other value; units of the cnn: drawn; pool: drawn; rate: drawn.
    assert SPACE.perturb({"model": "mlp", "units": 32}, Draws(0.9, 0, 0.5, 0.9, 0.5)) == {
        "model": "cnn",
        "units": 2,
        "pool": True,
        "rate": pytest.approx(10**-2.5),
    }
    cnn = {"model": "cnn", "units": 2, "pool": True, "rate": 0.01, "tuner/epochs": 3}
    # pool flips, so that rate is dropped; what the space does not know is dropped too.
    assert SPACE.perturb(cnn, Draws(0.1, 0.9, 0.9, 1, 0.1)) == {"model": "cnn", "units": 3, "pool": False}


def test_perturb_keeps_what_is_named_and_draws_nothing_for_it():
    cnn = {"model": "cnn", "units": 2, "pool": True, "rate": 0.01}
    # Only units: no resample, the second factor. What is kept would stay active even if it were out of its domain.
    assert SPACE.perturb(cnn, Draws(0.9, 1), keep={"model", "pool", "rate"}) == {**cnn, "units": 3}
    assert SPACE.perturb(cnn, Draws(), keep=["model", "units", "pool", "rate", "unknown"]) == cnn
    # model changes, so that units is a new parameter of the same name: it is drawn though it is to be kept.
    assert SPACE.perturb({"model": "mlp", "units": 32}, Draws(0.9, 0, 0.5, 0.1, 0.5), keep={"units", "pool"}) == {
        "model": "cnn",
        "units": 2,
        "pool": False,
    }


@pytest.mark.parametrize("seed", range(30))
def test_perturb_never_leaves_the_domain(seed):
    rng = np.random.default_rng(seed)
    space = random_space(rng, n_parameters=8, continuous=0.3)
    values = space.sample(rng)
    for _ in range(100):
        values = space.perturb(values, rng, factors=(0.5, 0.8, 1.2, 3.0), resample_probability=0.1)
        space.validate(values)


def test_perturb_reaches_everything_without_resampling():
    space = Space([Parameter("n", Int(0, 9)), Parameter("c", Choice((3, 1, 2), ordered=True))])
    rng = np.random.default_rng(0)
    values, seen = {"n": 0, "c": 1}, set()
    for _ in range(2000):
        values = space.perturb(values, rng, resample_probability=0.0)
        seen.add((values["n"], values["c"]))
    assert len(seen) == 30


def test_equality_is_by_content():
    same = Space.from_json(json.loads(json.dumps(SPACE.to_json())))
    assert same == SPACE and hash(same) == hash(SPACE) and same.parameters == SPACE.parameters
    assert Space([Parameter("a", Choice((0, 1)))]) != Space([Parameter("a", Choice((False, True)))])
    assert Space([]) != "space"


@pytest.mark.parametrize("seed", range(20))
def test_json_round_trip(seed):
    space = random_space(np.random.default_rng(seed), n_parameters=8, continuous=0.3)
    assert Space.from_json(json.loads(json.dumps(space.to_json()))) == space


def test_difference():
    before = Space(
        [
            Parameter("learning_rate", Float(1e-4, 0.1, scale="log")),
            Parameter("units", Choice((16, 32))),
            Parameter("gone", Boolean()),
            Parameter("kind", Boolean()),
            Parameter("layers", Int(1, 3), (Condition("kind", (True,)),)),
        ]
    )
    after = Space(
        [
            Parameter("learning_rate", Float(1e-4, 0.01)),
            Parameter("units", Choice((16, 64))),
            Parameter("kind", Fixed(True)),
            Parameter("layers", Int(1, 3), (Condition("kind", (True, False)),)),
            Parameter("new", Int(1, 4), (Condition("kind", (True,)),)),
        ]
    )
    assert before.difference(after) == [
        "new (kind in [True]): added Int(low=1, high=4, scale=linear)",
        "gone: removed",
        "learning_rate: high 0.1 -> 0.01",
        "learning_rate: scale log -> linear",
        "units: values [16, 32] -> [16, 64]",
        "kind: Boolean() -> Fixed(value=True)",
        "layers (kind in [True, False]): conditions kind in [True] -> kind in [True, False]",
    ]
    assert before.difference(Space(before.parameters)) == []


def test_difference_tells_a_new_order_and_a_new_type():
    a, b = Parameter("a", Boolean()), Parameter("b", Boolean())
    assert Space([a, b]).difference(Space([b, a])) == ["order: a, b -> b, a"]
    assert Space([Parameter("a", Fixed(1))]).difference(Space([Parameter("a", Fixed(True))])) == ["a: value 1 -> True"]
