"""A day is over when every shard has told its sales, whatever order they tell in and whoever was silent."""

from hypothesis import given
from hypothesis import strategies as st

from models.learning import Learning
from models.policy import Policy

DAY = 86_400.0
SHARDS = 3


def told(shard, sold, time, idle):
    return {"sold": sold, "partition": shard, "partitions": SHARDS, "time": time, "idle": idle}


def take(learning, row):
    """Learn a row; returns the days that were closed before an amount of theirs came."""
    closed = learning.sales.next_day
    late = [day for _, day, _ in row["sold"] if closed is not None and day < closed]
    learning.take("sales", [row])
    return late


# Between silences, sales come in at once: (shard, hours since the one before).
BURSTS = st.lists(
    st.lists(st.tuples(st.integers(0, SHARDS - 1), st.integers(0, 60)), min_size=1, max_size=12), min_size=1, max_size=5
)


@given(BURSTS, st.randoms(use_true_random=False), st.booleans())
def test_no_day_is_closed_past_what_a_silent_shard_has_yet_to_tell(bursts, order, starts_silent):
    learning, time, late = Learning(Policy(lateness=3_600.0)), 19_000 * DAY, []
    ends, heard = dict.fromkeys(range(SHARDS)), dict.fromkeys(range(SHARDS))
    if starts_silent:
        late += [day for shard in range(SHARDS) for day in take(learning, told(shard, [], None, True))]
    for burst in bursts:
        rows = {shard: [] for shard in range(SHARDS)}
        for shard, hours in burst:
            time += hours * 3_600.0
            ends[shard] = time
            rows[shard].append(told(shard, [["all", int(time // DAY), 10_000]], time, False))
        silent = order.sample(range(SHARDS), order.randint(0, SHARDS))  # who do not know yet of what is on its way
        while any(rows.values()):
            shard = order.choice([shard for shard in rows if rows[shard]])
            if silent and order.random() < 0.5:
                other = silent.pop()
                late += take(learning, told(other, [], heard[other], True)) if rows[other] else []
            row = rows[shard].pop(0)
            heard[shard] = row["time"]
            silent = [other for other in silent if other != shard]
            late += take(learning, row)
        for shard in order.sample(range(SHARDS), order.randint(0, SHARDS)) * order.randint(1, 2):  # some fall silent
            late += take(learning, told(shard, [], ends[shard], True))
    assert late == []


def test_days_close_when_who_is_silent_says_so_again():
    learning = Learning(Policy(lateness=3_600.0))

    def silent():
        for shard in (1, 2):
            take(learning, told(shard, [], None, True))
        return learning.sales.next_day

    silent()
    for day in range(19_000, 19_010):
        take(learning, told(0, [["all", day, 10_000]], day * DAY, False))
    assert learning.sales.next_day is None
    assert silent() is None  # the others may have had sales of those days on their way as they said so
    assert silent() == 19_008  # the ninth is not over: an hour late is still in time
    take(learning, told(0, [], 19_009 * DAY + 7_200.0, True))
    assert silent() == 19_008
    assert silent() == 19_009


def test_a_snapshot_keeps_who_was_silent_since_when():
    learning = Learning(Policy(lateness=3_600.0))
    for day in range(19_000, 19_010):
        take(learning, told(0, [["all", day, 10_000]], day * DAY, False))
    for shard in (1, 2):
        take(learning, told(shard, [], None, True))
    again = Learning(Policy(lateness=3_600.0))
    again.restore(learning.state(), learning.parts())
    for one in (learning, again):
        for shard in (1, 2):
            take(one, told(shard, [], None, True))
        assert one.sales.next_day == 19_008
