from pathlib import Path

import pytest

from apps.appengine.queue_yaml import Queue, RetryParameters, read


def read_text(tmp_path: Path, text: str) -> dict[str, Queue]:
    path = tmp_path / "queue.yaml"
    path.write_text(text)
    return read(path)


def test_every_field_is_read(tmp_path: Path) -> None:
    queues = read_text(
        tmp_path,
        """
        total_storage_limit: 120M
        queue:
        - name: mail
          mode: push
          rate: 90/m
          bucket_size: 40
          max_concurrent_requests: 10
          target: v2.worker
          retry_parameters:
            task_retry_limit: 7
            task_age_limit: 2d
            min_backoff_seconds: 10
            max_backoff_seconds: 200.5
            max_doublings: 0
        """,
    )
    retry = RetryParameters(7, 172800.0, 10.0, 200.5, 0)
    assert queues["mail"] == Queue("mail", 1.5, 40, 10, "v2.worker", retry)


def test_absent_fields_have_the_documented_defaults(tmp_path: Path) -> None:
    assert read_text(tmp_path, "queue: [{name: mail}]")["mail"] == Queue(
        "mail", 5.0, 5, 1000, "", RetryParameters(None, None, 0.1, 3600.0, 16)
    )


@pytest.mark.parametrize("text", ["", "queue:", "queue: [{name: mail}]"])
def test_the_default_queue_is_always_there(tmp_path: Path, text: str) -> None:
    assert read_text(tmp_path, text)["default"] == Queue("default")


def test_the_default_queue_can_be_configured(tmp_path: Path) -> None:
    assert read_text(tmp_path, "queue: [{name: default, rate: 1/s}]")["default"].rate == 1


@pytest.mark.parametrize(
    ("written", "per_second"),
    [("20/s", 20), ("5/m", 5 / 60), ("1.5/h", 1.5 / 3600), ("864/d", 0.01), ("0", 0)],
)
def test_rates(tmp_path: Path, written: str, per_second: float) -> None:
    assert read_text(tmp_path, f"queue: [{{name: mail, rate: {written}}}]")["mail"].rate == pytest.approx(
        per_second
    )


def test_one_back_off_bound_moves_the_default_of_the_other(tmp_path: Path) -> None:
    def retry(text: str) -> RetryParameters:
        return read_text(tmp_path, f"queue: [{{name: mail, retry_parameters: {{{text}}}}}]")[
            "mail"
        ].retry_parameters

    assert retry("min_backoff_seconds: 7200").max_backoff_seconds == 7200
    assert retry("max_backoff_seconds: 0.05").min_backoff_seconds == 0.05


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{name: mail, rate: fast}", "queue 'mail': rate: "),
        ("{name: mail, rate: 501/s}", "queue 'mail': rate: "),
        ("{name: mail, rate: 10}", "queue 'mail': rate: "),
        ("{name: mail, bucket_size: 0}", "queue 'mail': bucket_size: "),
        ("{name: mail, bucket_size: 501}", "queue 'mail': bucket_size: "),
        ("{name: mail, bucket_size: yes}", "queue 'mail': bucket_size: "),
        ("{name: mail, max_concurrent_requests: 5001}", "queue 'mail': max_concurrent_requests: "),
        ("{name: mail, target: Has Space}", "queue 'mail': target: "),
        ("{name: mail, mode: pull}", "queue 'mail': mode: "),
        ("{name: mail, rates: 1/s}", "queue 'mail': unknown field rates"),
        ("{name: mail, retry_parameters: 3}", "queue 'mail': retry_parameters: "),
        ("{name: mail, retry_parameters: {task_retry_limit: -1}}", "retry_parameters: task_retry_limit: "),
        ("{name: mail, retry_parameters: {task_age_limit: 0s}}", "retry_parameters: task_age_limit: "),
        ("{name: mail, retry_parameters: {task_age_limit: 5}}", "retry_parameters: task_age_limit: "),
        (
            "{name: mail, retry_parameters: {min_backoff_seconds: .inf}}",
            "retry_parameters: min_backoff_seconds: ",
        ),
        (
            "{name: mail, retry_parameters: {min_backoff_seconds: 9, max_backoff_seconds: 1}}",
            "is larger than",
        ),
        ("{name: mail}, {name: mail}", "queue 'mail' is defined twice"),
        ("{name: no_underscores}", "a queue needs a name"),
        ("{rate: 1/s}", "a queue needs a name"),
        ("mail", "a queue needs a name"),
    ],
)
def test_what_is_wrong_is_said_with_file_queue_and_field(tmp_path: Path, entry: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"queue\.yaml: ") as error:
        read_text(tmp_path, f"queue: [{entry}]")
    assert said in str(error.value)


@pytest.mark.parametrize("text", ["queue: {", "[]\n- x", "queues: []", "queue: mail", "just text"])
def test_a_file_of_another_shape_is_a_value_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"queue\.yaml: "):
        read_text(tmp_path, text)
