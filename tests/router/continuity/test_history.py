"""What a history is made of, and what of it cannot leave its account. Pure."""

from typing import Any

import pytest

from turnout.continuity.history import history, hosted_state
from turnout.continuity.turns import Talk, Turn, pack, pack_talk, unpack, unpack_talk


def message(text: str, **more: Any) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": [{"file_id": "file-cited"}]}
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part], **more}


def turn(given: list[Any], *output: dict[str, Any], native: bool = True) -> Turn:
    return Turn(given=given, response={"status": "completed", "output": list(output)}, domain="azure-a", native=native)


def test_items_of_an_account_lose_what_only_it_knows() -> None:
    call = {
        "type": "function_call",
        "id": "fc_1",
        "status": "completed",
        "call_id": "c1",
        "name": "f",
        "arguments": "{}",
    }
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "sealed"}
    past = history([turn(["hi"], reasoning, call), turn(["go on"], message("yes", phase="final_answer"))])
    assert past.items == [
        "hi",
        reasoning,
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        "go on",
        {"role": "assistant", "content": "yes", "phase": "final_answer"},
    ]
    assert past.domains == ["", "azure-a", "azure-a", "", "azure-a"]
    assert past.notes == ()


def test_items_of_a_translation_stay_as_they_are() -> None:
    said = message("yes")
    past = history([turn(["hi"], said, native=False)])
    assert past.items == ["hi", said]
    assert past.domains == ["", ""]


def test_records_of_a_providers_own_tools_are_left_out_and_named() -> None:
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    compaction = {"type": "compaction", "id": "cmp_1", "encrypted_content": "x"}
    past = history([turn(["hi"], search, compaction, message(""), message("found"))])
    assert [item for item in past.items if item != "hi"] == [{"role": "assistant", "content": "found"}]
    assert len(past.notes) == 1
    assert "web_search_call" in past.notes[0]


def test_a_reference_becomes_the_item_it_names() -> None:
    call = {"type": "custom_tool_call", "id": "ctc_1", "call_id": "c1", "name": "f", "input": "x"}
    named = {"type": "item_reference", "id": "ctc_1"}
    unknown = {"type": "item_reference", "id": "elsewhere"}
    past = history([turn(["hi"], call), turn([named, unknown])])
    assert past.items[2:] == [{"type": "custom_tool_call", "call_id": "c1", "name": "f", "input": "x"}, unknown]
    assert hosted_state({}, past.items) == ("item 'elsewhere', which is not in the transcript",)


@pytest.mark.parametrize(
    ("body", "items", "named"),
    [
        ({"prompt": {"id": "p"}}, [], "a stored prompt"),
        ({"conversation": "conv_1"}, [], "a conversation that the provider keeps"),
        ({"tools": [{"type": "file_search", "vector_store_ids": ["vs_1", "vs_2"]}]}, [], "vector store 'vs_1'"),
        ({"tools": [{"type": "code_interpreter", "container": "cntr_1"}]}, [], "container 'cntr_1'"),
        ({"tools": [{"type": "code_interpreter", "container": {"type": "auto", "file_ids": ["f1"]}}]}, [], "file 'f1'"),
        ({}, [{"role": "user", "content": [{"type": "input_image", "file_id": "f2"}]}], "file 'f2'"),
        ({}, [{"type": "function_call_output", "output": [{"type": "input_file", "file_id": "f3"}]}], "file 'f3'"),
        ({}, [{"type": "code_interpreter_call", "container_id": "c"}], "a code interpreter's container"),
        ({}, [{"type": "image_generation_call", "result": "x"}], "an image that the account generated"),
        ({}, [{"type": "compaction", "encrypted_content": "x"}], "a compaction that only the account can read"),
    ],
)
def test_state_that_cannot_move_is_named(body: dict[str, Any], items: list[Any], named: str) -> None:
    assert named in hosted_state(body, items)


def test_what_the_assistant_only_cites_does_not_hold_a_conversation_back() -> None:
    auto = {"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}, {"type": "web_search"}]}
    assert hosted_state(auto, history([turn(["hi"], message("yes"))]).items) == ()


@pytest.mark.parametrize("value", [b"", b"no json", b"[]", b"{}", b'{"v":2,"path":[]}', b'{"v":1,"path":[],"more":1}'])
def test_what_cannot_be_read_is_no_turn(value: bytes) -> None:
    assert unpack(value) is None
    assert unpack_talk(value) is None


def test_what_is_written_is_read_again() -> None:
    whole = turn(["hi", {"role": "user", "content": "\u00e9 \U0001f600 \0"}], message("yes"))
    assert unpack(pack(whole)) == whole
    talk = Talk("conv_1", 5, "key", {"b": "1", "a": "2"})
    assert unpack_talk(pack_talk(talk)) == talk
    assert pack_talk(unpack_talk(pack_talk(talk)) or talk) == pack_talk(talk)
