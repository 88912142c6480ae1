"""Events of any order, and slices to compare."""

from hypothesis import strategies as st

from tests.ingest.support.cases import sorted_events

jittered = st.tuples(sorted_events(), st.lists(st.integers(0, 20_000), min_size=1, max_size=7)).map(
    lambda drawn: [(max(0, e[0] - drawn[1][i % len(drawn[1])]), *e[1:]) for i, e in enumerate(drawn[0])]
)


def equal(left, right):
    return len(left) == len(right) and all(
        (a.t0_us, a.t1_us, a.n_events, a.discontinuity) == (b.t0_us, b.t1_us, b.n_events, b.discontinuity)
        and (a.frame == b.frame).all()
        for a, b in zip(left, right, strict=True)
    )


OPTIONS = {"slice_us": 10_000, "max_gap_us": 300_000, "max_late_us": 15_000}
