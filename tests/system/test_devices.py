"""The device's memory and cores: what is told of them, and what is said to one who limits them wrongly."""

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch

from tests.benchmarks.hungry import peak_is_told
from vg_core.__main__ import main
from vg_core.system.devices import RAM, cores, free_memory, peak_of, used_memory
from vg_core.system.paths import ROOT

CPU, MIB = torch.device("cpu"), 2**20


# --- memory --------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def bound():
    """(memory now, peak, threads that read) of a process on one core that another with 512 MiB more has started."""
    large = np.ones(512 * MIB, np.uint8)
    program = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
    program += "import torch, vg_core.system.devices as d; print(*d.used_memory(torch.device('cpu')), d.WORKERS)"
    command, environment = [sys.executable, "-c", program], os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert large.all()  # it was there until now
    return [int(word) for word in done.stdout.split()]


@peak_is_told
def test_the_peak_is_that_of_this_process_not_of_the_one_that_started_it(bound):
    now, most, _ = bound
    assert now <= most < now + 256 * MIB


@peak_is_told
def test_the_peak_of_a_call_forgets_the_one_before():
    np.ones(256 * MIB, np.uint8)
    assert peak_of(lambda: np.ones(64 * MIB, np.uint8), CPU) == pytest.approx(64 * MIB, abs=8 * MIB)


def test_memory_is_told_where_the_kernel_tells_no_peak(monkeypatch, tmp_path):
    (tmp_path / "status").write_text("Name:\tpython\nVmRSS:\t  1 kB\n")
    for file in ("status", "none"):
        monkeypatch.setattr("vg_core.system.devices.STATUS", tmp_path / file)
        now, most = used_memory(CPU)
        assert 50 * MIB < now < 1.1 * most


def test_a_run_may_be_given_a_part_of_the_memory(monkeypatch):
    own = psutil.Process().memory_info().rss
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=20_000 * MIB))
    assert free_memory(CPU) == 20_000 * MIB
    for given, free in ((8_000 * MIB, 8_000 * MIB - own), (1000, 0), (100_000 * MIB, 20_000 * MIB)):  # less what it has
        monkeypatch.setenv(RAM, str(given))
        assert free_memory(CPU) == pytest.approx(free, abs=100 * MIB)


@pytest.mark.parametrize("text", ["8GB", "8e9", "", "-1", "８０００", "1_000", "9" * 400])
def test_a_limit_that_is_no_number_is_a_sentence(text, street, monkeypatch, capsys):
    monkeypatch.setenv(RAM, text)
    with pytest.raises(ValueError, match=f"VG_RAM='{text}' must be a whole number of bytes, e.g. VG_RAM=8000000000"):
        free_memory(CPU)
    words = "--profile smoke --dataset street --image_size 32 32 --layer layer1 --freeze none --epochs_num 1"
    assert main(["train", *words.split()]) == 1
    assert f"error: VG_RAM='{text}' must be" in capsys.readouterr().err


# --- cores ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("processes", "expected"), [(1, 8), (3, 2), (16, 1)])
def test_cores_are_shared_out_among_the_processes_of_a_machine(processes, expected, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {*range(8)}, raising=False)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    assert cores() == expected


def test_where_no_process_has_cores_of_its_own_all_count(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert cores() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores() == 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system binds no process to cores")
def test_a_process_that_is_bound_to_one_core_starts_one_thread(bound):
    assert bound[-1] == 1
