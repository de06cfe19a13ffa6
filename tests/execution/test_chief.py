"""A real chief and real clients in one process: who has which trial, whatever fails, and what is refused."""

from __future__ import annotations

import os
import socket
import threading
import time
from pathlib import Path

import grpc
import pytest

from kt_ext.core.durable import StorageError
from kt_ext.execution import Chief, ChiefClient, ChiefError, LostTrial, wire
from kt_ext.execution.credentials import Credentials, create
from kt_ext.oracles import SchedulerOracle
from kt_ext.schedulers import FIFO
from oracles.oracle_driving import (
    LOSS,
    Workers,
    asha,
    by_values,
    decisions,
    hand_out,
    journal,
    killed,
    outcome,
    placed,
    small_space,
)

NEVER = 1000.0  # seconds


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    monkeypatch.setenv("KT_EXT_CHIEF_PATIENCE", "60")


@pytest.fixture
def clients():
    """Closed at the end, whatever happened."""
    made: list[ChiefClient] = []
    yield made
    for client in made:
        client.close()


def fifo(directory: Path, name: str = "project", **changed) -> SchedulerOracle:
    """Three trials of four epochs."""
    settings = {"scheduler": FIFO(3, 4), "objective": LOSS, "seed": 3, "hyperparameters": small_space()}
    return placed(SchedulerOracle(**{**settings, **changed}), directory, name)


@pytest.fixture
def oracle(tmp_path):
    made = fifo(tmp_path)
    yield made
    made.finish()


@pytest.fixture
def worker(clients):
    """Makes workers of a chief."""

    def make(chief: Chief, worker_id: str, **changed) -> ChiefClient:
        client = ChiefClient(chief.oracle, worker_id, f"127.0.0.1:{chief.port}", **changed)
        clients.append(client)
        return client

    return make


def until(true, what: str) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, f"not within a minute: {what}"
        time.sleep(0.01)


def falls_silent(client: ChiefClient) -> None:
    """As a killed process does: no beats, no good-bye."""
    client._stop.set()
    client._heart.join()


def report(client: ChiefClient, trial, epoch: int, loss: float = 1.0):
    return client.update_trial(trial.trial_id, {"loss": loss}, step=epoch)


def end(client: ChiefClient, trial, status: str = "COMPLETED", message: str | None = None) -> None:
    trial.status, trial.message = status, message
    client.end_trial(trial)


def work(client: ChiefClient) -> None:
    """All that is left of the search."""
    workers = Workers(client, by_values)
    workers._turns = [(client.tuner_id, workers._work(client.tuner_id))]
    workers.run()
    client.close()


# A whole search


def test_a_search_by_one_worker_decides_as_in_one_process(tmp_path, clients):
    alone, served = asha(tmp_path, "alone"), asha(tmp_path, "served")
    Workers(alone, by_values).run()
    with Chief(served) as chief:
        client = ChiefClient(served, "tuner0", f"127.0.0.1:{chief.port}")
        thread = threading.Thread(target=work, args=(client,))
        thread.start()
        chief.wait()
        thread.join()
    served.finish()
    assert decisions(tmp_path / "served") == decisions(tmp_path / "alone")
    kept = ("status", "score", "best_step", "message", "values")  # the order of metrics is lost on the way
    assert {number: [trial[name] for name in kept] for number, trial in outcome(served).items()} == {
        number: [trial[name] for name in kept] for number, trial in outcome(alone).items()
    }


def test_a_search_by_many_workers_trains_every_epoch_once(tmp_path):
    oracle = asha(tmp_path, max_trials=27)
    with Chief(oracle) as chief:
        made = [ChiefClient(oracle, f"w{n}", f"127.0.0.1:{chief.port}") for n in range(8)]
        threads = [threading.Thread(target=work, args=(client,)) for client in made]
        for thread in threads:
            thread.start()
        chief.wait()
        for thread in threads:
            thread.join()
        assert len(chief.leases) == 0
    oracle.finish()
    told = [(event["trial"], event["epoch"]) for event in journal(tmp_path / "project") if event["e"] == "tell"]
    assert len(told) == len(set(told)) == oracle.search.history.total_epochs
    assert oracle.stop_reason == "all 27 trials are done (max_trials=27)"
    assert {event["e"] for event in journal(tmp_path / "project")} <= {"search", "ask", "tell", "given"}


def test_what_a_tuner_asks_beside(oracle, worker):
    with Chief(oracle) as chief:
        client = worker(chief, "a")
        assert [hp.name for hp in client.get_space().space] == ["rate", "units", "kind"]
        assert (client.objective, client.max_trials) == (oracle.objective, 3)
        assert (client.allow_new_entries, client.tune_new_entries, client.verbose) == (True, True, 0)
        space = client.get_space()
        space.Boolean("new")
        client.update_space(space)
        assert "new" in [hp.name for hp in oracle.get_space().space]
        trial = client.create_trial("a")
        report(client, trial, 1, 0.5)
        assert client.get_trial("0").status == "RUNNING"
        assert client.get_best_trials(1)[0].trial_id == "0"
        with pytest.raises(ValueError, match="trial_id='8': no such trial"):
            client.get_trial("8")


def test_a_failed_trial_brings_the_end_of_its_traceback(oracle, worker):
    with Chief(oracle) as chief:
        client = worker(chief, "a")
        end(client, client.create_trial("a"), "FAILED", "x" * 9000 + "ValueError: Höhe")
    assert oracle.trials["0"].status == "FAILED"
    assert oracle.trials["0"].message.endswith("xxxValueError: Höhe")
    assert len(oracle.trials["0"].message.encode()) == 4000


# Leases


def test_a_silent_worker_loses_its_trial_and_hears_of_it(oracle, worker, tmp_path):
    with Chief(oracle, lease_seconds=0.5, heartbeat_seconds=0.05) as chief:
        slow, quick = worker(chief, "slow"), worker(chief, "quick")
        trial = slow.create_trial("slow")
        report(slow, trial, 1)
        falls_silent(slow)
        until(lambda: not oracle.ongoing_trials, "the trial is taken back")
        last = journal(tmp_path / "project")[-1]
        assert last == {"e": "end", "trial": 0, "as": "queued", "lost": "worker 'slow' was silent for 0.5 seconds"}
        again = quick.create_trial("quick")
        assert hand_out(again) == ("0", 1, 4, "0")
        assert (slow.attempts, quick.attempts) == ({"0": 1}, {"0": 2})
        before = journal(tmp_path / "project")
        for late in (lambda: report(slow, trial, 2), lambda: end(slow, trial)):
            with pytest.raises(LostTrial, match="trial 0 is not worker 'slow''s any more"):
                late()
        assert journal(tmp_path / "project") == before
        assert oracle.ongoing_trials["quick"].trial_id == "0"
        assert slow.create_trial("slow").trial_id == "1"  # it is welcome again
        assert report(quick, again, 2).status == "RUNNING"


def test_a_late_end_before_the_trial_is_given_to_another_is_refused_too(oracle, worker, tmp_path):
    with Chief(oracle) as chief:
        client = worker(chief, "a")
        trial = client.create_trial("a")
        chief.lost("a", "killed by SIGKILL")
        with pytest.raises(LostTrial):
            end(client, trial)
        assert oracle.search.where[0] == "queued"


def test_a_worker_that_says_nothing_but_beats_keeps_its_trial(oracle, worker):
    with Chief(oracle, lease_seconds=0.5, heartbeat_seconds=0.05) as chief:
        client = worker(chief, "a")
        trial = client.create_trial("a")
        heard = chief.leases.get("a").heard
        until(lambda: chief.leases.get("a").heard > heard + 1.5, "three leases of beats")
        assert report(client, trial, 1).status == "RUNNING"
        assert oracle.attempt("0") == 1


def test_a_dead_worker_is_reported_by_its_launcher(oracle, worker, tmp_path):
    with Chief(oracle, lease_seconds=NEVER) as chief:
        dead, other = worker(chief, "dead"), worker(chief, "other")
        dead.create_trial("dead")
        falls_silent(dead)
        chief.lost("dead", "killed by SIGKILL (out of memory?)")
        chief.lost("nobody", "never came")
        assert journal(tmp_path / "project")[-1]["lost"] == "worker 'dead': killed by SIGKILL (out of memory?)"
        assert other.create_trial("other").trial_id == "0"
        anew = worker(chief, "dead")
        assert anew.create_trial("dead").trial_id == "1"


def test_a_worker_that_leaves_a_trial_behind_gives_it_back(oracle, worker, tmp_path):
    with Chief(oracle, lease_seconds=NEVER) as chief:
        client = worker(chief, "a")
        client.create_trial("a")
        client.close()
        assert journal(tmp_path / "project")[-1]["lost"] == "worker 'a' left without ending it"
        assert len(chief.leases) == 0
        assert client.create_trial("a").trial_id == "0"  # it says hello again
        assert oracle.attempt("0") == 2


def test_a_trial_that_kills_three_workers_is_given_to_no_other(oracle, worker):
    with Chief(oracle, lease_seconds=NEVER) as chief:
        for number in range(3):
            client = worker(chief, f"w{number}")
            assert client.create_trial(f"w{number}").trial_id == "0"
            chief.lost(f"w{number}", "killed by SIGKILL")
        assert worker(chief, "w3").create_trial("w3").trial_id == "1"
    assert oracle.trials["0"].status == "FAILED"
    assert oracle.trials["0"].message.endswith("worker 'w1': killed by SIGKILL; worker 'w2': killed by SIGKILL")


def test_a_hung_trial_is_given_up_and_its_worker_reported(oracle, worker):
    with Chief(oracle, lease_seconds=NEVER, trial_timeout=0.5) as chief:
        hung: list[str] = []
        chief.on_hung = hung.append
        client = worker(chief, "a")
        trial = client.create_trial("a")
        until(lambda: hung, "the trial is given up")
        assert hung == ["a"]
        assert oracle.trials["0"].status == "FAILED"
        assert oracle.trials["0"].message == "worker 'a' made no report for trial_timeout=0.5 seconds"
        with pytest.raises(LostTrial):
            report(client, trial, 1)
        assert client.create_trial("a").trial_id == "1"


def test_a_worker_that_is_given_a_trial_late_is_missed_all_the_same(oracle, worker):
    with Chief(oracle, lease_seconds=0.5, heartbeat_seconds=0.25) as chief:
        client = worker(chief, "a")
        client._hello()
        falls_silent(client)
        asking = threading.Thread(target=client.create_trial, args=("a",))
        with oracle.lock:  # as if the disk were slow
            asking.start()
            time.sleep(0.7)
            chief.reap()
            assert chief.leases.get("a") is None
        asking.join()
        assert oracle.attempt("0") == 1
        until(lambda: not oracle.ongoing_trials, "the trial is taken back")


# One worker for each id


def test_a_second_worker_of_one_id_is_refused(oracle, worker):
    with Chief(oracle, lease_seconds=0.5, heartbeat_seconds=0.05) as chief:
        first, second = worker(chief, "same"), worker(chief, "same")
        trial = first.create_trial("same")
        with pytest.raises(ChiefError, match=r"worker_id='same': another process .*KERASTUNER_TUNER_ID of its own"):
            second.create_trial("same")
        assert report(first, trial, 1).status == "RUNNING"
        assert oracle.attempt("0") == 1


def test_a_worker_that_was_killed_and_started_again_waits_until_it_is_missed(oracle, worker):
    with Chief(oracle, lease_seconds=0.5, heartbeat_seconds=0.05) as chief:
        first, second = worker(chief, "same"), worker(chief, "same")
        trial = first.create_trial("same")
        falls_silent(first)
        assert second.create_trial("same").trial_id == "0"
        assert second.attempts == {"0": 2}
        with pytest.raises(ChiefError, match="another process is at work as worker 'same'"):
            report(first, trial, 1)


def test_a_worker_asks_for_itself_only(oracle, worker):
    with Chief(oracle) as chief, pytest.raises(ValueError, match="tuner_id='b': must be the worker's own, 'a'"):
        worker(chief, "a").create_trial("b")


# Calls that are repeated, since their answer was lost


def test_repeated_calls_get_the_answer_of_the_first(tmp_path, worker):
    oracle = asha(tmp_path)
    with Chief(oracle) as chief:
        client = worker(chief, "a")
        trial, same = client.create_trial("a"), client.create_trial("a")
        assert hand_out(trial) == hand_out(same) == ("0", 0, 1, None)
        assert client.attempts == {"0": 1}
        assert [report(client, trial, 1).status for _ in range(3)] == ["STOPPED"] * 3
        for _ in range(3):
            end(client, trial)
        assert oracle.search.where[0] == "paused"
        assert report(client, trial, 1).status == "STOPPED"
        assert len(journal(tmp_path / "project")) == 3
    oracle.finish()


def test_an_end_that_is_repeated_after_the_next_worker_began_changes_nothing(tmp_path, worker):
    oracle = asha(tmp_path, max_trials=3)
    with Chief(oracle) as chief:
        first, second = worker(chief, "first"), worker(chief, "second")
        trials = {}
        for loss in (1.0, 2.0, 3.0):
            trial = trials[loss] = first.create_trial("first")
            report(first, trial, 1, loss)
            end(first, trial)
        assert hand_out(second.create_trial("second")) == ("0", 1, 3, "0")
        before = journal(tmp_path / "project")
        end(first, trials[1.0])
        assert journal(tmp_path / "project") == before
        assert oracle.ongoing_trials["second"].trial_id == "0"
        with pytest.raises(LostTrial):
            report(first, trials[1.0], 2)
    oracle.finish()


@pytest.mark.parametrize("attempt", [0, 2])
def test_another_attempt_or_worker_than_the_present_is_refused(oracle, worker, tmp_path, attempt):
    with Chief(oracle) as chief:
        client, other = worker(chief, "a"), worker(chief, "b")
        trial = client.create_trial("a")
        other.create_trial("b")
        before = journal(tmp_path / "project")
        client.attempts["0"] = attempt
        other.attempts["0"] = 1
        for who in (client, other):
            with pytest.raises(LostTrial):
                report(who, trial, 1)
            with pytest.raises(LostTrial):
                end(who, trial)
        assert journal(tmp_path / "project") == before


# A chief that is started again


def restarted(tmp_path, chief: Chief, make=fifo, **settings) -> tuple[SchedulerOracle, Chief]:
    """Another chief at the same address, on what a kill of the first has left. The first must have been left."""
    killed(tmp_path / "project", tmp_path / "copy")
    oracle = make(tmp_path, "copy")
    return oracle, Chief(oracle, port=chief.port, **settings)


def test_workers_outlive_their_chief(oracle, worker, tmp_path):
    with Chief(oracle) as chief:
        a, b = worker(chief, "a"), worker(chief, "b")
        of_a, of_b = a.create_trial("a"), b.create_trial("b")
        report(a, of_a, 1)
    again, second = restarted(tmp_path, chief)
    with second:
        assert {name: trial.trial_id for name, trial in again.ongoing_trials.items()} == {"a": "0", "b": "1"}
        assert report(a, of_a, 1).status == "RUNNING"
        for epoch in (2, 3, 4):
            answer = report(a, of_a, epoch)
        assert answer.status == "STOPPED"
        end(a, of_a)
        assert b.create_trial("b").trial_id == "1"
        assert (a.attempts, b.attempts) == ({"0": 1}, {"1": 1})
        assert second.seen("a")
        for epoch in (1, 2, 3, 4):
            report(b, of_b, epoch)
        end(b, of_b)
        assert [event["e"] for event in journal(tmp_path / "copy")] == ["search", "ask", "ask"] + ["tell"] * 8
    again.finish()


def test_a_worker_that_does_not_come_back_loses_its_trial_after_a_lease(oracle, worker, tmp_path):
    with Chief(oracle) as chief:
        dead = worker(chief, "dead")
        report(dead, dead.create_trial("dead"), 1)
        falls_silent(dead)
    again, second = restarted(tmp_path, chief, lease_seconds=0.5, heartbeat_seconds=0.1)
    with second:
        assert again.ongoing_trials["dead"].trial_id == "0"
        until(lambda: not again.ongoing_trials, "the trial is taken back")
        assert hand_out(worker(second, "other").create_trial("other")) == ("0", 1, 4, "0")
    again.finish()


def test_a_beat_after_the_restart_is_enough(oracle, worker, tmp_path):
    with Chief(oracle, lease_seconds=1.0, heartbeat_seconds=0.05) as chief:
        client = worker(chief, "a")
        client.create_trial("a")
    again, second = restarted(tmp_path, chief, lease_seconds=1.0, heartbeat_seconds=0.05)
    with second:
        begun = second.leases.get("a").heard
        until(lambda: second.leases.get("a").heard > begun + 2, "two leases of beats")
        assert again.attempt("0") == 1
    again.finish()


def test_a_worker_between_two_trials_is_waited_for_after_the_restart(tmp_path, worker):
    oracle = fifo(tmp_path, scheduler=FIFO(1, 1))
    with Chief(oracle, lease_seconds=NEVER) as chief:
        client = worker(chief, "a")
        trial = client.create_trial("a")
        assert report(client, trial, 1).status == "STOPPED"
    again, second = restarted(tmp_path, chief, lambda *where: fifo(*where, scheduler=FIFO(1, 1)), lease_seconds=NEVER)
    with second:
        assert worker(second, "b").create_trial("b").status == "STOPPED"  # all is done, and no trial at work
        second.leases.drop("b")
        waiting = threading.Thread(target=second.wait)
        waiting.start()
        time.sleep(0.3)
        assert waiting.is_alive()
        end(client, trial)
        assert client.create_trial("a").status == "STOPPED"
        client.close()
        waiting.join(60)
        assert not waiting.is_alive()
    again.finish()
    oracle.finish()


def test_a_trial_that_was_told_to_pause_before_the_restart_is_not_ended_again(tmp_path, worker):
    oracle = asha(tmp_path, max_trials=3)
    with Chief(oracle) as chief:
        a, b = worker(chief, "a"), worker(chief, "b")
        for loss in (3.0, 2.0):
            trial = b.create_trial("b")
            report(b, trial, 1, loss)
            end(b, trial)
        trial = a.create_trial("a")
        assert report(a, trial, 1, 1.0).status == "STOPPED"
    again, second = restarted(tmp_path, chief, lambda *where: asha(*where, max_trials=3))
    with second:
        assert again.ongoing_trials == {}
        assert report(a, trial, 1, 1.0).status == "STOPPED"  # its answer was lost
        assert hand_out(b.create_trial("b")) == ("2", 1, 3, "2")
        end(a, trial)
        assert again.ongoing_trials["b"].trial_id == "2"
        assert report(b, trial, 2).status == "RUNNING"
    again.finish()
    oracle.finish()


def test_a_worker_may_come_before_its_chief(oracle, clients):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    client = ChiefClient(oracle, "a", f"127.0.0.1:{port}")
    clients.append(client)
    got: list[str] = []
    thread = threading.Thread(target=lambda: got.append(client.create_trial("a").trial_id))
    thread.start()
    time.sleep(0.3)
    with Chief(oracle, port=port):
        thread.join()
        assert got == ["0"]


def test_patience_ends(oracle, clients, monkeypatch):
    monkeypatch.setenv("KT_EXT_CHIEF_PATIENCE", "0.3")
    client = ChiefClient(oracle, "a", "127.0.0.1:1")
    clients.append(client)
    with pytest.raises(ChiefError, match=r"no chief at 127.0.0.1:1 for 0.3 seconds .*raise KT_EXT_CHIEF_PATIENCE"):
        client.create_trial("a")


# The end


def test_wait_looks_after_the_processes(oracle):
    calls = []

    def check() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("no worker can be started")

    with Chief(oracle) as chief, pytest.raises(RuntimeError, match="no worker can be started"):
        chief.wait(check)


def test_a_search_whose_workers_are_gone_waits_for_others(tmp_path, worker):
    oracle = asha(tmp_path)
    with Chief(oracle) as chief:
        waiting = threading.Thread(target=chief.wait)
        waiting.start()
        first = worker(chief, "first")
        first.create_trial("first")
        first.close()
        time.sleep(0.5)
        assert waiting.is_alive()
        work(worker(chief, "second"))
        waiting.join(60)
        assert not waiting.is_alive()
    oracle.finish()


def test_wait_waits_for_a_worker_that_has_not_said_good_bye(tmp_path, worker):
    oracle = fifo(tmp_path, scheduler=FIFO(1, 1))
    with Chief(oracle, lease_seconds=NEVER) as chief:
        client = worker(chief, "a")
        trial = client.create_trial("a")
        assert report(client, trial, 1).status == "STOPPED"
        end(client, trial)
        assert client.create_trial("a").status == "STOPPED"
        waiting = threading.Thread(target=chief.wait)
        waiting.start()
        time.sleep(0.3)
        assert waiting.is_alive()
        client.close()
        waiting.join(60)
        assert not waiting.is_alive()
    oracle.finish()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is full")
def test_a_full_disk_ends_the_wait(tmp_path, worker):
    oracle = fifo(tmp_path)
    with Chief(oracle) as chief:
        client = worker(chief, "a")
        trial = client.create_trial("a")
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, oracle.files._journal._fd)
        os.close(full)
        with pytest.raises(ChiefError, match=r"INTERNAL.*No space left on device"):
            report(client, trial, 1)
        with pytest.raises(StorageError, match="No space left on device"):
            chief.wait()


def test_what_the_oracle_refuses_is_said_to_the_worker(oracle, worker):
    with Chief(oracle) as chief:
        client = worker(chief, "a")
        trial = client.create_trial("a")
        with pytest.raises(ValueError, match="objective 'loss' is missing from the metrics of epoch 1"):
            client.update_trial(trial.trial_id, {"accuracy": 1.0}, step=1)
        with pytest.raises(ValueError, match="step=9: must be the number of epochs"):
            report(client, trial, 9)
        with pytest.raises(ValueError, match="trial_id='8': no such trial"):
            client.update_trial("8", {"loss": 1.0}, step=1)
        assert report(client, trial, 1).status == "RUNNING"


# Who may call


def raw(chief: Chief, method: str, request: bytes, metadata=()) -> grpc.RpcError:
    """How a call by somebody else fails."""
    with grpc.insecure_channel(f"127.0.0.1:{chief.port}") as channel, pytest.raises(grpc.RpcError) as failed:
        channel.unary_unary(method)(request, timeout=10, metadata=metadata)
    return failed.value


@pytest.mark.parametrize("method", ["GetSpace", "CreateTrial", "UpdateTrial", "EndTrial", "GetBestTrials"])
def test_stock_workers_are_told_what_to_use(oracle, method):
    with Chief(oracle) as chief:
        failed = raw(chief, f"/keras_tuner.Oracle/{method}", b"")
        assert failed.code() == grpc.StatusCode.UNIMPLEMENTED
        assert "use a kt_ext tuner of the same version in the workers" in failed.details()
    assert oracle.trials == {}


@pytest.mark.parametrize("request_", [b"\x80\x04}.", b"[]", b'{"do": "pickle"}', b"", b"\xff"])
def test_nonsense_is_refused(oracle, request_):
    me = ((wire.WORKER, "a"), (wire.SESSION, "s"))
    with Chief(oracle) as chief:
        assert raw(chief, "/kt_ext.Chief/Call", request_, me).code() == grpc.StatusCode.INVALID_ARGUMENT
        assert len(chief.leases) == 0


@pytest.fixture(scope="module")
def credentials(tmp_path_factory) -> tuple[Credentials, Credentials]:
    where = tmp_path_factory.mktemp("credentials")
    return create(where / "ours"), create(where / "theirs")


def test_with_credentials_a_search_works(oracle, worker, credentials, monkeypatch):
    ours, _ = credentials
    with Chief(oracle, credentials=ours, lease_seconds=0.5, heartbeat_seconds=0.05) as chief:
        monkeypatch.setenv("KT_EXT_CREDENTIALS", str(ours.directory))
        client = worker(chief, "a")
        trial = client.create_trial("a")
        heard = chief.leases.get("a").heard
        until(lambda: chief.leases.get("a").heard > heard + 1, "beats, too, have the token")
        assert report(client, trial, 1).status == "RUNNING"


def test_without_the_right_credentials_a_worker_ends_at_once(oracle, worker, credentials, tmp_path):
    ours, theirs = credentials
    with Chief(oracle, credentials=ours) as chief:
        with pytest.raises(ChiefError, match=r"wants TLS and a token.*set KT_EXT_CREDENTIALS"):
            worker(chief, "a").create_trial("a")
        with pytest.raises(ChiefError, match="does not prove to be the one whose credentials"):
            worker(chief, "a", credentials=theirs).create_trial("a")
        wrong = Credentials(ours.directory)
        wrong.token = theirs.token
        with pytest.raises(ChiefError, match="the token is missing or is not this chief's") as refused:
            worker(chief, "a", credentials=wrong).create_trial("a")
        assert ours.token not in str(refused.value)
        assert theirs.token not in str(refused.value)
        assert len(chief.leases) == 0
    with Chief(oracle) as chief, pytest.raises(ChiefError, match="speaks no TLS"):
        worker(chief, "a", credentials=ours).create_trial("a")
    assert oracle.trials == {}


@pytest.mark.parametrize("method", ["/keras_tuner.Oracle/EndTrial", "/kt_ext.Chief/Call", "/no.Such/Method"])
@pytest.mark.parametrize("said", [[], ["wrong"], ["Bearer wrong"], ["right", "right"], ["Bearer ü"]])
def test_without_the_token_nothing_is_parsed(oracle, credentials, method, said):
    ours, _ = credentials
    token = f"Bearer {ours.token}"
    metadata = [(wire.AUTHORIZATION, token if word == "right" else word) for word in said if word.isascii()]
    with Chief(oracle, credentials=ours) as chief:
        channel = grpc.secure_channel(f"127.0.0.1:{chief.port}", ours.channel(), ours.channel_options())
        with channel, pytest.raises(grpc.RpcError) as failed:
            channel.unary_unary(method)(b"\xff\xff", timeout=10, metadata=metadata)
        assert failed.value.code() == grpc.StatusCode.UNAUTHENTICATED


# Arguments


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"lease_seconds": 0}, "lease_seconds=0: must be a number > 0"),
        ({"heartbeat_seconds": 20}, "heartbeat_seconds=20: must be > 0 and at most half of lease_seconds=30.0"),
        ({"heartbeat_seconds": 0}, "heartbeat_seconds=0: must be > 0"),
        ({"trial_timeout": 0}, "trial_timeout=0: must be seconds > 0"),
        ({"host": "0.0.0.0"}, "host='0.0.0.0': "),
    ],
)
def test_wrong_arguments_of_a_chief(oracle, settings, said):
    with pytest.raises(ValueError, match=said):
        Chief(oracle, **settings)


def test_a_chief_serves_our_oracles_only():
    with pytest.raises(TypeError, match="oracle='x': must be a kt_ext oracle"):
        Chief("x")


def test_two_chiefs_at_one_address(oracle, tmp_path):
    other = fifo(tmp_path, "other")
    with Chief(oracle) as chief:
        with (
            pytest.raises(OSError, match=f"port={chief.port}: cannot be served; it is in use"),
            Chief(other, port=chief.port),
        ):
            pass
        assert chief.port > 0
    other.finish()


def test_a_worker_needs_an_id_and_an_address(oracle, monkeypatch):
    for name in ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValueError, match="KERASTUNER_TUNER_ID is not in the environment"):
        ChiefClient(oracle)
    with pytest.raises(ValueError, match="worker_id='ü': must be printable ASCII"):
        ChiefClient(oracle, "ü", "127.0.0.1:1")
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "a")
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "::1")
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", "80")
    assert ChiefClient(oracle).address == "[::1]:80"


# Which search, and its end


def test_a_worker_of_another_search_waits_for_its_own_chief(tmp_path, oracle, clients, monkeypatch):
    other = fifo(tmp_path, "other")
    with Chief(oracle) as chief:
        client = ChiefClient(other, "a", f"127.0.0.1:{chief.port}")
        clients.append(client)
        with monkeypatch.context() as patch:
            patch.setenv("KT_EXT_CHIEF_PATIENCE", "0.3")
            with pytest.raises(ChiefError, match="this is the chief of another search"):
                client.create_trial("a")
        port = chief.port
    assert oracle.trials == {}
    with Chief(other, port=port):
        assert client.create_trial("a").trial_id == "0"
        client.close()
    other.finish()


def test_an_error_that_ends_a_worker_for_good_ends_the_search(oracle, worker):
    with Chief(oracle) as chief:
        client = worker(chief, "a")
        client.create_trial("a")
        client.close("FatalValueError: objective 'val_los' is not in the logs")
        with pytest.raises(RuntimeError, match="ended by an error in a: FatalValueError: objective 'val_los'"):
            chief.wait()


def test_nobody_waits_for_a_worker_that_hangs(tmp_path, worker):
    oracle = fifo(tmp_path, scheduler=FIFO(1, 4))
    with Chief(oracle, lease_seconds=60, heartbeat_seconds=0.05, trial_timeout=0.2) as chief:
        hung, other = worker(chief, "hung"), worker(chief, "other")
        hung.create_trial("hung")
        until(lambda: oracle.trials["0"].status == "FAILED", "the trial was given up")
        assert other.create_trial("other").status == "STOPPED"
        other.close()
        chief.wait()  # though the hung one's heart beats on
    oracle.finish()


def test_a_chief_of_a_search_that_is_over_waits_for_nobody(tmp_path, worker):
    oracle = fifo(tmp_path, scheduler=FIFO(1, 1))
    with Chief(oracle) as chief:
        client = worker(chief, "a")
        trial = client.create_trial("a")
        report(client, trial, 1)
        client.end_trial(trial)
        client.close()
    oracle.finish()
    again = fifo(tmp_path, scheduler=FIFO(1, 1))
    with Chief(again, lease_seconds=0.5, heartbeat_seconds=0.1) as chief:
        chief.wait()
    assert again.stop_reason is not None
    again.finish()
