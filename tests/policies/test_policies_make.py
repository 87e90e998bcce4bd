"""Policies by name, and the check that third parties call."""

from __future__ import annotations

import numpy as np
import pytest

from ev_marl.policies import POLICIES, Plan, PlanPolicy, Policy, Uncontrolled, make_policy, split_specs
from ev_marl.policies.base import site_view
from ev_marl.support.errors import OptionError, UnknownNameError
from ev_marl.testing import check_policy, small_day, small_site

OWN = ["as-late-as-possible", "best-response", "idle", "price-threshold", "random", "uncontrolled"]
MESSAGES = ["booked-response", "dual-prices", "selfish"]
SITE = ["edf", "llf", "mpc", "round-robin"]
FUTURE = ["mpc-perfect", "plan"]


def test_every_policy_has_its_name_and_says_what_it_knows():
    assert POLICIES.names() == sorted([*OWN, *MESSAGES, *SITE, *FUTURE])
    for name in OWN + SITE:
        policy = make_policy(name)
        assert isinstance(policy, Policy)
        assert policy.name == name
        assert policy.information == ("own" if name in OWN else "site")
        assert policy.__doc__


def test_options_as_text_as_mapping_and_by_class():
    assert make_policy(" best-response ( trust = 0.85, margin_steps=2 ) ").trust == 0.85
    assert make_policy("best-response()").trust == 1.0
    assert make_policy({"name": "best-response", "options": {"margin_steps": 2}}).margin_steps == 2
    assert make_policy({"name": "idle"}).name == "idle"
    assert isinstance(make_policy("ev_marl.policies.rules.simple:Uncontrolled"), Uncontrolled)
    assert make_policy("ev_marl.policies.rules.threshold:PriceThreshold(charge_share=0.3)").charge_share == 0.3


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("best-reponse", UnknownNameError, r"no policy is called 'best-reponse'. Did you mean 'best-response'\?"),
        ("best-response(thrust=1)", OptionError, r"Did you mean 'trust'\? Options: trust, adder_per_kwh, margin_steps"),
        ("best-response(0.8)", OptionError, "every option needs its name"),
        ("best-response(**{'trust': 1})", OptionError, "every option needs its name"),
        ("best-response(trust=high)", OptionError, "the value of trust is not a number"),
        ("best-response(trust=0.5, trust=0.7)", OptionError, "trust is given twice"),
        ("best-response(trust=", OptionError, "write name or name"),
        ("best-response(trust=)", OptionError, "cannot read the options"),
        ("", OptionError, "write name or name"),
        ({"name": "idle", "option": {}}, OptionError, r"no key 'option'. Did you mean 'options'\?"),
        ({"options": {}}, OptionError, "write {name: text"),
        ("nowhere:Policy", UnknownNameError, "cannot be imported"),
    ],
)
def test_errors_say_what_to_write(spec, error, message):
    with pytest.raises(error, match=message):
        make_policy(spec)


def test_a_list_is_split_outside_brackets_and_quotes():
    text = "llf, best-response(trust=0.85, margin_steps=2),plan(plan='a,b).parquet'),,idle"
    assert split_specs(text) == [
        "llf",
        "best-response(trust=0.85, margin_steps=2)",
        "plan(plan='a,b).parquet')",
        "idle",
    ]


@pytest.mark.parametrize("spec", ["mpc(" + 100_000 * "a", "rllib:" + 100_000 * "(", f"mpc({100_000 * 'a'})"])
def test_an_error_shows_the_beginning_of_a_long_text(spec):
    with pytest.raises(OptionError, match=spec[:6].replace("(", r"\(")) as caught:
        make_policy(spec)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("spec", [*OWN, *SITE, "best-response(trust=0.7, adder_per_kwh=-0.02, margin_steps=3)"])
def test_every_policy_passes_the_check(spec):
    check_policy(lambda: make_policy(spec))


def test_the_plan_passes_the_check():
    track = small_day()
    shape = (track.n_steps, small_site().arrays.n_ports)
    plan = Plan(np.zeros(shape), np.full(shape, 30.0))
    check_policy(lambda: PlanPolicy(plan))


class Wrong:
    """Uncontrolled charging, to be spoilt."""

    name = "wrong"
    information = "own"

    def reset(self, episode):
        """Nothing to prepare."""

    def act(self, view):
        """A copy of what is possible."""
        return view.hi_kw.copy()


class LooksAtOthers(Wrong):
    def act(self, view):
        return view.hi_kw * (view.hi_kw.sum(axis=1, keepdims=True) < 40.0)


class SharesTheLot(Wrong):
    """What a group's limit leaves, shared below it: nothing wrong, as long as nobody else has a say."""

    information = "messages"

    def act(self, view):
        share = np.ones_like(view.hi_kw)
        for group in range(view.site.n_groups):
            below = slice(view.site.group_first_port[group], view.site.group_end_port[group])
            asked_kw = view.hi_kw[:, below].sum(axis=1, keepdims=True)
            share[:, below] *= np.minimum(1.0, view.upper_kw[:, group : group + 1] / np.maximum(asked_kw, 1.0))
        return view.hi_kw * share


class SharesByTheSite(SharesTheLot):
    def act(self, view):
        return super().act(view) / (1.0 + view.hi_kw.sum(axis=1, keepdims=True))


class SharesByLimitsElsewhere(SharesTheLot):
    def act(self, view):
        return super().act(view) * (view.upper_kw[:, 2:] / (1.0 + view.upper_kw[:, 2:]))


class WritesToTheView(Wrong):
    def act(self, view):
        view.hi_kw[:] *= 0.5
        return view.hi_kw.copy()


class NotFinite(Wrong):
    def act(self, view):
        return view.hi_kw / 0.0


class OneRowOnly(Wrong):
    def act(self, view):
        return view.hi_kw[0]


class SinglePrecision(Wrong):
    def act(self, view):
        return view.hi_kw.astype(np.float32)


class OwnDice(Wrong):
    dice = np.random.default_rng(0)

    def act(self, view):
        return view.hi_kw * self.dice.random(view.hi_kw.shape)


class KnowsAll(Wrong):
    information = "everything"


class LooksSecretly(Wrong):
    information = "site"
    looks_at = ("limits",)

    def reset(self, episode):
        self.outlook_of_the_site = episode.outlook

    def act(self, view):
        present = site_view(view).present()
        self.outlook_of_the_site.limits_kw(present)
        self.outlook_of_the_site.base_load_kw(present)
        return super().act(view)


class NoReset:
    name = "no-reset"
    information = "own"


@pytest.mark.parametrize(
    ("cheat", "message"),
    [
        (LooksAtOthers, "information is 'own', but station 0 decides otherwise"),
        (SharesByTheSite, "information is 'messages', but the stations below group 1 decide otherwise"),
        (SharesByLimitsElsewhere, "information is 'messages', but the stations below group 1 decide otherwise"),
        (WritesToTheView, "it wrote to view.hi_kw"),
        (OneRowOnly, r"setpoints of shape \(6,\), expected \(3, 6\)"),
        (SinglePrecision, "setpoints are float64, got float32"),
        (OwnDice, "decided otherwise with the same random numbers"),
        (KnowsAll, "information is one of"),
        (LooksSecretly, "asks its outlook for base_load; add that to `looks_at`"),
        (NoReset, "lacks name, information, reset or act"),
    ],
)
def test_the_check_catches(cheat, message):
    check_policy(Wrong)
    check_policy(SharesTheLot)
    with pytest.raises(AssertionError, match=message):
        check_policy(cheat)


def test_the_check_catches_what_is_not_finite():
    with np.errstate(all="ignore"), pytest.raises(AssertionError, match="not finite"):
        check_policy(NotFinite)


def test_a_central_policy_refuses_a_station_view():
    with pytest.raises(TypeError, match="must be given a SiteView"):
        site_view(object())
