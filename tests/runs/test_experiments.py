"""A run is its configuration: read back, gone on with, or made anew; a sweep survives its members."""

import os
import re
import signal
import threading
import time

import pytest
import torch
from distributed import LocalCluster
from filelock import FileLock

from tests.tiny import TINY
from vg_core.runs import making
from vg_core.runs.experiments import histories, recall_table, run, sweep
from vg_core.runs.record import Job
from vg_core.system import paths
from vg_core.system.devices import RAM, cores, free_memory

SHORT = TINY.replace(epochs_num=1, queries_per_epoch=8)


def no_training(*_):
    pytest.fail("trained again")


def test_finished_runs_are_read_back(street, monkeypatch):
    first = run(SHORT)
    monkeypatch.setattr(making, "train", no_training)
    again = run(SHORT)
    assert again.id == first.id
    assert again.ranks.equals(first.ranks)
    assert again.history.loss.tolist() == first.history.loss.tolist()
    assert again.card["queries"] == len(again.ranks) == 16
    assert again.model().dim == again.card["descriptor_dim"]


def test_another_test_size_trains_nothing(street, monkeypatch):
    first = run(SHORT)
    monkeypatch.setattr(making, "train", no_training)
    larger = run(SHORT.replace(test_image_size=(48, 64)))
    assert larger.id == first.id
    assert larger.card["image_size"] == [48, 64]


def test_the_name_follows_the_photographs(street, write_photo):
    before = Job.open(SHORT).id
    write_photo(street / "images" / "train" / "database", 460_000, 5_000_000, 9)
    assert Job.open(SHORT).id != before


def test_runs_of_one_sweep_share_what_they_open(street):
    opened = {}
    jobs = [Job.open(SHORT.replace(seed=seed), opened) for seed in (0, 1)]
    assert jobs[0].train is jobs[1].train and len(opened) == 3
    assert jobs[0].id != jobs[1].id


def test_tables_are_read_without_photographs(street):
    first = run(SHORT)
    street.rename(street.with_name("gone"))
    assert run(SHORT).ranks.equals(first.ranks)
    with pytest.raises(FileNotFoundError, match="no train split"):
        run(SHORT.replace(lr=0.5))


def test_a_changed_test_set_is_tested_again(street, write_photo):
    before = run(SHORT)
    write_photo(street / "images" / "test" / "queries", 402_003, 5_000_004, 2000)
    after = run(SHORT)
    assert after.id == before.id
    assert len(after.ranks) == len(before.ranks) + 1


def test_sweep_goes_on_past_a_failed_variant(street, capsys):
    variants = {"good": SHORT, "broken": SHORT.replace(negs_num_per_query=10, neg_samples_num=1)}
    ranks = sweep(variants, seeds=[0, 1], cluster="here")
    assert ranks.groupby(["variant", "seed"]).size().to_dict() == {("good", 0): 16, ("good", 1): 16}
    assert [(variant, seed) for variant, seed, _ in ranks.attrs["failed"]] == [("broken", 0), ("broken", 1)]
    assert "broken, seed 0, failed" in capsys.readouterr().err
    assert len(ranks.attrs["origin"]["runs"]) == 2
    assert list(ranks.attrs["origin"]["datasets"]) == ["street"]


def test_histories_of_several_variants(street):
    variants = {"GeM": SHORT, "untrained": SHORT.replace(epochs_num=0)}
    sweep(variants, cluster="here")
    history, validation = histories(variants | {"missing": SHORT.replace(lr=0.5)})
    assert set(history.variant) == {"GeM"}
    assert validation.groupby("variant").epoch.max().to_dict() == {"GeM": 1, "untrained": 0}


def test_examples_for_a_gallery(street):
    rows = run(SHORT).examples(count=4, shown=3)
    assert 0 < len(rows) <= 4
    for row in rows:
        assert len(row["retrieved"]) == len(row["metres"]) == len(row["correct"]) == 3
        assert [metres <= 25 for metres in row["metres"]] == row["correct"]


def test_results_stay_in_the_folder_of_the_profile(street):
    run(SHORT)
    assert paths.runs_folder("smoke").is_relative_to(paths.cache_root())
    assert [f.name for f in paths.runs_folder("smoke").iterdir()] == [Job.open(SHORT).id]


@pytest.mark.usefixtures("copied_workers")
def test_a_cluster_finishes_although_a_worker_is_killed(street):
    variants = {"GeM": TINY, "average": TINY.replace(pooling="average")}
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", memory_limit=0) as cluster:
        killer = threading.Thread(target=kill_a_busy_worker, args=(cluster,))
        killer.start()
        ranks = sweep(variants, cluster=cluster.scheduler_address)
        killer.join()
    assert killed
    assert ranks.attrs["failed"] == []
    assert ranks.groupby(["variant", "seed"]).ngroups == 2
    here = sweep(variants, cluster="here")
    assert here.equals(ranks)


@pytest.mark.usefixtures("copied_workers")
def test_workers_train_each_network_once_whatever_it_is_tested_on_and_share_the_memory(street):
    sizes = {"small": (32, 32), "large": (40, 48), "larger": (48, 64)}
    variants = {name: SHORT.replace(test_image_size=size) for name, size in sizes.items()}
    variants["max"] = SHORT.replace(pooling="max")
    free = free_memory(torch.device("cpu"))
    ranks = sweep(variants, cluster="local")
    assert ranks.attrs["failed"] == [] and set(ranks.variant) == {*sizes, "max"}
    assert sweep(variants, cluster="local").equals(ranks)  # there is nothing left for workers
    logs = [log.read_text() for log in paths.checkpoints_folder("smoke").glob("*/log.txt")]
    assert [log.count("after epoch 1") for log in logs] == [1, 1]
    told = [float(re.search(r"RAM [\d.]+ GB of ([\d.]+) GB free", log)[1]) for log in logs]
    assert max(told) * 10**9 < 1.05 * free / min(2, cores())
    assert RAM not in os.environ, "what follows here has all of it again"


killed: list[int] = []


def kill_a_busy_worker(cluster):
    """SIGKILL the first worker once a run has saved a mining round."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        if any(paths.checkpoints_folder("smoke").glob("*/state.pt")):
            process = next(iter(cluster.workers.values())).process
            killed.append(process.pid)
            os.kill(process.pid, signal.SIGKILL)
            return
        time.sleep(0.01)


def test_recall_at_any_threshold_trains_and_describes_nothing(street, monkeypatch):
    run(SHORT)
    monkeypatch.setattr(making, "train", no_training)
    monkeypatch.setattr(making, "evaluate", no_training)
    ranks = sweep({"GeM": SHORT}, cluster="here")
    recalls = [recall_table(ranks, at=(1,), threshold=metres).recall.iloc[0] for metres in (0.5, 4, 25, 300)]
    assert recalls == sorted(recalls)
    assert recalls[0] == 0  # queries were taken 5 m from the database
    assert recalls[-1] == 100  # and the street is shorter than that


def test_a_run_that_another_process_makes_is_waited_for_and_read_back(street, capsys, monkeypatch):
    first, job = run(SHORT), Job.open(SHORT)
    (job.test_tables / "ranks.parquet").rename(job.test_tables / "away")  # as it is until the other process has ended
    monkeypatch.setattr(making, "_test", no_training)
    begun = threading.Event()

    def make():
        with FileLock(job.checkpoints / "lock"):
            begun.set()
            time.sleep(1.0)
            (job.test_tables / "away").rename(job.test_tables / "ranks.parquet")

    threading.Thread(target=make).start()
    begun.wait()
    assert run(SHORT).ranks.equals(first.ranks)
    assert f"{first.id} is being made by another process: waiting for it" in capsys.readouterr().out


def test_a_run_tells_its_recall_and_what_is_left(street, capsys):
    sweep({"GeM": SHORT, "bad": SHORT.replace(lr=1000.0, optimizer="sgd")}, [0], "here")
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"1/2 GeM, seed 0: R@1 \d+\.\d, about \d+ s left", first)
    assert second.startswith("2/2 bad, seed 0: ")
    assert "after epoch 1 val" in (Job.open(SHORT).checkpoints / "log.txt").read_text()
