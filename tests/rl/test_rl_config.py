"""Training files: read with variants and changes, all faults at once; shipped files, schema and reference."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ev_marl.cli import app
from ev_marl.rl.config import TrainingConfig, load_training, shipped_trainings
from ev_marl.rl.config_reference import training_reference, training_schema_text
from ev_marl.scenario import ScenarioError

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def put(text: str, name: str = "mine.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return put


def faults(path: str | Path, *changes: str) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        load_training(path, changes)
    return [str(problem).removeprefix(f"{Path(path).parent}/") for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["agents=central"], "--set: agents: the pipeline `stock` has an agent for each station"),
        (["reward.scale=2"], "--set: reward: the pipeline `stock` has the rewards of the scenario only"),
        (["reward.shaping=plan"], "--set: reward: the pipeline `stock` has the rewards of the scenario only"),
        (["reward.team_of=group"], "--set: reward.team_of: the pipeline `stock` has one team"),
        (["sampling.days=9"], "--set: sampling.days: the pipeline `stock` plays new days only"),
    ],
)
def test_what_rllibs_own_runner_would_leave_out_is_refused(write: Write, changes: list[str], message: str) -> None:
    path = write("name: own\nsampling: {pipeline: stock}\nreward: {shaping: none}\n")
    assert load_training(path).sampling.pipeline == "stock"
    (found,) = faults(path, *changes)
    assert message in found


@pytest.mark.parametrize("name", shipped_trainings())
def test_every_shipped_file_is_sound(name: str) -> None:
    config = load_training(name)
    assert config.name == name
    assert config == load_training(shipped_trainings()[name])
    assert TrainingConfig.model_validate_json(config.model_dump_json()) == config


def test_the_shipped_kinds_of_training_are_what_they_are_called() -> None:
    kinds = {name: load_training(name) for name in ("ippo", "ippo-per-type", "mappo", "central-ppo", "dqn")}
    assert [config.agents for config in kinds.values()] == ["shared", "by_type", "shared", "central", "shared"]
    assert [name for name, config in kinds.items() if config.critic == "state"] == ["mappo"]
    assert [name for name, config in kinds.items() if config.algorithm == "dqn"] == ["dqn"]


def test_a_variant_changes_what_it_says(write: Write) -> None:
    base = load_training("ippo")
    path = write("extends: ippo\nname: mine\nppo: {epochs: 7}\naction: {levels: 5}\nlearning_rate: 0.001\n")
    config = load_training(path)
    assert (config.name, config.ppo.epochs, config.learning_rate) == ("mine", 7, 0.001)
    assert config.ppo.minibatch == base.ppo.minibatch
    assert config.action.model_dump() == {"levels": 5}  # type: ignore[union-attr]  # and no `bid` beside it
    again = write("extends: mine.yaml\nname: last\nppo: {epochs: null}\n", "last.yaml")
    assert load_training(again).ppo.epochs == TrainingConfig(name="x").ppo.epochs


def test_changes_are_as_a_variant_would_say_them() -> None:
    changes = ["ppo.epochs=2", "neural_network.hidden=[8, 9]", "learning_rate=[[0, 1e-3], [100, 1e-4]]", "seeds=[3]"]
    config = load_training("ippo", [*changes, "action.levels=[0, 1]", "coordinator=none"])
    assert (config.ppo.epochs, config.neural_network.hidden, config.seeds) == (2, (8, 9), (3,))
    assert config.learning_rate == ((0, 1e-3), (100, 1e-4))
    assert config.action.model_dump() == {"levels": [0.0, 1.0]}  # type: ignore[union-attr]
    assert config.coordinator == "none"
    assert load_training("ippo", ["coordinator=priority", "coordinator=null"]).coordinator is None


def test_all_faults_come_at_once_with_their_lines(write: Write) -> None:
    path = write(
        "name: mine\nagents: shard\nneural_network:\n  hidden: 64\nobservation:\n  - clok\n  - {block: portz}\n"
        "coordinator: nearst\nppo: {epoch: 2}\n"
    )
    found = faults(path, "stop.day=3")
    assert [line.partition(": found")[0].partition(": no ")[0].partition(": unknown")[0] for line in found] == [
        "--set: stop.day",
        "mine.yaml:2: agents",
        "mine.yaml:4: neural_network.hidden",
        "mine.yaml:6: observation[0]",
        "mine.yaml:7: observation[1].block",
        "mine.yaml:8: coordinator",
        "mine.yaml:9: ppo.epoch",
    ]
    for line, hint in zip(
        found, ("days", "shared", "expected a list", "clock", "ports", "nearest", "epochs"), strict=True
    ):
        assert hint in line


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("ppo.epochs", "--set: found 'ppo.epochs'; expected KEY=VALUE, such as ppo.epochs=2"),
        ("ppo..epochs=1", "--set: found 'ppo..epochs=1'; expected KEY=VALUE, such as ppo.epochs=2"),
        ("seeds=[1", "--set: seeds: found '[1'; this is not YAML"),
        ("seeds=[]", "--set: seeds: found 0 values; expected at least 1"),
        ("ppo=3", "--set: ppo: found 3; expected a mapping with keys among clip"),
        ("learning_rate=fast", "--set: learning_rate: found 'fast'; expected a number"),
        ("learning_rate=-1", "--set: learning_rate: found -1; expected more than 0"),
        ("sampling={envs: 7, replicas: 2}", "--set: sampling.replicas: found 2; it must divide envs, 7"),
        ("learning_rate=[[5, 0.1]]", "--set: learning_rate: found days 5; the first must be 0, and they must rise"),
        ("learning_rate=[[0, 0.1], [0, 0.2]]", "--set: learning_rate: found days 0, 0; the first must be 0"),
        ("algorithm=dqm", "--set: algorithm: found 'dqm'. Did you mean 'dqn'? Allowed: ppo, dqn"),
        ("dqn.batch=3", "--set: dqn: algorithm is ppo; remove these constants, with `dqn: null`"),
        ("algorithm=dqn", "ippo.yaml:22: ppo: algorithm is dqn; remove these constants, with `ppo: null`"),
    ],
)
def test_faults_of_changes(change: str, message: str) -> None:
    assert message in "\n".join(faults("ippo", change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("action=bid", "--set: action: algorithm dqn chooses among levels, such as {levels: [-1, 0, 0.5, 1]}"),
        ("critic=state", "--set: critic: algorithm dqn has no critic; `state` needs algorithm ppo"),
        (
            "neural_network.critic_hidden=[8]",
            "--set: neural_network.critic_hidden: algorithm dqn has no critic; remove this",
        ),
        ("sampling.pipeline=stock", "--set: sampling.pipeline: found 'stock'; algorithm dqn only supports `arrays`"),
        ("sampling.replicas=2", "--set: sampling.replicas: algorithm dqn has no advantages, so replicas"),
        ("sampling.envs=501", "dqn.yaml:13: dqn.replay_days: found 500; it must hold a batch of 501 days"),
        ("dqn.start_days=501", "--set: dqn.start_days: found 501; no more than replay_days, 500"),
        ("dqn.epsilon=1.5", "--set: dqn.epsilon: found 1.5; expected 1 or less"),
        ("dqn.epsilon=[[0, 1], [9, 2]]", "--set: dqn.epsilon[1][1]: found 2; expected 1 or less"),
        ("dqn.epsilon=[]", "--set: dqn.epsilon: found days none; the first must be 0"),
        ("dqn.epsilon=much", "--set: dqn.epsilon: found 'much'; expected a number"),
        ("dqn.replay=5", "--set: dqn.replay: unknown key. Did you mean 'replay_days'?"),
        ("ppo.epochs=3", "--set: ppo: algorithm is dqn; remove these constants, with `ppo: null`"),
    ],
)
def test_faults_of_deep_q_learning(change: str, message: str) -> None:
    (found,) = faults("dqn", change)
    assert message in found


def test_only_the_constants_of_the_algorithm_are_written_down() -> None:
    mine, other = load_training("dqn"), load_training("ippo")
    assert {"ppo", "dqn"} & set(mine.model_dump()) == {"dqn"}
    assert {"ppo", "dqn"} & set(other.model_dump(mode="json", exclude={"seeds"})) == {"ppo"}


def test_missing_files_and_cycles(write: Write) -> None:
    assert "Did you mean 'ippo'" in faults("ipo")[0]
    assert "there is no such file" in faults("nowhere.yaml")[0]
    path = write("extends: nothing\nname: mine\n")
    assert faults(path) == [
        "mine.yaml:1: extends: found 'nothing', which is neither a shipped training file nor a file beside mine.yaml"
    ]
    write("extends: mine.yaml\n", "other.yaml")
    loop = "the training files extend each other in a cycle: mine.yaml -> other.yaml -> mine.yaml"
    assert faults(write("extends: other.yaml\n")) == [f"other.yaml:1: extends: {loop}"]


def test_schema_and_reference_come_from_the_models() -> None:
    schema = json.loads(training_schema_text())
    assert schema["title"] == "ev_marl training file"
    keys = set(TrainingConfig.model_fields)
    assert set(schema["$defs"]["TrainingConfig"]["properties"]) == keys
    assert set(schema["$defs"]["TrainingConfigVariant"]["properties"]) == {"extends", *keys}
    page = training_reference()
    assert all(f"| `{key}` |" in page for key in keys)
    lines = page.splitlines()
    assert all(line.rstrip(" |").count("|") >= 4 for line in lines if line.startswith("| `")), "a key has no meaning"


def test_the_command_prints_both() -> None:
    printed = CliRunner().invoke(app, ["schema", "--training"])
    assert printed.stdout == training_schema_text()
    assert CliRunner().invoke(app, ["schema", "--training", "--reference"]).stdout == training_reference()


def test_reading_training_files_loads_no_training_library() -> None:
    code = (
        "import sys; from ev_marl.rl.config import load_training; load_training('ippo');"
        "import ev_marl.rl.config_reference, ev_marl.rl.restart;"
        "print([name for name in ('ray', 'torch', 'tensorboardX') if name in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
