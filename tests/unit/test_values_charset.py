"""Text to bytes: one stream a file, and nothing that reads back as another text."""

from __future__ import annotations

import pytest

from batchxfer.charset import Charset, Stream, Unencodable, encoding_problem, is_stateful


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("euc_kr", "뷁"),  # eight bytes that hardly anybody reads back
        ("euc-kr", "\u3164"),
        ("shift_jis", "\u00a5"),  # written as a backslash
        ("johab", "\u20a9"),
        ("cp949", "😀"),
        ("ascii", "é"),
    ],
)
def test_what_does_not_read_back_equal_is_not_written(encoding: str, text: str) -> None:
    with pytest.raises(Unencodable) as caught:
        Stream(Charset(encoding, replace=False)).encode(f"a{text}b")
    assert caught.value.characters == {text}
    assert Stream(Charset(encoding, replace=True)).encode(f"a{text}b") == b"a?b"


def test_letters_that_only_together_read_as_another_are_not_written() -> None:
    """In EUC-KR the filler and three letters are one syllable."""
    with pytest.raises(Unencodable):
        Stream(Charset("euc_kr", replace=False)).encode("ㅤㅂㅞㄱ")


def test_bytes_that_look_like_a_filler_across_two_characters_are_fine() -> None:
    """0xA4 may end one syllable and 0xD4 begin the next."""
    ends = [text for code in range(0xAC00, 0xD7A4) if (text := chr(code)) and _bytes(text)[1:] == b"\xa4"]
    begins = [text for code in range(0x4E00, 0x9FA5) if (text := chr(code)) and _bytes(text)[:1] == b"\xd4"]
    text = ends[0] + begins[0]
    assert b"\xa4\xd4" in text.encode("euc_kr")
    assert Stream(Charset("euc_kr", replace=False)).encode(text) == text.encode("euc_kr")


def _bytes(text: str) -> bytes:
    return text.encode("euc_kr", "ignore") if len(text.encode("euc_kr", "ignore")) == 2 else b""


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-8-sig", "iso2022_jp", "iso2022_kr", "hz", "euc_jis_2004", "big5hkscs"]
)
def test_pieces_give_the_bytes_of_the_whole(encoding: str) -> None:
    text = {"iso2022_kr": "a한\n글b", "hz": "a国~\nb", "euc_jis_2004": "か゚か", "big5hkscs": "Ê̄Ê"}.get(
        encoding, "a日\n本b"
    )
    stream = Stream(Charset(encoding, replace=False))
    pieces = b"".join(stream.encode(character) for character in text) + stream.end()
    assert pieces == text.encode(encoding)


def test_a_stream_goes_on_after_a_replacement() -> None:
    stream = Stream(Charset("iso2022_kr", replace=True))
    assert (stream.encode("한") + stream.encode("😀") + stream.encode("글") + stream.end()) == "한?글".encode(
        "iso2022_kr"
    )


def test_ascii_passes_without_a_copy_where_it_is_its_own_bytes() -> None:
    data = memoryview(b"abc\n")
    assert Stream(Charset("cp949", replace=False)).encode_utf8(data) is data
    assert Stream(Charset("utf-16-le", replace=False)).encode_utf8(data) == "abc\n".encode("utf-16-le")
    assert Stream(Charset("utf-8-sig", replace=False)).encode_utf8(data) == b"\xef\xbb\xbfabc\n"
    assert Stream(Charset("cp500", replace=False)).encode_utf8(data) == "abc\n".encode("cp500")
    stream = Stream(Charset("iso2022_kr", replace=False))
    assert stream.encode("한") + stream.encode_utf8(data) + stream.end() == "한abc\n".encode("iso2022_kr")


def test_what_is_held_back_to_combine_comes_before_what_follows() -> None:
    stream = Stream(Charset("euc_jis_2004", replace=False))
    pieces = bytes(stream.encode("か")) + bytes(stream.encode_utf8(memoryview(b"abc"))) + stream.end()
    assert pieces == "かabc".encode("euc_jis_2004")


@pytest.mark.parametrize(
    ("encoding", "text", "size"), [("utf-16", "a😀", 6), ("utf-8-sig", "é", 2), ("cp949", "한a", 3), ("utf-32", "a", 4)]
)
def test_sizes_are_without_a_byte_order_mark(encoding: str, text: str, size: int) -> None:
    assert Charset(encoding, replace=False).size(text) == size


@pytest.mark.parametrize(
    "name", ["idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "rot13", "base64", "x", "a\0b"]
)
def test_what_is_no_encoding_for_files_is_refused(name: str) -> None:
    assert encoding_problem(name) is not None


@pytest.mark.parametrize(
    "name", ["utf-8", "UTF8", "utf_16", "cp949", "euc-kr", "latin1", "iso2022_jp", "utf-7", "cp500"]
)
def test_python_s_text_encodings_are_taken(name: str) -> None:
    assert encoding_problem(name) is None


def test_encodings_with_escape_sequences_are_known() -> None:
    assert [name for name in ("iso2022_jp", "hz", "utf-7", "cp949", "utf-16") if is_stateful(name)] == [
        "iso2022_jp",
        "hz",
        "utf-7",
    ]
