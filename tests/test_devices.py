"""Memory that is kept for the next tensor, and given back."""

import resource

import psutil
import pytest
import torch

from tests.hungry import MIB
from vg_core import devices
from vg_core.devices import free_memory, keeping_memory

CPU = torch.device("cpu")
PAGES = 128 * MIB // resource.getpagesize()
needs_glibc = pytest.mark.skipif(not hasattr(devices.LIBC, "mallopt"), reason="glibc is told what to keep")


def faults(call):
    """Pages that the system had to provide."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    call()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def one_tensor():
    torch.ones(128 * MIB // 4)


def resident():
    return psutil.Process().memory_info().rss


@needs_glibc
def test_the_next_tensor_takes_the_memory_of_the_last():
    with keeping_memory(CPU):
        one_tensor()
        with keeping_memory(CPU):  # its end is not yet that of the outer one
            pass
        assert faults(one_tensor) < PAGES / 10
    assert faults(one_tensor) > PAGES / 2


@needs_glibc
def test_at_the_end_all_goes_back_even_after_a_fault():
    before = resident()
    with pytest.raises(KeyError), keeping_memory(CPU):
        one_tensor()
        assert resident() - before > 100 * MIB
        raise KeyError
    assert resident() - before < 28 * MIB


@needs_glibc
def test_what_is_only_kept_is_free():
    with keeping_memory(CPU):
        one_tensor()
        kept = resident()
        free_memory(CPU)
        assert kept - resident() > 100 * MIB


def test_nothing_is_kept_for_a_gpu_or_without_glibc(monkeypatch):
    with keeping_memory(torch.device("cuda")):
        assert not keeping_memory.inside
    monkeypatch.setattr(devices, "LIBC", object())
    with keeping_memory(CPU):
        assert not keeping_memory.inside
    assert free_memory(CPU) > 0
