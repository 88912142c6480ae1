"""Helpers: they rest where they do not pay, survive forks, and end before code is freed."""

import os
import platform
import threading
import time

import pytest
import torch

from spikewatch.model.detector import Detector
from spikewatch.model.runtime.compiled import executor
from spikewatch.model.runtime.compiled.abi import ControlField
from spikewatch.model.runtime.compiled.instruction_sets import select_instruction_set
from spikewatch.model.runtime.compiled.object_cache import ObjectCache
from spikewatch.model.runtime.compiled.options import CompileOptions
from spikewatch.model.runtime.compiled.threads import FIRST_REST_S, LONGEST_REST_S, HelperPool, RestPolicy
from tests.model.support.fakes import event_like_frames, small_detector
from tests.model.support.runtimes import equal

has_helpers = pytest.mark.skipif(platform.system() != "Linux", reason="helpers need futex")


@pytest.fixture(scope="module")
def detectors() -> list[Detector]:
    base = small_detector()
    return [Detector(base.network, base.spec, runtime="compiled") for _ in range(2)]


def test_helpers_join_after_a_first_step_alone() -> None:
    policy = RestPolicy()
    assert not policy.may_join(0.0)
    policy.observe(False, 0.0, 0.010)
    assert policy.may_join(0.010)
    policy.observe(True, 0.010, 0.016)
    assert policy.may_join(0.016)


def test_helpers_rest_for_longer_while_they_do_not_pay() -> None:
    policy, now_s, rests = RestPolicy(), 100.0, []
    policy.observe(False, now_s, now_s + 0.010)
    for _ in range(8):
        start_s = now_s
        while not policy.may_join(now_s):
            now_s += 0.1
        rests.append(round(now_s - start_s))
        policy.observe(True, now_s, now_s + 0.020)
        now_s += 0.020
    assert rests == [0, 1, 2, 4, 8, 16, 32, 60]
    assert max(rests) == LONGEST_REST_S
    now_s += 10 * LONGEST_REST_S
    policy.observe(True, now_s, now_s + 0.020)
    assert not policy.may_join(now_s + 0.9 * FIRST_REST_S)
    assert policy.may_join(now_s + 0.020 + 1.1 * FIRST_REST_S)


@has_helpers
def test_two_models_in_two_threads_do_not_disturb_each_other(detectors: list[Detector]) -> None:
    """Each model by one thread, both at once: one has the helpers, the other computes alone."""
    frames = event_like_frames(40, detectors[0].spec)
    expected = detectors[0].run_window(frames[:, None])
    wrong: list[int] = []

    def run(detector: Detector) -> None:
        torch.set_num_threads(3)
        bank = detector.create_bank(1)
        for t, frame in enumerate(frames.split(1)):
            if not equal(detector.step_in_bank(frame, bank, [0]), expected[t]):
                wrong.append(t)

    threads = [threading.Thread(target=run, args=(detector,)) for detector in detectors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@has_helpers
def test_step_does_not_wait_for_a_helper_that_is_still_inside(
    detectors: list[Detector], monkeypatch: pytest.MonkeyPatch
) -> None:
    detector, before = detectors[0], torch.get_num_threads()
    frames, bank = event_like_frames(3, detector.spec), detector.create_bank(1)
    monkeypatch.setattr(RestPolicy, "may_join", lambda self, now_s: True)
    torch.set_num_threads(2)
    try:
        detector.step_in_bank(frames[:1], bank, [0])
        pool = executor._threads._pool
        assert pool is not None
        pool.wait_until_quiet()
        pool.control[ControlField.GATE] += 1  # as if a helper had lost its core inside
        epoch = int(pool._epochs[0])
        detector.step_in_bank(frames[1:2], bank, [0])
        assert int(pool._epochs[0]) == epoch
        pool.control[ControlField.GATE] -= 1
        detector.step_in_bank(frames[2:], bank, [0])
        assert int(pool._epochs[0]) == epoch + 1
    finally:
        torch.set_num_threads(before)
    state = detector.init_state()
    for frame in frames.split(1):
        state = detector.step(frame, state).state
    assert all(torch.equal(h, bank.gather([0])[name]) for name, h in state.items())


@has_helpers
def test_helpers_end_when_stopped() -> None:
    driver = executor.load_driver(select_instruction_set(), ObjectCache(CompileOptions().cache_folder))
    pool = HelperPool(driver, 3)
    time.sleep(0.05)  # some are asleep by now
    threads = pool._threads
    pool.stop()
    assert not any(thread.is_alive() for thread in threads)


@has_helpers
def test_forked_process_computes_without_its_parents_helpers(detectors: list[Detector]) -> None:
    detector, before = detectors[0], torch.get_num_threads()
    frames = event_like_frames(2, detector.spec)
    torch.set_num_threads(2)
    try:
        expected = detector.run_window(frames[:, None])
        child = os.fork()
        if child == 0:
            # no assertion may leave this process: pytest would run twice
            same = all(map(equal, detector.run_window(frames[:, None]), expected))
            os._exit(0 if same else 1)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert all(map(equal, detector.run_window(frames[:, None]), expected))
    finally:
        torch.set_num_threads(before)
