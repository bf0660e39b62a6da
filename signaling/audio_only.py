"""An offer of audio and video as one of audio alone, and the answer to the whole of it.

OBS and browsers offer their video along with their audio. The captioner takes no video, and
a node is not shown any: it gets the audio's m-section, and in the answer video is `inactive`.
(RFC 9725, 4.4.3, would rather have such offers refused, lest a broadcaster believes that
somebody watches. Whoever sends to a captioner knows better, and OBS cannot leave video out.)

In a BUNDLE group (RFC 9143) all share the transport of the first m-section, so the audio
takes over that one's ICE and DTLS. Pure: text in, text out. What the audio itself must be
like, its node checks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Self

from signaling.errors import ContractError

MOST_SECTIONS: Final = 16

# RFC 8859: the attributes of these categories are the transport's, not the medium's.
_TRANSPORT: Final = frozenset(
    {
        "ice-ufrag",
        "ice-pwd",
        "ice-options",
        "fingerprint",
        "tls-id",
        "setup",
        "candidate",
        "end-of-candidates",
    }
)


@dataclass(frozen=True, slots=True)
class _Section:
    """An m-section; `lines` are those behind `m=`."""

    kind: str
    port: str
    rest: str
    lines: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, line: str) -> Self:
        kind, port, rest = [*line[2:].split(" ", 2), "", ""][:3]
        if not (kind.isalnum() and port and rest):
            raise ContractError("invalid", "an m-line of the offer cannot be read")
        return cls(kind, port, rest)

    def has(self, name: str) -> bool:
        return any(_name(line) == name for line in self.lines)

    @property
    def mid(self) -> str | None:
        return next((line[6:] for line in self.lines if _name(line) == "mid"), None)

    @property
    def offered(self) -> bool:
        """Port 0 refuses it, unless its port is that of the bundle."""
        return self.port != "0" or self.has("bundle-only")

    @property
    def transport(self) -> list[str]:
        return [line for line in self.lines if _name(line) in _TRANSPORT]


def _name(line: str) -> str:
    return line[2:].partition(":")[0] if line.startswith("a=") else ""


def _split(sdp: str) -> tuple[list[str], list[_Section]]:
    session: list[str] = []
    sections: list[_Section] = []
    for line in sdp.replace("\r\n", "\n").split("\n"):
        if line.startswith("m="):
            sections.append(_Section.of(line))
        elif line:
            (sections[-1].lines if sections else session).append(line)
    return session, sections


def _joined(lines: list[str]) -> str:
    return "".join(f"{line}\r\n" for line in lines)


@dataclass(frozen=True, slots=True)
class AudioOffer:
    """`sdp` is the offer of the audio alone, its m-line number 0.

    `mids` are the m-sections whose candidates are the audio's, and `ufrags` their ICE
    session.
    """

    sdp: str
    mids: frozenset[str]
    ufrags: frozenset[str]
    _sections: list[_Section]
    _audio: _Section
    _bundle: list[str]

    def answer(self, sdp: str) -> str:
        """The answer to the whole offer, made of a node's to the audio alone."""
        session, (audio, *_) = _split(sdp)
        lines = [line for line in session if _name(line) != "group"]
        if self._bundle:
            lines.append(f"a=group:BUNDLE {' '.join(self._bundle)}")
        for section in self._sections:
            if section is self._audio:
                lines += [f"m=audio {audio.port} {audio.rest}", *audio.lines]
            elif section.mid in self._bundle:
                lines += [*_unwanted(section, "9"), *audio.transport]
            else:
                lines += _unwanted(section, "0")
        return _joined(lines)


def _unwanted(section: _Section, port: str) -> list[str]:
    """The m-section as an answer has it that wants nothing of it; port 0 refuses it."""
    kept = [line for line in section.lines if _name(line) in ("mid", "rtcp-mux", "rtpmap", "fmtp")]
    head = f"m={section.kind} {port} {section.rest}"
    return [head, "c=IN IP4 0.0.0.0", "a=inactive", *kept]


def audio_only(offer: str) -> AudioOffer:
    """The offer's audio; `ContractError` `invalid` unless it sends audio, and one track."""
    session, sections = _split(offer)
    if len(sections) > MOST_SECTIONS:
        raise ContractError("invalid", f"an offer has at most {MOST_SECTIONS} m-lines")
    audios = [section for section in sections if section.kind == "audio" and section.offered]
    if len(audios) != 1:
        raise ContractError("invalid", "the offer must have one audio track")  # RFC 9725, 4.4.2
    audio = audios[0]
    if audio.has("recvonly") or audio.has("inactive"):
        raise ContractError("invalid", "the offer's audio must be sent")
    bundle = _bundle_of(audio, session, sections)
    tagged = next((s for s in sections if bundle and s.mid == bundle[0]), audio)
    lines = [line for line in session if _name(line) != "group"]
    if bundle:
        lines.append(f"a=group:BUNDLE {audio.mid}")
    lines.append(f"m=audio {audio.port if audio.port != '0' else '9'} {audio.rest}")
    own = [line for line in audio.lines if _name(line) != "bundle-only"]
    if tagged.has("ice-ufrag") and tagged is not audio:
        own = [line for line in own if line not in audio.transport] + tagged.transport
    ufrags = {line.partition(":")[2] for line in [*lines, *own] if _name(line) == "ice-ufrag"}
    mids = frozenset(bundle or ([audio.mid] if audio.mid else []))
    return AudioOffer(_joined(lines + own), mids, frozenset(ufrags), sections, audio, bundle)


def _bundle_of(audio: _Section, session: list[str], sections: list[_Section]) -> list[str]:
    """The MIDs that share a transport with the audio and stay in the answer, tagged first."""
    kept = {s.mid for s in sections if s.kind in ("audio", "video") and s.offered}
    for line in session:
        if line.startswith("a=group:BUNDLE "):
            mids = line.split()[1:]
            if audio.mid in mids:
                return [mid for mid in mids if mid in kept]
    return []
