"""Which workers count as alive."""

from spikewatch.service.cluster.members import Member, Membership


def member(name: str, life: str = "first", beat_s: float = 0.0) -> Member:
    return Member(name, f"http://{name}", life, 4, beat_s)


def test_worker_without_heartbeats_expires() -> None:
    members = Membership(lease_s=3)
    for name in "ab":
        members.join(member(name))
    assert members.beat("a", "first", 2.0)
    assert [m.name for m in members.expired(4.0)] == ["b"]
    assert members.expired(3.0) == []


def test_a_late_directory_does_not_blame_the_workers() -> None:
    members = Membership(lease_s=3)
    members.join(member("a"))
    members.forgive(10.0)
    assert members.expired(12.0) == []


def test_a_new_life_replaces_the_old_one() -> None:
    members = Membership(lease_s=3)
    old, new = member("a"), member("a", "second", 1.0)
    assert members.join(old) is None
    old.draining = True
    again = member("a")
    assert members.join(again) is None
    assert again.draining, "a directory that restarted asks the same process to register again"
    assert members.join(new) is again
    assert not new.draining
    assert not members.beat("a", "first", 2.0)
    assert not members.leave(again)
    assert members.leave(new)
