"""The reference of training files, for people and for editors.

The models of `ev_marl.rl.config` and the shipped training file `ippo` come in; the reference in Markdown and the JSON
Schema go out, generated like those of scenarios.
"""

from __future__ import annotations

from ev_marl.rl.config import TrainingConfig, shipped_trainings
from ev_marl.scenario.json_schema import file_schema, schema_text
from ev_marl.scenario.reference import example, sections

INTRODUCTION = """# Training files

<!-- Generated from ev_marl/rl/config.py; `make docs` writes it anew. -->

A training file is one YAML file: the algorithm, which agents share a policy, their observations, actions and rewards,
how days are played, and when to stop. The scenario is given beside it: `ev-marl train FILE --scenario workplace`.

This is the shipped training file `ippo`:

```yaml
{example}
```

## How to read and write it

- **Unknown keys are errors**, and all errors of a file are reported at once, each with its line.
- **Variants**: `extends: ippo` (the name of a shipped training file, or a path) starts from another file. Keys written
  here replace those of the other file, mappings are merged, lists are replaced as a whole, and `null` removes a key.
- **Changes for one run**: `--set ppo.epochs=2 --set neural_network.hidden=[128,128]`, checked like the file.
- **Same numbers every time**: stop after `days` or `iterations`; how many days fit into `minutes` depends on the
  machine and its other load.
- **Editors** complete keys and mark errors, with the first line
  `# yaml-language-server: $schema=training.schema.json` and the schema beside the file (`ev-marl schema --training`).

"""


def training_reference() -> str:
    """The reference of training files as Markdown."""
    return INTRODUCTION.format(example=example(shipped_trainings()["ippo"])) + sections(TrainingConfig, "Training file")


def training_schema_text() -> str:
    """The JSON Schema of training files, draft 2020-12, as the text of a file."""
    return schema_text(file_schema(TrainingConfig, "training file", "ippo"))
