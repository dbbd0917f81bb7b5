"""Each task that writes texts by each method that is built for it."""

from matrix_checks import (
    WRITING,
    test_it_learns_goes_on_where_it_was_and_predicts,
    test_the_top_layer_alone_is_trained,
)

TASKS = sorted(WRITING)

__all__ = ["TASKS", "test_it_learns_goes_on_where_it_was_and_predicts", "test_the_top_layer_alone_is_trained"]
