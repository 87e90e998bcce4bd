"""What is fuzzed: kinds of files, sound examples of each, how they are spoilt, and what is done with a spoilt one.

What reads a spoilt file either takes it, and then it must work, or raises an error of the package.
"""

from __future__ import annotations

import io
import json
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandapower
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from mutations import either, spoil_bytes, spoil_data, spoil_json, spoil_text

import ev_marl
from ev_marl.checks import checked_setting
from ev_marl.compare import Comparison, compare
from ev_marl.compare.folder import RunFolder, read_manifest
from ev_marl.compare.study import load_study
from ev_marl.env.setup import Setting
from ev_marl.grid.model.network import Network
from ev_marl.grid.model.sources import opened
from ev_marl.grid.solvers.base import Injections
from ev_marl.grid.solvers.newton import NewtonBackend
from ev_marl.grid.solvers.pandapower_backend import PandapowerBackend
from ev_marl.grid.solvers.zbus import ZBusBackend
from ev_marl.optimum import solve_day
from ev_marl.policies import make_policy, rollout
from ev_marl.policies.plan import Plan, PlanPolicy
from ev_marl.rl.config import load_training, shipped_trainings
from ev_marl.scenario import shipped_scenarios
from ev_marl.scenario.dated import read_dated
from ev_marl.scenario.files import read_column
from ev_marl.scenario.schema.grid import Grid
from ev_marl.scenario.units import power
from ev_marl.site import Site
from ev_marl.support.errors import EvMarlError, TrackError
from ev_marl.world import Track, World, import_tracks
from ev_marl.world.readers.prices import read_prices

Spoil = Callable[[np.random.Generator, bytes], bytes]

TINY = """\
name: small
start: 2023-05-15
until: 2023-05-20
step: 1 h
horizon: 12 h
site:
  name: root
  import_limit: 20 kW
  base_load: {profile: office, peak: 5 kW}
  pv: {peak: 4 kW}
  groups:
    - name: lot
      import_limit: {by_hour: [10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9]}
      stations:
        - {type: ac, count: 2.0, ports: 2, power: 11 kW, station_power: 15 kW, efficiency: 90 %}
        - {type: bidi, current: 16 A, phases: 3, v2g: true, discharge_power: 5 kW}
    - {name: hall, export_limit: 5 kW, stations: [{type: dc, power: 50 kW}]}
sessions: {model: elaadnl/workplace, per_port_per_day: 2, stay_scale: 1.1}
vehicles:
  mix:
    - {name: one, capacity: 50 kWh, ac_power: 11 kW, dc_power: 100 kW, share: 2}
    - {name: two, capacity: 20 kWh, ac_power: 3.7 kW, taper_start: 70 %}
  v2g_share: 50 %
  reserve: 0.3
prices: {model: nl/2023, feed_in: 90 %, markup: 0.02 EUR/kWh}
coordinator: {name: nearest, options: {weights: [1, 1, 2, 1, 1, 1]}}
objective: {unmet_energy: 0.4 EUR/kWh, battery_wear: 0.03, peak_power: 0.1 EUR/kW, split: equal}
observation: [identity, clock, {prices: 3 h}, ports, {block: demand, options: {hours: 3}}, plans, headroom]
action: {bid: {says: [adder, trust], trust: booked, hold_steps: 2}}
policies: [uncontrolled, "best-response(trust=0.8)", "dual-prices(rounds=3, expected_days=2)", "selfish(sweeps=1)"]
"""
SPECS = (
    "best-response(trust=0.8, margin_steps=1)",
    "booked-response(factor=1.5, margin_steps=1)",
    "dual-prices(rounds=3, expected_days=2)",
    "mpc(horizon_h=6, expected_days=3, outlook={'prices': 'present'})",
    "price-threshold(charge_share=0.3)",
    "selfish(sweeps=2)",
)


@dataclass(frozen=True)
class Kind:
    """One kind of file."""

    name: str
    suffix: str
    examples: Callable[[], list[bytes]]
    spoil: Spoil
    read: Callable[[Path], None]
    n_short: int = 60  # cases in a short run


def _played(file: Path) -> None:
    """A scenario that is taken can be played, unless it is large; what is seen and earned are numbers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scenario = ev_marl.load_scenario(file)
        if not _small(scenario):
            return
        setting = checked_setting(file)
        env = ev_marl.parallel_env(setting.scenario)
        observations, _ = env.reset(seed=0)
        for _ in range(4):
            if not env.agents:
                break
            actions = {agent: env.action_space(agent).sample() for agent in env.agents}
            observations, rewards, _, _, _ = env.step(actions)
            assert all(np.isfinite(reward) for reward in rewards.values()), "a reward is no number"
        assert all(env.observation_space(agent).contains(seen) for agent, seen in observations.items()), "out of bounds"


def _small(scenario: ev_marl.Scenario) -> bool:
    def ports(group: object) -> int:
        own = sum(entry.count * entry.ports for entry in group.stations)  # type: ignore[attr-defined]
        return own + sum(ports(below) for below in group.groups)  # type: ignore[attr-defined]

    days = 1 if scenario.until is None else (scenario.until - scenario.start).days
    vehicles = ports(scenario.site) * scenario.sessions.per_port_per_day * (scenario.horizon / 24 + 7)
    return ports(scenario.site) <= 60 and scenario.n_steps <= 400 and days <= 40_000 and vehicles <= 30_000


def _spoil_yaml(rng: np.random.Generator, content: bytes) -> bytes:
    return yaml.safe_dump(spoil_data(rng, yaml.safe_load(content)), sort_keys=False).encode()


@cache
def _setting() -> Setting:
    return Setting.of("tiny")


@cache
def _track() -> Track:
    """A day with vehicles that were there before it, ahead of an even service, and with some that stay beyond it."""
    scenario = _setting().scenario
    long = scenario.sessions.model_copy(update={"stay_scale": 4.0, "per_port_per_day": 2.0})
    track = World(scenario.model_copy(update={"sessions": long}), _setting().site).sample(9)
    sessions = track.sessions
    assert (sessions["ahead_kwh"] > 0.0).any()
    assert (sessions["departure_step"] > track.n_steps).any()
    return track


def _saved(save: Callable[[Path], object], suffix: str) -> bytes:
    folder = _scratch()
    save(folder / f"example{suffix}")
    return (folder / f"example{suffix}").read_bytes()


def _scratch() -> Path:
    return Path(tempfile.mkdtemp(prefix="ev_marl-fuzz-"))


def _read_track(file: Path) -> None:
    track = Track.load(file)
    try:
        _setting().world.check(track)
    except TrackError:
        return  # of another site: it says what differs, and whoever asks knows which file it was
    if track.n_steps <= 200:
        result = rollout(_setting().simulator([track]), _setting().objective, make_policy("llf"), [track])
        assert np.isfinite(result.team).all(), "a return is no number"
        solution = solve_day(_setting(), track)
        scale = max(1.0, abs(solution.bound), abs(solution.achieved))
        assert np.isfinite([solution.bound, solution.achieved]).all(), "a bound is no number"
        for earned in (solution.achieved, float(result.team[0])):
            assert earned <= solution.bound + 1e-6 * scale, "a bound that is no bound"


def _read_spec(file: Path) -> None:
    """A policy that is taken can be played, unless it asks for much work."""
    try:
        policy = make_policy(file.read_text("utf-8", "replace"))
        if max(getattr(policy, name, 0) for name in ("rounds", "sweeps", "expected_days")) <= 20:
            result = rollout(
                _setting().simulator([_track()]), _setting().objective, policy, [_track()], world=_setting().world
            )
            assert np.isfinite(result.team).all(), "a return is no number"
    except EvMarlError:
        return  # there is no file in the user's view: the message names policy and option


def _spoil_parquet(rng: np.random.Generator, content: bytes) -> bytes:
    """Other columns, values and metadata; sometimes other bytes."""
    if rng.random() < 0.4:
        return spoil_bytes(rng, content)
    table = pq.read_table(io.BytesIO(content))
    metadata = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    names = table.column_names
    name = names[int(rng.integers(len(names)))]
    values = table[name].to_pylist()
    match int(rng.integers(5)):
        case 0:
            table = table.drop_columns([name])
        case 1:
            table = table.slice(int(rng.integers(table.num_rows)), int(rng.integers(table.num_rows)))
        case 2:
            key = list(metadata)[int(rng.integers(len(metadata)))]
            value = metadata[key]
            spoil = spoil_json if value.startswith("{") else spoil_text
            metadata[key] = spoil(rng, value.encode()).decode("utf-8", "replace")
        case 3:
            try:
                table = table.set_column(names.index(name), name, pa.array(spoil_data(rng, values)))
            except (pa.ArrowException, TypeError, OverflowError):
                table = table.set_column(names.index(name), name, pa.array([str(value) for value in values]))
        case _:
            table = table.rename_columns([other if other != name else "x" for other in names])
    buffer = io.BytesIO()
    try:
        pq.write_table(table.replace_schema_metadata(metadata), buffer)
    except pa.ArrowException:  # nothing that Parquet can hold
        return spoil_bytes(rng, content)
    return buffer.getvalue()


def _read_plan(file: Path) -> None:
    plan = Plan.load(file)
    track = _track()
    rollout(_setting().simulator([track]), _setting().objective, PlanPolicy(plan), [track])


def _plan() -> bytes:
    track = _track()
    power = np.zeros((track.n_steps, len(track.ports)))
    return _saved(Plan(power, power + 1.0).save, ".parquet")


RESULTS = Path(ev_marl.__path__[0]).parent / "training" / "results"


@cache
def _policy_folder() -> tuple[Path, str]:
    """A learned policy: folder and kind."""
    source = min(path for path in RESULTS.glob("**/policy.json") if path.parent.name.startswith("seed_")).parent
    description = json.loads((source / "policy.json").read_text())
    return source, "central" if description["agents"] == "central" else "rllib"


def _read_policy(file: Path) -> None:
    source, kind = _policy_folder()
    folder = file.with_suffix("")
    folder.mkdir()
    for name in ("policy.json", "weights.npz"):
        shutil.copyfile(file if file.suffix == Path(name).suffix else source / name, folder / name)
    make_policy(f"{kind}:{folder}")


def _read_site(file: Path) -> None:
    site = Site.read_graphml(file)
    world = World(_setting().scenario, site)
    if len(site.ports) <= 200:
        world.sample(0)


def _read_series(file: Path) -> None:
    assert np.isfinite(read_column(file, "kw", 24)).all()


def _read_dated(file: Path) -> None:
    series = read_dated(file, column="kw", time="when", timezone="Europe/Amsterdam", quantity=power, fill="interpolate")
    assert np.isfinite(series.values).all()


def _import(kind: str) -> Callable[[Path], None]:
    def read(file: Path) -> None:
        tracks = import_tracks(kind, file, "tiny", fill="interpolate" if kind == "prices" else None)
        assert tracks, "no day"

    return read


PRICES = "datetime_utc,price_eur_per_mwh\n" + "".join(
    f"2023-05-{14 + k // 24}T{k % 24:02d}:00:00Z,{40 + k % 7}.5\n" for k in range(96)
)
ENTSOE = "MTU (CET/CEST),Day-ahead Price [EUR/MWh],Currency\n" + "".join(
    f"{15 + k // 24:02d}.05.2023 {k % 24:02d}:00 - {15 + (k + 1) // 24:02d}.05.2023 {(k + 1) % 24:02d}:00,{k}.1,EUR\n"
    for k in range(72)
)
EMBER = "Country,ISO3 Code,Datetime (UTC),Datetime (Local),Price (EUR/MWhe)\n" + "".join(
    f"Netherlands,NLD,2023-05-{15 + k // 24} {k % 24:02d}:00:00,2023-05-15 02:00:00,{k}.5\n" for k in range(72)
)
ACN = json.dumps(
    {
        "_meta": {},
        "_items": [
            {
                "connectionTime": f"Wed, 0{d} May 2019 0{h}:18:44 GMT",
                "disconnectTime": f"Wed, 0{d} May 2019 1{h}:18:44 GMT",
                "kWhDelivered": 7.5 + h,
                "spaceID": f"CA-{h}",
                "sessionID": f"{d}{h}",
                "timezone": "America/Los_Angeles",
                "userInputs": [{"kWhRequested": 12}],
            }
            for d in (1, 2)
            for h in (1, 5)
        ],
    }
)
ACN_CSV = "arrival,departure,delivered_energy (kWh),station_id,requested_energy (kWh),session_id\n" + "".join(
    f"2019-05-0{d} 08:1{d}:00,2019-05-0{d} 17:00:00,1{d}.5,CA-{d},20,s{d}\n" for d in (1, 2, 3)
)
OWN_CSV = "station;arrival;departure;energy_kwh;requested_kwh\n" + "".join(
    f"CP{d};2023-05-0{d} 08:1{d};2023-05-0{d} 17:00;1{d},5;20\n" for d in (1, 2, 3)
)
ELAADNL = "TransactionId;ChargePoint;Connector;UTCTransactionStart;UTCTransactionStop;TotalEnergy\n" + "".join(
    f"{d};NL-{d};1;0{d}/05/2019 08:00;0{d}/05/2019 17:30;1{d},5\n" for d in (1, 2, 3)
)
DATED = "when,kw,note\n" + "".join(f"2023-03-26T{k:02}:00+00:00,{k}.5,x\n" for k in range(24))
SERIES = "kw,note\n" + "".join(f"{k}.5,x\n" for k in range(24))


@cache
def _run_folder() -> Path:
    return compare("tiny", ["llf"], days=1, out=_scratch() / "run", workers=1, report=False).folder


def _read_run(file: Path) -> None:
    whole = _run_folder()
    folder = file.with_suffix("")
    shutil.copytree(whole, folder)
    content = file.read_bytes()
    target = folder / "days" / "day-00000.json" if b'"index"' in content[:80] else folder / "manifest.json"
    target.write_bytes(content)
    manifest = read_manifest(folder)
    Comparison(folder, manifest, RunFolder(folder, manifest).read(manifest.day_seeds(1)), "").table()


def _trainings() -> Iterator[bytes]:
    for path in shipped_trainings().values():
        yield path.read_bytes()


STUDY = """\
name: small
days: 2
policies: [llf, "best-response(trust=0.8)"]
tune: [best-response]
cases:
  - {scenario: tiny, coordinator: nearest}
  - {name: other, scenario: tiny, coordinator: {name: priority, options: {}}, policies: [edf]}
"""
YAML = either(spoil_text, spoil_text, spoil_bytes, _spoil_yaml, _spoil_yaml, _spoil_yaml)
TEXT = either(spoil_text, spoil_text, spoil_bytes)


def _scenarios() -> list[bytes]:
    shipped = [path.read_bytes() for path in shipped_scenarios().values() if b"\ngrid:" not in path.read_bytes()]
    return [TINY.encode()] * 3 + shipped


@cache
def _street() -> bytes:
    net = opened("panda_four_load_branch")
    return _saved(lambda path: pandapower.to_json(net, str(path)), ".json")


def _spoil_network(rng: np.random.Generator, content: bytes) -> bytes:
    """One value, row or column of a table; sometimes other bytes."""
    if rng.random() < 0.2:
        return spoil_json(rng, content)
    stored = json.loads(content)
    tables = [name for name, value in stored["_object"].items() if isinstance(value, dict) and name in NETWORK_TABLES]
    table = stored["_object"][tables[int(rng.integers(len(tables)))]]
    rows = json.loads(table["_object"])
    for _ in range(int(rng.integers(1, 4))):
        if not rows["data"]:
            break
        k = int(rng.integers(len(rows["data"])))
        match int(rng.integers(4)):
            case 0:
                del rows["data"][k], rows["index"][k]
            case 1:
                rows["data"][k] = spoil_data(rng, rows["data"][k])
            case _:
                c = int(rng.integers(len(rows["columns"])))
                rows["data"][k][c] = spoil_data(rng, [rows["data"][k][c]])
                rows["data"][k][c] = (rows["data"][k][c] or [None])[0] if isinstance(rows["data"][k][c], list) else 99
    table["_object"] = json.dumps(rows)
    return json.dumps(stored).encode()


NETWORK_TABLES = ("bus", "line", "trafo", "load", "sgen", "ext_grid", "switch", "gen", "shunt")


def _read_network(file: Path) -> None:
    network = Network.of(Grid(network={"file": str(file)}), [2])
    states = Injections.zeros(network.spec, 1)
    states.load_kw[:], states.load_kvar[:] = network.spec.load_kw, network.spec.load_kvar
    for backend in (ZBusBackend, NewtonBackend, PandapowerBackend):
        backend(network).solve(states)


KINDS = {
    kind.name: kind
    for kind in (
        Kind("scenario", ".yaml", _scenarios, YAML, _played),
        Kind("track-json", ".json", lambda: [_saved(_track().save, ".json")], spoil_json, _read_track),
        Kind("track-parquet", ".parquet", lambda: [_saved(_track().save, ".parquet")], _spoil_parquet, _read_track),
        Kind("plan", ".parquet", lambda: [_plan()], _spoil_parquet, _read_plan),
        Kind("policy", ".json", lambda: [(_policy_folder()[0] / "policy.json").read_bytes()], spoil_json, _read_policy),
        Kind(
            "weights", ".npz", lambda: [(_policy_folder()[0] / "weights.npz").read_bytes()], spoil_bytes, _read_policy
        ),
        Kind("policy-spec", ".txt", lambda: [spec.encode() for spec in SPECS], spoil_text, _read_spec, n_short=30),
        Kind("graphml", ".graphml", lambda: [_saved(_setting().site.write_graphml, ".graphml")], TEXT, _read_site),
        Kind("series", ".csv", lambda: [SERIES.encode()], TEXT, _read_series),
        Kind("dated-series", ".csv", lambda: [DATED.encode()], TEXT, _read_dated),
        Kind("prices", ".csv", lambda: [text.encode() for text in (PRICES, ENTSOE, EMBER)], TEXT, _import("prices")),
        Kind("acn", ".json", lambda: [ACN.encode()], spoil_json, _import("acn")),
        Kind("acn-csv", ".csv", lambda: [ACN_CSV.encode()], TEXT, _import("acn")),
        Kind("sessions-csv", ".csv", lambda: [OWN_CSV.encode()], TEXT, _import("csv")),
        Kind("elaadnl", ".csv", lambda: [ELAADNL.encode()], TEXT, _import("elaadnl")),
        Kind(
            "run",
            ".json",
            lambda: [(_run_folder() / name).read_bytes() for name in ("manifest.json", "days/day-00000.json")],
            spoil_json,
            _read_run,
        ),
        Kind("training", ".yaml", lambda: list(_trainings()), YAML, lambda file: load_training(file) and None),
        Kind("network", ".json", lambda: [_street()], _spoil_network, _read_network, n_short=10),
        Kind("study", ".yaml", lambda: [STUDY.encode()], YAML, lambda file: load_study(file) and None),
        Kind("prices-only", ".csv", lambda: [PRICES.encode()], TEXT, lambda file: read_prices(file) and None),
    )
}
