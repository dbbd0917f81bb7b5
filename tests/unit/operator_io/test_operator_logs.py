import json
import logging

import pytest

from finetune_operator.log import JsonFormatter, PlainFormatter, job_context


def line(formatter: logging.Formatter, message: str, error: BaseException | None = None) -> str:
    info = (type(error), error, error.__traceback__) if error else None
    return formatter.format(logging.LogRecord("a.b", logging.WARNING, __file__, 1, message, None, info))


def test_lines_name_their_job() -> None:
    with job_context("team", "movies"):
        fields = json.loads(line(JsonFormatter(), 'says "hi"\nand more'))
        assert (fields["namespace"], fields["job"], fields["level"]) == ("team", "movies", "warning")
        assert fields["message"] == 'says "hi"\nand more'
        assert "WARNING team/movies  hello" in line(PlainFormatter(), "hello")
    assert "namespace" not in json.loads(line(JsonFormatter(), "hello"))
    assert "team/movies" not in line(PlainFormatter(), "hello")


@pytest.mark.parametrize("formatter", [JsonFormatter(), PlainFormatter()])
def test_a_traceback_is_kept(formatter: logging.Formatter) -> None:
    with pytest.raises(LookupError) as caught:
        raise LookupError("lost")
    assert "LookupError: lost" in line(formatter, "failed", caught.value)
