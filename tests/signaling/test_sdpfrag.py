"""SDP fragments of trickled candidates (RFC 8840), as clients and as nobody would send them."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from signaling.errors import ContractError
from signaling.sdpfrag import LARGEST_FRAGMENT, MOST_CANDIDATES, Fragment, parse_fragment

HOST = "1387637174 1 udp 2122260223 192.0.2.1 61764 typ host"
V6 = "2 1 UDP 2122194687 2001:db8::1 61765 typ srflx"

# RFC 9725, 4.3.2
EXAMPLE = f"""a=group:BUNDLE 0 1
m=audio 9 UDP/TLS/RTP/SAVPF 111
a=mid:0
a=ice-ufrag:EsAw
a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1
a=candidate:{HOST} generation 0 ufrag EsAw network-id 1
a=candidate:{V6} raddr 10.0.0.1 rport 61765 generation 0
a=candidate:3 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active generation 0
a=end-of-candidates
""".replace("\n", "\r\n")


def refusal(text: str) -> str:
    with pytest.raises(ContractError) as refused:
        parse_fragment(text)
    return refused.value.code


def candidates(*lines: str) -> str:
    return "".join(f"a=candidate:{line}\r\n" for line in lines)


def test_the_rfc_s_example_is_read_and_what_ice_does_not_need_left_out():
    assert parse_fragment(EXAMPLE) == Fragment(
        ufrags=frozenset({"EsAw"}), candidates=(("0", HOST), ("0", V6)), ended=True
    )


def test_a_fragment_may_end_its_lines_as_unix_does():
    assert parse_fragment(EXAMPLE.replace("\r\n", "\n")) == parse_fragment(EXAMPLE)


def test_each_candidate_is_its_section_s_wherever_that_says_its_mid():
    text = f"m=audio 9 x 0\r\n{candidates(HOST)}a=mid:a\r\nm=video 9 x 0\r\na=mid:b\r\n"
    fragment = parse_fragment(text + candidates(V6))
    assert fragment.candidates == (("a", HOST), ("b", V6))
    assert not fragment.ended


def test_candidates_without_a_section_are_nobody_s_in_particular():
    assert parse_fragment(candidates(HOST)).candidates == ((None, HOST),)


@pytest.mark.parametrize(
    "candidate",
    [
        "1 1 tcp 1 192.0.2.1 9 typ host tcptype active",
        "1 2 udp 1 192.0.2.1 9 typ host",
        "1 1 udp 1 3d2a.local 9 typ host",
        "1 1 udp 1 example.com 9 typ host",
        "1 1 udp 1 fe80::1%eth0 9 typ host",
        "1 1 udp 1 192.0.2.1 9 typ carrier-pigeon",
    ],
)
def test_what_we_cannot_connect_to_is_skipped_without_a_word(candidate):
    assert parse_fragment(candidates(candidate, HOST)).candidates == ((None, HOST),)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\r\n",
        "please connect",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111",
        "a=mid:",
        "a=mid:two words",
        "a=ice-ufrag:abc",
        "a=ice-ufrag:no spaces",
        "a=ice-pwd:short",
        candidates(""),
        candidates("nonsense"),
        candidates("1 1 udp 1 192.0.2.1 65536 typ host"),
        candidates("1 1 udp 1 192.0.2.1 -1 typ host"),
        candidates("1 1 udp ١ 192.0.2.1 9 typ host"),
        candidates("1 1 udp 99999999999 192.0.2.1 9 typ host"),
        candidates(HOST + "\0x"),
        '{"candidate": "…"}',
        "v=0\0",
    ],
)
def test_what_cannot_be_read_is_invalid(text):
    assert refusal(text) == "invalid"


def test_a_fragment_has_its_limits():
    most = candidates(*[HOST] * MOST_CANDIDATES)
    assert len(parse_fragment(most).candidates) == MOST_CANDIDATES
    assert refusal(most + candidates(HOST)) == "too_large"
    assert refusal(most + "m=audio 9 x 0\r\n" + candidates(HOST)) == "too_large"
    assert refusal("a=x\n" * LARGEST_FRAGMENT) == "too_large"


@given(
    st.lists(
        st.one_of(
            st.sampled_from(EXAMPLE.split("\r\n")),
            st.text(max_size=40),
            st.builds("a={}:{}".format, st.sampled_from(["mid", "candidate"]), st.text()),
            st.builds(
                "a=candidate:1 1 udp {} {} {} typ host".format,
                st.integers(),
                st.one_of(st.ip_addresses().map(str), st.text(max_size=9)),
                st.integers(),
            ),
        )
    ).map("\n".join)
)
@example(EXAMPLE)
def test_whatever_comes_is_read_or_refused_and_what_is_read_can_be_read_again(text):
    try:
        fragment = parse_fragment(text)
    except ContractError:
        return
    again = "a=x\n" + "".join(
        f"m=audio 9 x 0\n{f'a=mid:{mid}' if mid else 'a=x'}\na=candidate:{candidate}\n"
        for mid, candidate in fragment.candidates
    )
    assert parse_fragment(again).candidates == fragment.candidates
