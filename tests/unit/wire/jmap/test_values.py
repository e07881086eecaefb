"""Ids, dates, pointers and patches."""

from typing import Any

import msgspec
import pytest

from a3mailer.wire.jmap.errors import MethodError, SetError
from a3mailer.wire.jmap.patch import patched, paths
from a3mailer.wire.jmap.pointer import evaluate
from a3mailer.wire.jmap.request import References
from a3mailer.wire.jmap.values import Date, Id, Int, Ref, UnsignedInt, UTCDate, read_date, utc_date


def fits(form: Any, value: object) -> bool:
    try:
        msgspec.convert(value, form)
    except msgspec.ValidationError:
        return False
    return True


def test_the_types_of_section_1() -> None:
    assert [fits(Id, each) for each in ("a", "A-_9", "x" * 255, "", "a b", "ä", "x" * 256, "a\n", "#a")] == [
        True, True, True, False, False, False, False, False, False,
    ]  # fmt: skip
    assert fits(Ref, "#a") and not fits(Ref, "##a")
    assert fits(Int, -(2**53) + 1) and not fits(Int, -(2**53)) and not fits(Int, True)
    assert fits(UnsignedInt, 2**53 - 1) and not fits(UnsignedInt, 2**53) and not fits(UnsignedInt, -1)
    assert fits(UTCDate, "2014-10-30T06:12:00Z") and fits(UTCDate, "2014-10-30T06:12:00.5Z")
    assert fits(UTCDate, "2014-10-30T06:12:00.000Z") and fits(Date, "2014-10-30T06:12:00.120Z")
    assert fits(Date, "2014-10-30T14:12:00+08:00") and fits(Date, "2014-10-30T14:12:00Z")
    for wrong in ("2014-10-30T06:12:00.Z", "2014-10-30t06:12:00z", "2014-10-30T06:12:00+00:00", "2014"):
        assert not fits(UTCDate, wrong), wrong


def test_dates_go_there_and_back() -> None:
    assert read_date("2014-10-30T14:12:00+08:00") == read_date("2014-10-30T06:12:00Z") == 1414649520
    assert utc_date(1414649520) == "2014-10-30T06:12:00Z"
    assert read_date("2014-10-30T06:12:00.25Z") == 1414649520
    assert read_date("2016-12-31T23:59:60Z") == 1483228800
    assert utc_date(-(10**15)) == "0001-01-01T00:00:00Z" and utc_date(10**15) == "9999-12-31T23:59:59Z"
    with pytest.raises(ValueError, match="day"):
        read_date("2014-02-30T06:12:00Z")


def test_a_pointer_goes_through_arrays() -> None:
    value = {"list": [{"ids": [1, 2]}, {"ids": [3]}, {"ids": 4}], "a/b": {"m~n": 1}, "": 5, "*": 6}
    assert evaluate("/list/*/ids", value) == [1, 2, 3, 4]
    assert evaluate("/list/1/ids/0", value) == 3
    assert evaluate("/a~1b/m~0n", value) == 1
    assert evaluate("/", value) == 5 and evaluate("/*", value) == 6 and evaluate("", value) is value
    for wrong in (
        "list",
        "/list/-",
        "/list/3",
        "/list/00",
        "/list/x",
        "/a~1b/x",
        "/a~2b",
        "/list/*/no",
        "/ /x",
    ):
        with pytest.raises(MethodError) as caught:
            evaluate(wrong, value)
        assert caught.value.type == "invalidResultReference", wrong
    with pytest.raises(MethodError):
        evaluate("/x" * 10_000, value)


def test_references_of_references_are_no_bomb() -> None:
    """Attack row 44: each call names what came before several times over."""
    references, responses = References(), [("e", {"x": ["y" * 10] * 100}, "0")]
    path = {"resultOf": "0", "name": "e", "path": ""}
    with pytest.raises(MethodError, match="values are referred to"):
        for number in range(1, 60):
            given = {f"#{n}": {**path, "resultOf": str(number - 1)} for n in range(10)}
            responses.append(("e", references.resolved(given, responses), str(number)))  # type: ignore[arg-type]
    assert len(responses) < 6


def patch(record: dict[str, object], given: dict[str, object], **defaults: object) -> dict[str, object]:
    return patched(record, paths(given), defaults)


def test_a_patch_names_what_is_to_stand_where() -> None:
    record: dict[str, object] = {
        "name": "a",
        "keywords": {"x": True, "a/b": True},
        "list": [{"n": 1}],
        "deep": {"m": {}},
    }
    assert patch(record, {"name": "b"}) == {"name": "b"}
    assert patch(record, {"name": None}, name="none") == {"name": "none"}
    assert patch(record, {"name": None}) == {"name": None}
    assert patch(record, {"keywords/x": None, "keywords/y": True, "keywords/a~1b": None}) == {
        "keywords": {"y": True}
    }
    assert patch(record, {"keywords/none": None}) == {"keywords": record["keywords"]}
    assert patch(record, {"deep/m/k": 5}) == {"deep": {"m": {"k": 5}}}
    assert record["keywords"] == {"x": True, "a/b": True} and record["deep"] == {"m": {}}


@pytest.mark.parametrize(
    "given",
    [
        {"list/0": 1}, {"list/0/n": 2}, {"name/x": 1}, {"none/x": 1}, {"deep/no/x": 1}, {"deep/~2": 1},
        {"keywords": {}, "keywords/x": True}, {"deep/m": {}, "deep/m/k": 1}, {"deep/m/k": None, "deep": {}},
        {"/".join("x" * 100): 1},
    ],
    ids=str,
)  # fmt: skip
def test_a_patch_that_is_none(given: dict[str, object]) -> None:
    record: dict[str, object] = {"name": "a", "keywords": {"x": True}, "list": [{"n": 1}], "deep": {"m": {}}}
    with pytest.raises(SetError) as caught:
        patch(record, given)
    assert caught.value.type == "invalidPatch"
