"""The TLS round a conversation, spoken without a socket by the standard library's own client."""

from __future__ import annotations

import os
import queue
import random
import shutil
import socket
import ssl
import time
import warnings
from operator import attrgetter
from pathlib import Path
from typing import Callable, Iterable, List, Optional, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from adapters.client.loopback import LoopbackLink
from adapters.client.network import Network, SocketApi, TlsConfig
from adapters.gevent_tcp.tls import READS, STEP_BYTES, Certificates, TlsConversation
from application.conversation import Conversation
from application.executor import LocalExecutor
from application.limits import Limits
from application.password import FIRST_DELAY, FREE_ATTEMPTS, Password
from application.ports import Link, Received, Wants
from domain.memory import InMemoryStore
from tests.certificates import HOST, Files, Issued
from tests.support import Clock, answer, service_of, wanted
from tests.test_json_lines import CONVERSATION, REPLIES, bytewise, replies

R = TypeVar("R")
Cut = Callable[[bytes], Iterable[bytes]]

LIMITS = Limits(max_key_bytes=100)
PING, PONG = b'{"type":"PING"}\n', b'{"ok":true,"result":"PONG"}\n'
ENVELOPE = 5 + 256
"""Bytes that a TLS record has at most beside what it carries."""

BAD = {"missing": "", "empty": os.devnull, "not PEM": __file__}


def trusting(
    authorities: Optional[str], certificate: Optional[str] = None, key: Optional[str] = None
) -> ssl.SSLContext:
    """What our own clients go by."""
    api = SocketApi(socket, ssl, queue.SimpleQueue, time.sleep)
    context = Network(api, TlsConfig(authorities, certificate, key)).tls()
    assert isinstance(context, ssl.SSLContext)
    return context


def certificates(files: Files, ask_clients: bool = False) -> Certificates:
    loaded = Certificates(*files.server, files.authority if ask_clients else None)
    loaded.load()
    return loaded


class Attentive(Conversation):
    """Notices when it is handed nothing, which to do for ever would hold the server."""

    def receive(self, data: bytes, decoded: Received = UNSET) -> bytes:
        assert data, "nothing was read, and handed in all the same"
        return super().receive(data, decoded)


class Wire(LoopbackLink):
    """The link between a conversation and its client."""

    def __init__(self) -> None:
        super().__init__()
        self.name = "192.0.2.1:5000"
        self.delays: List[float] = []
        self.delivered: List[bytes] = []

    def wake_after(self, seconds: float) -> None:
        self.delays.append(seconds)

    def deliver(self, reply: bytes) -> None:
        self.delivered.append(reply)


class Inner:
    """The inner side: a store, and the state that its conversations share."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        clock = Clock()
        executor = LocalExecutor(InMemoryStore(time.monotonic), limits)
        self._open = service_of(executor, limits, clock)
        self.password = Password("secret", clock)
        self._guarded = service_of(executor, limits, clock, self.password)
        self.stats = self._open.stats

    def open(self, link: Link) -> Conversation:
        return Attentive(self._open, link)

    def guarded(self, link: Link) -> Conversation:
        return Attentive(self._guarded, link)


def whole(data: bytes) -> Iterable[bytes]:
    return [data]


def at_random(seed: int) -> Cut:
    chance = random.Random(seed)

    def cut(data: bytes) -> Iterable[bytes]:
        cuts = sorted(chance.randrange(len(data)) for _ in range(10))
        return [data[a:b] for a, b in zip([0, *cuts], [*cuts, None])]

    return cut


class Client:
    """The client's end, joined to a conversation by a wire that cuts what it carries."""

    def __init__(
        self, conversation: TlsConversation, context: ssl.SSLContext, cut: Cut = whole
    ) -> None:
        self.conversation = conversation
        self.said: List[bytes] = []
        """What the conversation returned to send, piece by piece."""
        self._cut = cut
        self._incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self.outgoing, server_hostname=HOST)

    def shake_hands(self) -> None:
        self.until_it_works(self.tls.do_handshake)
        self.carry()

    def ask(self, data: bytes) -> bytes:
        """All that is answered to `data`, decrypted."""
        self.tls.write(data)
        self.carry()
        return self.read()

    def ask_first(self, data: bytes) -> bytes:
        """The same, and the handshake before."""
        self.shake_hands()
        return self.ask(data)

    def read(self) -> bytes:
        answered: List[bytes] = []
        try:
            while True:
                answered.append(self.tls.read(1 << 20))
                if not answered[-1]:
                    break
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            pass
        return b"".join(answered)

    def send_close_notify(self) -> None:
        """Close the way TLS has it; returns when the other side did so, too."""
        self.until_it_works(self.tls.unwrap)

    def has_received_close_notify(self) -> bool:
        """Whether the other side has closed the way TLS has it, all else having been read."""
        try:
            return self.tls.read(1) == b""
        except ssl.SSLZeroReturnError:
            return True
        except ssl.SSLWantReadError:
            return False

    def version(self) -> Optional[str]:
        return self.tls.version()

    def certificate(self) -> Optional[bytes]:
        return self.tls.getpeercert(binary_form=True)

    def until_it_works(self, step: Callable[[], R]) -> R:
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                if not self.carry():
                    raise

    def carry(self) -> bool:
        """Move what there is, there and back; whether there was any."""
        sent, came = self.outgoing.read(), b""
        for piece in self._cut(sent) if sent else ():
            if self.conversation.wants is Wants.INPUT:
                self.said.append(self.conversation.receive(piece))
                came += self.said[-1]
            came += self.rest_of_replies()
        self._incoming.write(came)
        return bool(sent or came)

    def rest_of_replies(self) -> bytes:
        came = b""
        while self.conversation.wants in (Wants.TURN, Wants.WAKE):
            assert len(self.said) < 10_000, "it says that there is more, and there is none"
            self.said.append(self.conversation.advance())
            came += self.said[-1]
        return came

    def is_given(self, data: bytes) -> None:
        self._incoming.write(data)


Connect = Callable[..., Client]


@pytest.fixture
def inner() -> Inner:
    return Inner()


@pytest.fixture
def connect(files: Files, inner: Inner) -> Connect:
    """Connects a client that trusts the server, with `certificates` if not those of the server."""

    def connect(
        certified: Optional[Certificates] = None,
        context: Optional[ssl.SSLContext] = None,
        cut: Cut = whole,
    ) -> Client:
        session = TlsConversation(certified or certificates(files), inner.open, Wire())
        return Client(session, context or trusting(files.authority, None, None), cut)

    return connect


class TestConversation:
    def test_a_conversation_in_tls_is_the_same_as_without(self, connect: Connect) -> None:
        client = connect()
        client.shake_hands()
        assert replies(client.ask(CONVERSATION)) == REPLIES
        assert client.ask(PING) == PONG

    def test_a_conversation_in_tls_fed_byte_by_byte(self, connect: Connect) -> None:
        client = connect(cut=bytewise)
        client.shake_hands()
        assert replies(client.ask(CONVERSATION)) == REPLIES

    @pytest.mark.parametrize("seed", range(10))
    def test_a_conversation_in_tls_cut_at_random(self, connect: Connect, seed: int) -> None:
        client = connect(cut=at_random(seed))
        client.shake_hands()
        assert replies(client.ask(CONVERSATION)) == REPLIES

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_tls_1_2_and_1_3_are_served(
        self, connect: Connect, files: Files, version: ssl.TLSVersion
    ) -> None:
        context = trusting(files.authority, None, None)
        context.maximum_version = version
        client = connect(context=context)
        client.shake_hands()
        assert client.version() == version.name.replace("_", ".")
        assert replies(client.ask(CONVERSATION)) == REPLIES

    def test_a_request_on_the_heels_of_the_handshake_is_answered(self, connect: Connect) -> None:
        """In one read with the end of the handshake, as a network may bring it."""
        client = connect(cut=whole)
        client.until_it_works(client.tls.do_handshake)
        assert client.ask(PING) == PONG

    def test_no_reply_is_readable_on_the_wire(self, connect: Connect) -> None:
        client = connect()
        client.shake_hands()
        assert b"PONG" in client.ask(PING)
        assert b"PONG" not in b"".join(client.said)

    def test_a_reply_that_is_delivered_later_is_encrypted(self, files: Files, inner: Inner) -> None:
        wire, links = Wire(), []

        def opened(link: Link) -> Conversation:
            links.append(link)
            return inner.open(link)

        session = TlsConversation(certificates(files), opened, wire)
        client = Client(session, trusting(files.authority, None, None))
        client.shake_hands()
        links[0].deliver(PONG)
        assert wire.delivered
        assert b"PONG" not in b"".join(wire.delivered)
        client.is_given(b"".join(wire.delivered))
        assert client.read() == PONG
        assert client.ask(PING) == PONG

    def test_a_partial_request_in_tls_has_the_id_of_the_inner_conversation(
        self, connect: Connect
    ) -> None:
        client = connect()
        handshake = client.conversation.partial_request_id
        assert handshake
        client.shake_hands()
        assert client.conversation.partial_request_id == 0
        client.ask(b'{"type":')
        first = client.conversation.partial_request_id
        assert first not in (0, handshake)
        assert client.ask(b'"PING"}\n{"type"') == PONG
        assert client.conversation.partial_request_id not in (0, handshake, first)

    def test_a_wrong_password_in_tls_is_delayed(self, files: Files, inner: Inner) -> None:
        wire = Wire()
        session = TlsConversation(certificates(files), inner.guarded, wire)
        client = Client(session, trusting(files.authority, None, None))
        client.shake_hands()
        assert session.partial_request_id
        for _ in range(FREE_ATTEMPTS):
            inner.password.wait("192.0.2.1")
        client.tls.write(b'{"type":"AUTH","password":"secret"}\n' + PING)
        assert session.receive(client.outgoing.read()) == b""
        assert session.wants is Wants.WAKE
        assert wire.delays == [pytest.approx(FIRST_DELAY)]
        client.is_given(client.rest_of_replies())
        assert client.read() == b'{"ok":true,"result":true}\n' + PONG
        assert session.partial_request_id == 0


class TestLargeReplies:
    def test_large_replies_are_sent_in_portions_and_in_order(self, connect: Connect) -> None:
        client = connect()
        client.shake_hands()
        client.ask(b'{"type":"SET","key":"k","value":"%b"}\n' % (b"x" * 10_000))
        client.said.clear()
        asked = b"".join(b'{"type":"GET","key":"k","id":%d}\n' % n for n in range(500))
        answered = client.ask(asked)
        assert [reply["id"] for reply in replies(answered)] == list(range(500))
        assert len(answered) > 5_000_000
        assert max(map(len, client.said)) < 2 * STEP_BYTES + 10_000 + 20 * ENVELOPE

    def test_large_replies_to_one_request_a_record_are_sent_in_portions(
        self, connect: Connect
    ) -> None:
        client = connect()
        client.shake_hands()
        client.ask(b'{"type":"SET","key":"k","value":"%b"}\n' % (b"x" * 10_000))
        client.said.clear()
        for _ in range(100):
            client.tls.write(b'{"type":"GET","key":"k"}\n')
        assert client.ask(PING).count(b"\n") == 101
        assert max(map(len, client.said)) < STEP_BYTES + 10_000 + 10 * ENVELOPE

    def test_a_reply_of_several_megabytes_arrives_whole(self, connect: Connect) -> None:
        client = connect()
        client.shake_hands()
        value = b'"%b"' % (b"x" * 3_000_000)
        client.ask(b'{"type":"SET","key":"k","value":%b}\n' % value)
        assert client.ask(b'{"type":"GET","key":"k"}\n') == b'{"ok":true,"result":%b}\n' % value

    def test_pending_replies_delay_the_requests_behind_them(self, connect: Connect) -> None:
        client = connect()
        client.shake_hands()
        client.ask(b'{"type":"SET","key":"k","value":"%b"}\n' % (b"x" * 10_000))
        client.tls.write(b'{"type":"GET","key":"k"}\n' * 20_000 + b'{"type":"FLUSH"}\n')
        first = client.conversation.receive(client.outgoing.read())
        assert client.conversation.wants is Wants.TURN
        assert len(first) < 2 * STEP_BYTES + 10_000 + 20 * ENVELOPE


class TestEnding:
    def test_a_close_notify_is_answered_with_one(self, connect: Connect) -> None:
        client = connect()
        client.shake_hands()
        client.ask(PING)
        client.send_close_notify()
        assert client.conversation.wants is Wants.END

    def test_requests_before_a_close_notify_are_answered_first(self, connect: Connect) -> None:
        client = connect()
        client.shake_hands()
        client.ask(b'{"type":"SET","key":"k","value":"%b"}\n' % (b"x" * 10_000))
        client.tls.write(b'{"type":"GET","key":"k"}\n' * 100)
        with pytest.raises(ssl.SSLWantReadError):
            client.tls.unwrap()
        client.carry()
        assert client.read().count(b"\n") == 100
        assert client.has_received_close_notify()
        assert client.conversation.wants is Wants.END

    def test_a_conversation_that_ends_sends_a_close_notify(self, connect: Connect) -> None:
        client = connect()
        client.shake_hands()
        assert replies(client.ask(b"hello\n" + PING)) == ["BAD_JSON"]
        assert client.has_received_close_notify()
        assert client.conversation.wants is Wants.END

    @pytest.mark.parametrize("seed", range(5))
    def test_garbage_in_place_of_a_client_hello_ends_the_conversation(
        self, connect: Connect, seed: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        client = connect()
        client.conversation.receive(random.Random(seed).getrandbits(8000).to_bytes(1000, "big"))
        assert client.conversation.wants is Wants.END
        (record,) = caplog.records
        assert record.getMessage() == "closed a TLS connection"
        assert "192.0.2.1:5000" in vars(record).values()

    @pytest.mark.parametrize(
        "asked", [PING, PING * 100, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\n" * 100]
    )
    def test_a_client_without_tls_is_cut_off_and_nothing_is_run(
        self, connect: Connect, inner: Inner, asked: bytes
    ) -> None:
        client = connect()
        sent = answer(client.conversation, [asked])
        assert b"PONG" not in sent
        assert client.conversation.wants is Wants.END
        assert not inner.stats.commands

    def test_a_broken_record_after_the_handshake_ends_the_conversation(
        self, connect: Connect, inner: Inner
    ) -> None:
        client = connect()
        client.shake_hands()
        client.tls.write(PING)
        record = bytearray(client.outgoing.read())
        record[-1] ^= 1
        client.conversation.receive(bytes(record))
        assert client.conversation.wants is Wants.END
        assert not inner.stats.commands

    def test_an_unencrypted_record_after_the_handshake_ends_the_conversation(
        self, connect: Connect, inner: Inner
    ) -> None:
        client = connect()
        client.shake_hands()
        client.conversation.receive(b"\x17\x03\x03\x00" + bytes([len(PING)]) + PING)
        assert client.conversation.wants is Wants.END
        assert not inner.stats.commands

    def test_closing_closes_the_inner_conversation(self, connect: Connect, inner: Inner) -> None:
        session = connect().conversation
        assert inner.stats.clients.connected == 1
        session.close()
        assert inner.stats.clients.connected == 0

    def test_a_client_over_max_clients_is_refused_in_tls(self, files: Files) -> None:
        crowded = Inner(Limits(max_clients=1))
        crowded.open(Wire())
        session = TlsConversation(certificates(files), crowded.open, Wire())
        client = Client(session, trusting(files.authority, None, None))
        assert wanted(session) is Wants.INPUT
        client.shake_hands()
        assert replies(client.ask(PING)) == ["TOO_MANY_CLIENTS"]
        assert client.has_received_close_notify()
        assert wanted(session) is Wants.END


class TestRecords:
    def test_many_records_of_one_byte_take_many_turns(self, connect: Connect) -> None:
        """Each costs some microseconds, and a read of a mebibyte has 47,000 of them."""
        client = connect()
        client.shake_hands()
        asked = PING * 70
        for at in range(len(asked)):
            client.tls.write(asked[at : at + 1])
        conversation, turns = client.conversation, 0
        output = conversation.receive(client.outgoing.read())
        while conversation.wants is Wants.TURN:
            turns += 1
            output += conversation.advance()
        assert turns >= len(asked) // READS
        client.is_given(output)
        assert client.read() == PONG * 70

    def test_bytes_waiting_to_be_decrypted_are_counted(self, connect: Connect) -> None:
        client = connect()
        client.shake_hands()
        for _ in range(3 * READS):
            client.tls.write(b" ")
        account = client.conversation._link.account
        client.conversation.receive(client.outgoing.read())
        assert account.held > 0
        answer(client.conversation, [])
        assert account.held == 0


class TestTimeOut:
    def test_a_timeout_before_the_handshake_sends_nothing(
        self, connect: Connect, inner: Inner, caplog: pytest.LogCaptureFixture
    ) -> None:
        session = connect().conversation
        session.time_out()
        assert session.wants is Wants.END
        assert inner.stats.clients.killed == 1
        assert "took too long" in repr(vars(caplog.records[-1]))

    def test_a_timeout_during_the_handshake_ends_the_conversation(self, connect: Connect) -> None:
        client = connect()
        with pytest.raises(ssl.SSLWantReadError):
            client.tls.do_handshake()
        client.conversation.receive(client.outgoing.read()[:100])
        client.conversation.time_out()
        assert client.conversation.wants is Wants.END

    def test_a_timeout_after_the_handshake_sends_an_error_and_a_close_notify(
        self, connect: Connect, inner: Inner
    ) -> None:
        client = connect()
        client.shake_hands()
        client.ask(b'{"type":')
        client.conversation.time_out()
        assert wanted(client.conversation) is Wants.TURN
        client.is_given(client.rest_of_replies())
        assert replies(client.read()) == ["TIMEOUT"]
        assert client.has_received_close_notify()
        assert client.conversation.wants is Wants.END

    def test_an_abort_is_counted_and_logged(self, connect: Connect, inner: Inner) -> None:
        client = connect()
        client.shake_hands()
        client.conversation.abort("it took nothing")
        assert inner.stats.clients.killed == 1


class TestCertificates:
    def test_a_client_without_a_certificate_is_served_where_none_is_required(
        self, connect: Connect
    ) -> None:
        client = connect()
        client.shake_hands()
        assert client.ask(PING) == PONG

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    @pytest.mark.parametrize("shows", ["client", "untrusted", "nothing"])
    def test_only_clients_with_a_certificate_of_the_authority_are_served(
        self,
        connect: Connect,
        files: Files,
        inner: Inner,
        shows: str,
        version: ssl.TLSVersion,
    ) -> None:
        context = trusting(files.authority, *getattr(files, shows, (None, None)))
        context.maximum_version = version
        client = connect(certificates(files, ask_clients=True), context)
        if shows == "client":
            client.shake_hands()
            assert client.ask(PING) == PONG
            return
        with pytest.raises(ssl.SSLError):
            client.ask_first(PING)
        assert client.conversation.wants is Wants.END
        assert not inner.stats.commands

    def test_a_client_does_not_trust_a_server_of_another_authority(
        self, connect: Connect, files: Files
    ) -> None:
        strange = Certificates(*files.untrusted, None)
        strange.load()
        client = connect(strange)
        with pytest.raises(ssl.SSLCertVerificationError):
            client.shake_hands()
        client.carry()
        assert client.conversation.wants is Wants.END

    def test_old_tls_versions_are_refused(self, connect: Connect, files: Files) -> None:
        certified = certificates(files)
        # So that nothing else than the version is in the way.
        certified.context.set_ciphers("ALL:@SECLEVEL=0")
        context = trusting(files.authority, None, None)
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        client = connect(certified, context)
        with pytest.raises(ssl.SSLError) as refusal:
            client.shake_hands()
        assert "PROTOCOL_VERSION" in str(refusal.value.reason)
        assert client.conversation.wants is Wants.END

    def test_reloaded_certificates_serve_new_clients_and_keep_old_ones_connected(
        self, connect: Connect, files: Files, tmp_path: Path
    ) -> None:
        path, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
        _copy(files.server, path, key)
        certified = Certificates(str(path), str(key), None)
        certified.load()
        old = connect(certified)
        old.shake_hands()
        _copy(files.renewed, path, key)
        certified.load()
        new = connect(certified)
        new.shake_hands()
        assert new.certificate() == _der(files.renewed.certificate)
        assert old.certificate() == _der(files.server.certificate)
        assert old.ask(PING) == new.ask(PING) == PONG

    @pytest.mark.parametrize(
        ("file", "becomes"),
        [
            *((file, bad) for file in ("certificate", "key", "authority") for bad in BAD),
            ("certificate", "untrusted.certificate"),
            ("certificate", "server.key"),
            ("key", "untrusted.key"),
            ("key", "server.certificate"),
            ("key", "protected_key"),
            ("authority", "server.key"),
        ],
    )
    def test_bad_files_at_a_reload_keep_the_old_certificates(
        self, connect: Connect, files: Files, tmp_path: Path, file: str, becomes: str
    ) -> None:
        paths = {name: tmp_path / name for name in ("certificate", "key", "authority")}
        _copy(files.server, paths["certificate"], paths["key"])
        shutil.copy(files.authority, paths["authority"])
        certified = Certificates(*map(str, paths.values()))
        certified.load()
        paths[file].unlink()
        if becomes != "missing":
            shutil.copy(BAD.get(becomes) or attrgetter(becomes)(files), paths[file])
        with pytest.raises((FileNotFoundError, ssl.SSLError)) as refusal:
            certified.load()
        assert str(paths[file]) in refusal.value.filename
        client = connect(certified, trusting(files.authority, *files.client))
        assert client.ask_first(PING) == PONG
        assert client.certificate() == _der(files.server.certificate)


@given(
    data=st.binary(max_size=2000), hello=st.integers(0, 600), cuts=st.lists(st.integers(0, 2000))
)
def test_any_bytes_raise_no_foreign_error(
    files: Files, data: bytes, hello: int, cuts: List[int]
) -> None:
    """After so many bytes of a good hello, anything."""
    session = TlsConversation(certificates(files), Inner().open, Wire())
    client = Client(session, trusting(files.authority, None, None))
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.do_handshake()
    data = client.outgoing.read()[:hello] + data
    ends = sorted(cuts)
    answer(session, (data[a:b] for a, b in zip([0, *ends], [*ends, None])))
    assert session.wants is not Wants.TURN
    session.time_out()
    session.close()


def _copy(issued: Issued, certificate: Path, key: Path) -> None:
    shutil.copy(issued.certificate, certificate)
    shutil.copy(issued.key, key)


def _der(path: str) -> bytes:
    first = Path(path).read_text().split("-----END CERTIFICATE-----")[0]
    return ssl.PEM_cert_to_DER_cert(first + "-----END CERTIFICATE-----\n")
