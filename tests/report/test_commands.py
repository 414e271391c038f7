"""The commands a report shows are taken by the command line and mean the same training."""

from __future__ import annotations

import shlex
import sys
from types import ModuleType

import pytest

from prebake import cli, terminal
from prebake.config import TrainConfig
from prebake.report import commands
from report_helpers import make_run

CONFIGS = {
    "nothing changed": TrainConfig(),
    "the kernel": TrainConfig.preset("kernel", epochs=3, lr=2.5e-4),
    "all kinds of options": TrainConfig.preset(
        "default", zoom=(0.9, 1.1), threads=2, channels_last=False, deterministic=True, weights="my weights.pth"
    ),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_the_training_command_gives_back_the_configuration(config, tmp_path, monkeypatch):
    run = make_run(tmp_path / "a run", config=config)
    called = []
    stub = ModuleType("prebake.training")
    monkeypatch.setattr(stub, "fit", lambda *arguments: called.append(arguments), raising=False)
    monkeypatch.setitem(sys.modules, "prebake.training", stub)
    monkeypatch.setattr(terminal, "trained", lambda run: "done")
    words = shlex.split(" ".join(commands.again(run)))
    assert words[0] == "prebake"
    assert cli.main(words[1:]) == 0
    packs, output, found = called[0]
    assert [str(pack) for pack in packs] == [run.info["packs"][0]["path"]]
    assert str(output) == f"{tmp_path}/a run-again"
    assert found == config


def test_the_report_command_names_the_run(tmp_path):
    run = make_run(tmp_path / "a run")
    assert shlex.split(" ".join(commands.report(run))) == ["prebake", "report", f"{tmp_path}/a run"]
