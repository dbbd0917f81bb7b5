"""A thousand jobs that wait for their pods ask for the reason one after the other."""

from finetune_operator.rate_limiter import RateLimiter


def test_one_goes_at_a_time_and_nobody_waits_longer_than_needed() -> None:
    now = [100.0]
    pace = RateLimiter(0.25, lambda: now[0])
    assert [pace.take() for _ in range(3)] == [True, False, False]
    now[0] += 0.24
    assert not pace.take()
    now[0] += 0.01
    assert pace.take()
    now[0] += 60
    assert [pace.take(), pace.take()] == [True, False], "what was not taken is not saved up"
