"""Writes the trained network of a run as a safetensors file with a card.

    python scripts/save_weights.py RUN OUT.safetensors --data "what it was trained on"

Takes the best checkpoint of RUN, else the latest, and the averaged weights where the run keeps them. Beside
OUT it writes OUT.md: data, command, seed, steps, hardware, hours, scores, versions.
"""

import argparse
import json
import sys
from pathlib import Path

from jaxsr import checkpoint
from jaxsr.types import UserError


def card_text(name: str, card: dict, run: Path, *, data: str, hardware: str) -> str:
    """The card of a weight file in Markdown, from what the run has written down."""
    config, log = card["config"], run / "metrics.jsonl"
    if not log.exists():
        raise UserError(
            f"{run} has no metrics.jsonl, from which the card takes the hours: put it back."
        )
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    timed = [row for row in rows if "seconds_per_step" in row and row["step"] <= card["step"]]
    last, seconds = 0, 0.0
    for row in timed:
        seconds += row["seconds_per_step"] * (row["step"] - last)
        last = row["step"]
    table = run / "evaluation" / f"step_{card['step']:08d}.md"
    versions = ", ".join(
        f"{n} {v}" for n, v in card["versions"].items() if n not in ("git", "device")
    )
    lines = [
        f"# {name}", "",
        f"- Network: `{json.dumps(card['network'], sort_keys=True)}`",
        f"- Data: {data}",
        f"- Config: `configs/{config['name']}.py`, seed {config['seed']}, {card['step']} steps of batch "
        f"{config['data']['batch']}, {config['precision']}",
        f"- Hardware: {hardware or card['versions']['device']}, {seconds / 3600:.2f} hours of training steps",
        f"- Versions: {versions}; jaxsr revision {card['versions']['git']}",
        "- Licence: Apache-2.0 (the weights; the photographs have terms of their own)", "",
        f"Scores at step {card['step']}, held-out images:", "",
        table.read_text() if table.exists() else "not evaluated at this step\n",
    ]  # fmt: skip
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="work folder of a run")
    parser.add_argument("out", type=Path, help="file to write, ending in .safetensors")
    parser.add_argument(
        "--data", required=True, help="one sentence for the card: what it was trained on"
    )
    parser.add_argument(
        "--hardware", default="", help="for the card; what the run has noted is taken otherwise"
    )
    arguments = parser.parse_args()
    try:
        variables, card = checkpoint.load_run(arguments.run)
        header = {"network": card["network"], "step": card["step"], "name": card["config"]["name"]}
        text = card_text(
            arguments.out.stem, card, arguments.run,
            data=arguments.data, hardware=arguments.hardware,
        )  # fmt: skip
        checkpoint.save_weights(arguments.out, variables, header)
        checkpoint.write_text(arguments.out.with_suffix(".md"), text)
    except OSError as error:
        sys.exit(f"save_weights: error: {arguments.out} cannot be written ({error.strerror}).")
    except UserError as error:
        sys.exit(f"save_weights: error: {error}")
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
