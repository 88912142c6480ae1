"""Leases: epochs only rise, whatever order calls come in."""

from hypothesis import given
from hypothesis import strategies as st

from spikewatch.service.cluster.leases import Lease, LeaseTable

CALLS = st.lists(
    st.tuples(st.sampled_from(["grant", "release", "restart"]), st.sampled_from("ab"), st.sampled_from("xyz"))
)


@given(CALLS)
def test_epochs_rise_over_all_lives_of_the_directory(calls: list[tuple[str, str, str]]) -> None:
    table, epochs, owners = LeaseTable(1), [0], dict[str, Lease]()
    for call, session, worker in calls:
        match call:
            case "grant":
                owners[session] = table.grant(session, worker, "{}")
                epochs.append(owners[session].epoch)
            case "release" if session in owners:
                assert table.release(session, owners.pop(session).epoch)
            case "restart":
                table = LeaseTable(table.term + 1)
                assert all(table.confirm(lease) for lease in owners.values())
        assert {s: table.get(s) for s in table.session_ids()} == owners
        assert {w: table.count(w) for w in "xyz"} == {
            w: sum(lease.worker == w for lease in owners.values()) for w in "xyz"
        }
        assert {lease.session_id for w in "xyz" for lease in table.of(w)} == set(owners)
    assert epochs == sorted(set(epochs))


def test_an_older_lease_is_neither_confirmed_nor_released() -> None:
    table = LeaseTable(1)
    old = table.grant("camera", "x", "{}")
    new = table.grant("camera", "y", "{}")
    assert not table.confirm(old)
    assert not table.release("camera", old.epoch)
    assert table.get("camera") == new
    assert (table.count("x"), table.count("y"), len(table)) == (0, 1, 1)
