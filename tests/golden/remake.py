"""Make expected numbers anew after an intended change, and show what moved, by how much.

    python tests/golden/remake.py [NAME ...]     # the named cases, or all; writes those that are off
    python tests/golden/remake.py --check        # writes nothing; status 1 if a case is off

Every difference is shown; a case is off where one exceeds the case's tolerance. A track or actions that a new case does
not have yet are drawn with `--seed`.
"""

from __future__ import annotations

import argparse
import sys

import golden_case
from golden_case import Case
from golden_play import drawn_actions, play

import ev_marl
from ev_marl.env import Setting


def draw_missing(case: Case, seed: int) -> None:
    """Tracks and actions of a new case."""
    if case.play == "world":
        return
    for k, path in enumerate(case.track_paths):
        if not path.exists():
            track: ev_marl.Track = Setting.of(case.scenario_path).world.sample(seed + k)
            print(f"{case.folder.name}: drew {track.save(path).name}")
    if case.play not in ("policy", "optimum") and not case.actions_path.exists():
        golden_case.write_actions(case.actions_path, *drawn_actions(case, seed))
        print(f"{case.folder.name}: drew {case.actions_path.name}")


def remake(case: Case, *, write: bool) -> bool:
    """Show what moved, and whether the case was off."""
    numbers = play(case)
    if not case.expected_path.exists():
        if write:
            golden_case.write_numbers(case.expected_path, numbers)
        print(f"{case.folder.name}: new, {len(numbers)} quantities")
        return True
    found = golden_case.changes(golden_case.read_numbers(case.expected_path), numbers, case.tolerance)
    off = any(change.beyond for change in found)
    verdict = "off" if off else "within its tolerance" if found else "the same, bit for bit"
    print(f"{case.folder.name}: {verdict}")
    for change in found:
        print(f"  {change.name}{'' if change.beyond else ' (within)'}: {change.about}")
    if off and write:
        golden_case.write_numbers(case.expected_path, numbers)
    return off


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="folders; left out: all")
    parser.add_argument("--check", action="store_true", help="write nothing; status 1 if a case is off")
    parser.add_argument("--seed", type=int, default=0, help="of tracks and actions that are missing")
    arguments = parser.parse_args()
    known = {folder.name: folder for folder in golden_case.folders()}
    if unknown := [name for name in arguments.names if name not in known]:
        parser.error(f"no case is called {', '.join(unknown)}; there are {', '.join(known)}")
    off = 0
    for name in arguments.names or known:
        case = Case.read(known[name])
        if not arguments.check:
            draw_missing(case, arguments.seed)
        off += remake(case, write=not arguments.check)
    verb = "are off or new" if arguments.check else "were written"
    print(f"{off} of {len(arguments.names or known)} cases {verb}")
    return int(arguments.check and off > 0)


if __name__ == "__main__":
    sys.exit(main())
