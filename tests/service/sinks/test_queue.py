"""The queue of a sink: its bound, its policies, and turns among sessions."""

import threading

from spikewatch.service.sinks.queue import SinkQueue
from spikewatch.service.sinks.state import SinkState
from tests.service.sinks.support.messages import make_message


def test_full_queue_drops_the_oldest_of_the_busiest_session() -> None:
    state = SinkState("s", print)
    queue = SinkQueue(4, "drop_oldest", state)
    queue.put(make_message("quiet", 0))
    for seq in range(6):
        queue.put(make_message("busy", seq))
    assert (len(queue), state.dropped) == (4, 3)
    taken = [(message.session, message.window.seq) for message in queue.take(10)]
    assert taken == [("quiet", 0), ("busy", 3), ("busy", 4), ("busy", 5)]


def test_sessions_are_taken_in_turn_and_each_in_order() -> None:
    queue = SinkQueue(10, "drop_oldest", SinkState("s", print))
    for session, seq in (("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1)):
        queue.put(make_message(session, seq))
    first, rest = queue.take(2), queue.take(9)
    assert [(m.session, m.window.seq) for m in first + rest] == [
        *(("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2)),
    ]


def test_blocking_put_waits_for_room_but_not_for_a_sink_that_is_down() -> None:
    state = SinkState("s", lambda text: None)
    queue = SinkQueue(1, "block", state)
    queue.put(make_message(seq=0))
    thread = threading.Thread(target=queue.put, args=[make_message(seq=1)])
    thread.start()
    thread.join(0.2)
    assert thread.is_alive()
    assert [m.window.seq for m in queue.take(1)] == [0]
    thread.join(60)
    assert not thread.is_alive()
    assert state.dropped == 0

    thread = threading.Thread(target=queue.put, args=[make_message(seq=2)])
    thread.start()
    state.mark_down("gone")
    queue.wake()
    thread.join(60)
    assert not thread.is_alive()
    assert [m.window.seq for m in queue.take(9)] == [2]
    assert state.dropped == 1
