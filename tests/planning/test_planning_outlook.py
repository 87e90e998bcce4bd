"""Outlooks: what each tells of later steps, and that none tells more than it may."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from policies_cases import day, outlook_on, two_lots

import ev_marl
from ev_marl.env.observations import Observer
from ev_marl.env.setup import Setting
from ev_marl.planning.outlook import KINDS, ComposedOutlook, Present, Truth, make_outlook
from ev_marl.planning.outlook.drawn import Series, sample_of_models
from ev_marl.planning.outlook.known import KnownOutlook
from ev_marl.policies import Idle, make_policy, make_view, rollout
from ev_marl.scenario import Scenario, load_scenario, scenario_value
from ev_marl.scenario.problems import ScenarioError
from ev_marl.simulation.coordinators import make_coordinator
from ev_marl.simulation.days import Days
from ev_marl.simulation.simulator import Simulator
from ev_marl.support.errors import OptionError, TrackError, UnknownNameError
from ev_marl.world import World, no_sessions
from ev_marl.world.seeds import day_seeds
from ev_marl.world.track import Track

STEP = 40


@pytest.fixture(scope="module")
def workplace() -> Setting:
    """The car park, set up."""
    return Setting.of("workplace")


def begun(setting: Setting, tracks: list[Track], *choices: Any, models: bool = True) -> ComposedOutlook:
    """An outlook that has taken the days."""
    outlook = make_outlook(*choices)
    site = setting.site
    truth = Truth(site.arrays, tracks, Days.stack(site.arrays, tracks), site if site.network is not None else None)
    outlook.begin(truth, setting.world if models else None)
    return outlook


def seen(tracks: list[Track], step: int = STEP) -> Present:
    """What everybody sees at a step, all rows on days of their own."""
    lower_kw, upper_kw, base_kw = (
        np.stack([getattr(track, name)[step] for track in tracks]) for name in ("lower_kw", "upper_kw", "base_load_kw")
    )
    return Present(step, tracks[0].n_steps, slice(None), lower_kw, upper_kw, base_kw)


def told(outlook: ComposedOutlook, present: Present) -> dict[str, np.ndarray]:
    """Everything that an outlook says, as arrays."""
    lower_kw, upper_kw = outlook.limits_kw(present)
    buy, sell = outlook.prices(present.day, present.step)
    coming = outlook.vehicles(present, 3)
    stays = coming.stays[coming.expected.any(axis=0)]
    return {
        "buy": buy,
        "sell": sell,
        "lower": lower_kw,
        "upper": upper_kw,
        "base": outlook.base_load_kw(present),
        **{name: stays[name] for name in stays.dtype.names or ()},
    }


def drawn(setting: Setting, n: int = 2) -> list[Track]:
    return [setting.world.sample(seed) for seed in day_seeds(1, n, "train")]


def test_known_is_the_track(workplace: Setting) -> None:
    tracks = drawn(workplace)
    outlook, present = begun(workplace, tracks, "known"), seen(tracks)
    says = told(outlook, present)
    for row, track in enumerate(tracks):
        for name, values in (("buy", track.buy_per_kwh), ("sell", track.sell_per_kwh), ("base", track.base_load_kw)):
            np.testing.assert_array_equal(says[name][row], values[STEP:])
        np.testing.assert_array_equal(says["lower"][row], track.lower_kw[STEP:])
        np.testing.assert_array_equal(says["upper"][row], track.upper_kw[STEP:])
        coming = outlook.vehicles(present, 1)
        arrives = track.sessions["arrival_step"]
        np.testing.assert_array_equal(coming.stays["arrival_step"][coming.expected[row]], arrives[arrives > STEP])
    assert coming.weight == 1.0
    assert outlook.foresees


def test_present_stays_and_nobody_comes(workplace: Setting) -> None:
    tracks = drawn(workplace)
    says = told(begun(workplace, tracks, "present"), seen(tracks))
    for row, track in enumerate(tracks):
        for name, values in (
            ("buy", track.buy_per_kwh),
            ("upper", track.upper_kw),
            ("lower", track.lower_kw),
            ("base", track.base_load_kw),
        ):
            assert says[name].shape[1] == track.n_steps - STEP
            assert (says[name][row] == values[STEP]).all()
    assert len(says["port"]) == 0


@pytest.mark.parametrize("name", ["present", "expected", "forecast"])
def test_all_is_now_as_it_is_seen(workplace: Setting, name: str) -> None:
    tracks = drawn(workplace)
    says, present = told(begun(workplace, tracks, name), seen(tracks)), seen(tracks)
    np.testing.assert_array_equal(says["upper"][:, 0], present.upper_kw)
    np.testing.assert_array_equal(says["lower"][:, 0], present.lower_kw)
    np.testing.assert_array_equal(says["base"][:, 0], present.base_load_kw)
    np.testing.assert_array_equal(says["buy"][:, 0], [track.buy_per_kwh[STEP] for track in tracks])
    np.testing.assert_array_equal(says["sell"][:, 0], [track.sell_per_kwh[STEP] for track in tracks])
    assert (says["arrival_step"] > STEP).all()


def another_future(track: Track) -> Track:
    """The same day up to `STEP`, with other prices, loads and vehicles from then on."""
    rng, later = np.random.default_rng(0), track.sessions["arrival_step"] > STEP
    assert later.any()
    changed = {name: getattr(track, name).copy() for name in ("buy_per_kwh", "sell_per_kwh", "base_load_kw")}
    for values in changed.values():
        values[STEP + 1 :] += rng.uniform(0.1, 0.2, values[STEP + 1 :].shape)
    return replace(track, sessions=track.sessions[~later], **changed)


@pytest.mark.parametrize("name", ["present", "expected"])
def test_neither_present_nor_expected_reads_what_is_to_come(workplace: Setting, name: str) -> None:
    tracks = drawn(workplace)
    others = [another_future(track) for track in tracks]
    before, after = (told(begun(workplace, days, name), seen(days)) for days in (tracks, others))
    for key, values in before.items():
        np.testing.assert_array_equal(values, after[key], err_msg=key)


def test_expected_foretells_better_than_the_mean_of_days_and_keeps_to_what_was_seen(workplace: Setting) -> None:
    days = [workplace.world.sample(seed) for seed in day_seeds(9, 30, "train")]
    mean = sample_of_models(workplace.world).surroundings.base_load_kw._mean
    wrong = {"expected": 0.0, "mean": 0.0}
    for track in days:
        says = told(begun(workplace, [track], "expected"), seen([track]))
        soon, truth = slice(1, 9), track.base_load_kw[STEP + 1 : STEP + 9]
        wrong["expected"] += float(((says["base"][0, soon] - truth) ** 2).sum())
        wrong["mean"] += float(((mean[STEP + 1 : STEP + 9] - truth) ** 2).sum())
        np.testing.assert_array_equal(np.isfinite(says["upper"][0]), np.isfinite(track.upper_kw[STEP:]))
    assert wrong["expected"] < 0.7 * wrong["mean"]


def test_less_room_now_means_less_soon_and_says_little_of_the_night(workplace: Setting) -> None:
    (track,) = drawn(workplace, 1)
    outlook, present = begun(workplace, [track]), seen([track])
    _, usual = outlook.limits_kw(present)
    present.upper_kw = present.upper_kw.copy()
    present.upper_kw[0, 0] -= 30.0
    _, less = outlook.limits_kw(present)
    assert less[0, 1, 0] < usual[0, 1, 0] - 2.0
    assert abs(less[0, -1, 0] - usual[0, -1, 0]) < 10.0


def test_a_coefficient_by_hand() -> None:
    # Three days of three steps; deviations 1, −1, 0 now; later 2, −2, 0 and 0.5, 0.5, −1: coefficients 2 and 0.
    off = np.array([[1.0, 2.0, 0.5], [-1.0, -2.0, 0.5], [0.0, 0.0, -1.0]])
    series = Series((10.0 + off)[:, :, None])
    np.testing.assert_allclose(series.given(0, np.array([[10.5]]))[0, :, 0], [10.5, 11.0, 10.0])
    # What was never seen is not expected: 3 more would give 16.
    np.testing.assert_allclose(series.given(0, np.array([[13.0]]))[0, :, 0], [13.0, 12.0, 10.0])
    # Both series together foretell the third as the first did.
    both = Series((10.0 + off)[:, :, None], totals=np.stack([off, np.zeros_like(off)], axis=2))
    np.testing.assert_allclose(both.given_totals(0, 2, np.array([[0.5, 0.0]]))[0, :, 0], [10.5, 11.0])


def test_series_without_limit_stay_without_limit() -> None:
    series = Series(np.array([[[np.inf, 5.0], [np.inf, 6.0]], [[np.inf, 7.0], [3.0, 8.0]]]))
    later = series.given(0, np.array([[np.inf, 6.0]]))
    np.testing.assert_array_equal(later[0], [[np.inf, 6.0], [np.inf, 7.0]])


def test_models_are_drawn_once_for_each_world() -> None:
    first, second = Setting.of("tiny").world, Setting.of("tiny").world
    sample = sample_of_models(first)
    assert sample_of_models(first) is sample
    assert sample_of_models(second) is not sample
    vehicles, weight = sample.vehicles(3)
    again, _ = sample_of_models(second).vehicles(3)
    np.testing.assert_array_equal(vehicles["due_kwh"], again["due_kwh"])
    assert weight == pytest.approx(1.0 / 3.0)
    assert sample.vehicles(3)[0] is vehicles


def test_without_models_nothing_changes(workplace: Setting) -> None:
    tracks = drawn(workplace)
    says = told(begun(workplace, tracks, models=False), seen(tracks))
    stays = told(begun(workplace, tracks, "present", {"prices": "known"}), seen(tracks))
    for key, values in says.items():
        np.testing.assert_array_equal(values, stays[key], err_msg=key)


NO_ERROR = {"price_error": 0.0, "load_error": 0.0, "arrival_error_h": 0.0}


def test_a_forecast_without_error_is_the_truth_bit_for_bit(workplace: Setting) -> None:
    tracks = drawn(workplace)
    exact = begun(workplace, tracks, {"name": "forecast", "options": NO_ERROR})
    assert exact.foresees
    assert not make_outlook("forecast").foresees
    for step in (0, STEP, 95):
        says, known = (told(outlook, seen(tracks, step)) for outlook in (exact, begun(workplace, tracks, "known")))
        for key, values in says.items():
            assert values.tobytes() == known[key].tobytes(), key


def test_errors_grow_with_lead_time_as_they_should(workplace: Setting) -> None:
    (track,) = drawn(workplace, 1)
    options = {"price_error": 0.03, "load_error": 0.2, "memory_h": 3.0}
    price, load = [], []
    for seed in range(200):
        outlook = begun(workplace, [track], {"name": "forecast", "options": {**options, "seed": seed}})
        present = seen([track])
        price.append(outlook.prices(present.day, STEP)[0][0] - track.buy_per_kwh[STEP:])
        load.append(outlook.base_load_kw(present)[0, :, 0] - track.base_load_kw[STEP:, 0])
    lead_h = 0.25 * np.arange(track.n_steps - STEP)
    share = np.sqrt(1.0 - np.exp(-2.0 * lead_h / 3.0))
    np.testing.assert_allclose(np.std(price, axis=0), 0.03 * share, rtol=0.2, atol=1e-12)
    largest_kw = np.abs(track.base_load_kw[:, 0]).max()
    np.testing.assert_allclose(np.std(load, axis=0), 0.2 * largest_kw * share, rtol=0.2, atol=1e-9)
    assert abs(np.mean(price)) < 0.005


def test_each_forecast_corrects_the_last_one_by_what_was_learned(workplace: Setting) -> None:
    (track,) = drawn(workplace, 1)
    outlook = begun(workplace, [track], {"name": "forecast", "options": {"memory_h": 3.0}})
    first, second = (outlook.prices(slice(None), step)[0][0] for step in (STEP, STEP + 1))
    correction = second - first[1:]
    lag1 = np.exp(-0.25 / 3.0)
    np.testing.assert_allclose(correction, correction[0] * lag1 ** np.arange(len(correction)), atol=1e-12)


def test_forecasts_are_those_of_the_day_and_the_seed(workplace: Setting) -> None:
    tracks = drawn(workplace, 2)
    present = seen(tracks)
    together = told(begun(workplace, tracks, "forecast"), present)
    alone = told(begun(workplace, tracks[1:], "forecast"), seen(tracks[1:]))
    np.testing.assert_array_equal(together["buy"][1], alone["buy"][0])
    np.testing.assert_array_equal(together["base"][1], alone["base"][0])
    other = told(begun(workplace, tracks, {"name": "forecast", "options": {"seed": 1}}), present)
    assert (together["buy"][:, 1:] != other["buy"][:, 1:]).all()
    # Whatever else is changed on a day, its errors stay.
    dearer = [track.with_prices(track.buy_per_kwh + 1.0, track.sell_per_kwh) for track in tracks]
    np.testing.assert_allclose(told(begun(workplace, dearer, "forecast"), present)["buy"], together["buy"] + 1.0)


def test_limits_follow_the_forecast_load(workplace: Setting) -> None:
    tracks = drawn(workplace)
    says = told(begun(workplace, tracks, "forecast"), seen(tracks))
    limit_kw = np.stack([track.import_limit_kw for track in tracks])[:, STEP:]
    np.testing.assert_array_equal(says["upper"], np.maximum(0.0, limit_kw - says["base"]))
    assert np.abs(says["upper"][:, 10:, 0] - np.stack([t.upper_kw for t in tracks])[:, STEP + 10 :, 0]).max() > 1.0


def test_forecast_vehicles_come_at_other_times_and_stay_as_long() -> None:
    site = two_lots((1, 1))
    track = day(site, [(0, 5, 9, 20.0, 10.0, 60.0, 10.0), (1, 60, 70, 20.0, 10.0, 60.0, 10.0)], [0.1] * 96)
    simulator = Simulator(site.arrays, make_coordinator("none"), [track])
    arrivals = []
    for seed in range(150):
        options = {"arrival_error_h": 2.0, "memory_h": 5.0, "seed": seed}
        outlook = outlook_on(simulator, {"name": "forecast", "options": options})
        coming = outlook.vehicles(Present(4, 96, slice(None), *(np.zeros((1, 3)),) * 3), 1)
        assert coming.expected.tolist() == [[True, True]]
        stay = coming.stays["departure_step"] - coming.stays["arrival_step"]
        assert stay.tolist() == [4, 10]
        assert (coming.stays["arrival_step"] > 4).all()
        arrivals.append(coming.stays["arrival_step"])
    spread = np.std(arrivals, axis=0)
    assert spread[1] == pytest.approx(2.0, rel=0.2)  # steps are hours here, and the lead is long
    assert 0.3 < spread[0] < 0.8 * spread[1]


def test_the_step_uses_the_truth(workplace: Setting) -> None:
    """Whatever is thought of prices and limits, the same setpoints earn the same."""
    tracks = drawn(workplace)
    simulator = workplace.simulator(tracks)
    wrong = workplace.scenario.model_copy(update={"outlook": "forecast"})
    returns = [
        rollout(simulator, workplace.objective, make_policy("uncontrolled"), tracks, world=Setting.of(scenario).world)
        for scenario in (workplace.scenario, wrong)
    ]
    np.testing.assert_array_equal(returns[0].team, returns[1].team)


@pytest.mark.parametrize("policy", ["best-response", "booked-response", "mpc", "dual-prices", "selfish"])
def test_a_wrong_forecast_costs_and_a_forecast_without_error_does_not(workplace: Setting, policy: str) -> None:
    tracks = drawn(workplace)

    def earned(choice: Any) -> np.ndarray:
        scenario = workplace.scenario.model_copy(update={"outlook": make(choice)})
        setting = Setting.of(scenario)
        simulator = setting.simulator(tracks)
        return rollout(simulator, setting.objective, make_policy(policy), tracks, world=setting.world).team

    def make(options: dict[str, float]) -> Any:
        return scenario_value("outlook", {"prices": {"name": "forecast", "options": options}})

    usual = rollout(
        workplace.simulator(tracks), workplace.objective, make_policy(policy), tracks, world=workplace.world
    ).team
    np.testing.assert_array_equal(earned({"price_error": 0.0}), usual)
    assert earned({"price_error": 0.3}).sum() < usual.sum() - 1.0


def test_observations_show_forecasts() -> None:
    def observed(outlook: Any) -> np.ndarray:
        data = load_scenario("tiny").model_dump(exclude_unset=True)
        env = ev_marl.BatchedEnv(Scenario.model_validate({**data, "outlook": outlook}), 1, n_days=1, seed=3)
        labels = env.observation_labels(env.agents[0])
        rows = env.reset()
        prices = [k for k, label in enumerate(labels) if label.startswith("prices")]
        assert labels[prices[0]] == "prices.buy"
        return rows[0, 0, prices]

    truth = observed({"prices": "known"})
    np.testing.assert_array_equal(observed({"prices": {"name": "forecast", "options": NO_ERROR}}), truth)
    wrong = observed({"prices": {"name": "forecast", "options": {"price_error": 0.2}}})
    np.testing.assert_array_equal(wrong[:2], truth[:2])  # this step's own price is known
    assert (wrong[3:] != truth[3:]).all()


def test_a_policy_may_have_an_outlook_of_its_own(workplace: Setting) -> None:
    tracks = drawn(workplace, 1)
    simulator = workplace.simulator(tracks)

    def earned(spec: str) -> float:
        policy = make_policy(spec)
        return float(rollout(simulator, workplace.objective, policy, tracks, world=workplace.world).team[0])

    perfect = earned("mpc-perfect")
    assert earned("mpc(outlook='known', waiting_per_kwh_h=0.0)") == perfect
    assert earned("mpc(outlook={'vehicles': 'present'})") == earned("mpc(expected_days=0)")
    assert earned("mpc(outlook='forecast')") <= perfect


def test_expectations_of_given_tracks(workplace: Setting, tmp_path: Path) -> None:
    days = drawn(workplace, 4)
    for k, track in enumerate(days):
        track.save(tmp_path / f"day-{k}.parquet")
    present = seen([days[0]])
    outlook = begun(workplace, [days[0]], {"tracks": str(tmp_path)})
    # The day that is played is left out: what is expected is what the other three let expect.
    others = np.stack([track.base_load_kw for track in days[1:]])
    expected = Series(others).given(STEP, present.base_load_kw)
    np.testing.assert_array_equal(outlook.base_load_kw(present), expected)
    coming = outlook.vehicles(present, 30)
    assert coming.weight == pytest.approx(1.0 / 3.0)
    assert len(coming.stays) == sum(len(track.sessions) for track in days[1:])
    assert outlook.vehicles(present, 2).weight == 0.5
    # So it does not matter what the played day holds later on.
    with pytest.raises(TrackError, match="it has no track besides those that are played"):
        begun(workplace, days, {"tracks": str(tmp_path)})
    names = ("buy_per_kwh", "sell_per_kwh", "base_load_kw", "import_limit_kw", "export_limit_kw")
    halves = {name: getattr(days[0], name)[:48] for name in names}
    short = replace(days[0], sessions=no_sessions(), **halves)
    short.save(tmp_path / "day-9.parquet")
    with pytest.raises(TrackError, match=r"48 steps of 0.25 h, the days that are played have .* 96 steps"):
        begun(workplace, [days[0]], {"tracks": str(tmp_path)})


class PricesOnly:
    """Says something of prices, and of nothing else."""

    foresees = False

    def begin(self, truth: Truth, world: Any) -> None:
        self.days = truth.days

    def prices(self, day: Any, step: int) -> tuple[np.ndarray, np.ndarray]:
        buy = self.days.buy_per_kwh[day, step:]
        return np.full_like(buy, 0.5), np.full_like(buy, 0.5)


def test_an_outlook_of_ones_own_is_asked_for_what_it_speaks_of(workplace: Setting) -> None:
    name = f"{__name__}:PricesOnly"
    composed = make_outlook(name)
    assert isinstance(composed.of["prices"], PricesOnly)
    assert not any(isinstance(composed.of[kind], PricesOnly) for kind in KINDS if kind != "prices")
    with pytest.raises(OptionError, match="does not cover vehicles: it has no `vehicles`"):
        make_outlook({"vehicles": name})


def test_faults_are_named() -> None:
    with pytest.raises(UnknownNameError, match=r"no outlook is called 'forcast'. Did you mean 'forecast'\?"):
        make_outlook("forcast")
    with pytest.raises(OptionError, match="outlook 'forecast': price_error must be 0 or more, got -1"):
        make_outlook({"name": "forecast", "options": {"price_error": -1}})
    with pytest.raises(OptionError, match=r"Did you mean 'load_error'\?"):
        make_outlook({"name": "forecast", "options": {"loads_error": 0.1}})
    with pytest.raises(ScenarioError, match="price"):
        make_outlook({"price": "forecast"})
    setting = Setting.of("tiny")
    with pytest.raises(TrackError, match="there is no such file or folder"):
        begun(setting, [setting.world.sample(0)], {"tracks": "nowhere"})


def test_departures_are_asked_of_the_outlook(workplace: Setting) -> None:
    class FourStepsMore(KnownOutlook):
        """Thinks that everybody stays four steps longer."""

        def begin(self, truth: Truth, world: World | None) -> None:
            super().begin(truth, world)
            self.stays = truth.days.stays.copy()
            self.stays["departure_step"] += 4
            self.stays["deadline_step"] += 4

    simulator = workplace.simulator(drawn(workplace))
    simulator.reset()
    for _ in range(STEP):
        simulator.step(np.zeros(simulator.state.lo_kw.shape))
    seen = {}
    for name, choice in (("true", "known"), ("believed", FourStepsMore())):
        outlook = make_outlook(choice)
        outlook.begin(Truth.of(simulator), None)
        view = make_view(simulator, workplace.objective, Idle(), outlook)
        observer = Observer.from_scenario(workplace.scenario, workplace.site, ["ports"])
        observer.load(simulator.days, outlook, None)
        observer.fill(simulator.state)
        out = np.zeros((2, len(workplace.site.agents), observer.width), dtype=np.float32)
        observer.observe(out)
        labels = observer.labels(workplace.site.agents[0])
        time_left, laxity = (
            out[:, :, [label.endswith(feature) for label in labels]].sum() for feature in ("time_left", "laxity")
        )
        seen[name] = view.vehicle["deadline_step"][view.connected], time_left, view.laxity_h[view.connected], laxity
    n_connected = len(seen["true"][0])
    assert n_connected > 5
    np.testing.assert_array_equal(seen["believed"][0], seen["true"][0] + 4)
    assert seen["believed"][1] - seen["true"][1] == pytest.approx(4 * n_connected / simulator.days.n_steps, rel=1e-4)
    np.testing.assert_array_equal(seen["true"][2], simulator.state.laxity_h[simulator.state.session >= 0])
    np.testing.assert_allclose(seen["believed"][2], seen["true"][2] + 4 * simulator.days.step_h)
    assert seen["believed"][3] - seen["true"][3] == pytest.approx(4 * n_connected / simulator.days.n_steps, rel=1e-4)
