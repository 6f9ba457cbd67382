"""Benchmarks run to their end, at sizes that say nothing; those of exports and of help are tested elsewhere."""

import json

import pytest

from benchmarks import memory, step_time, sum_rows

SMALL = ["--batch_size=8", "--steps=1", "--warmup=1", "--model=fm", "--num_fields=22"]


def printed(capsys) -> dict:
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    "flags",
    [
        ["--num_features=50000", "--dim=24"],  # as many entries as are updated by rows
        ["--num_features=100", "--dim=2", "--kept=0.5"],
        ["--num_features=100", "--dim=2", "--floor"],
    ],
    ids=["by rows", "a ticket", "the tower alone"],
)
def test_step_time(flags, capsys, monkeypatch):
    for name in ("use_memory_pool", "settle_arithmetic"):  # which are for the whole process
        monkeypatch.setattr(step_time, name, lambda **_: None)
    assert step_time.main([*SMALL, *flags]) == 0
    assert printed(capsys)["ms_per_step"] > 0


def test_sum_rows(capsys):
    assert sum_rows.main(["--dims=1", "--repeats=1"]) == 0
    assert printed(capsys)["1"]["cpu_ratio"] > 0


def test_memory(capsys):
    assert memory.main(["--", "true"]) == 0
    assert printed(capsys)
