"""The settings of both programs: every pair of sources, and what is refused by name."""

from __future__ import annotations

import io
import os
import re
import socket
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

import click
import pytest

from application.limits import Limits
from entrypoints.address import ListenAddress
from entrypoints.client.__main__ import main as client
from entrypoints.client.options import connection_settings
from entrypoints.server.__main__ import main as server
from entrypoints.server.options import server_settings
from entrypoints.settings.kinds import COUNT, KEEPALIVE, SECONDS, SIZE, Number, size
from entrypoints.settings.ranges import MAX_SECONDS
from entrypoints.settings.sources import SETTINGS, Setting
from tests.certificates import Files
from tests.support import ROOT

KUBERNETES = {
    "KV_SERVICE_HOST": "10.96.0.7",
    "KV_SERVICE_PORT": "7379",
    "KV_PORT": "tcp://10.96.0.7:7379",
    "KV_PORT_7379_TCP": "tcp://10.96.0.7:7379",
    "KV_PORT_7379_TCP_PROTO": "tcp",
    "KV_PORT_7379_TCP_PORT": "7379",
    "KV_PORT_7379_TCP_ADDR": "10.96.0.7",
}
"""What every container has in a namespace with a service called kv."""


class Program(NamedTuple):
    """A program's command line, and how its settings are put together."""

    command: click.Command
    name: str
    resolve: Any


SERVER = Program(server, "kv-server", server_settings)
CLIENT = Program(client, "kv", connection_settings)


class Sources:
    """The sources of settings of one test: variables, and a file."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._monkeypatch = monkeypatch
        for name in list(os.environ):
            if name.startswith("KV_"):
                monkeypatch.delenv(name)

    def file(self, name: str, content: str, mode: int = 0o600) -> str:
        path = self._folder / name
        path.write_bytes(content.encode())
        path.chmod(mode)
        return str(path)

    def resolve(
        self,
        program: Program,
        *typed: str,
        file: Optional[str] = None,
        **variables: str,
    ) -> Any:
        """The settings from a command line, variables, and a file's text."""
        for name, value in variables.items():
            self._monkeypatch.setenv(name, value)
        config = [] if file is None else ["--config", self.file("kv.toml", file)]
        with program.command.make_context(program.name, [*config, *typed]) as context:
            return program.resolve(context)

    def server(self, *typed: str, **more: Any) -> Any:
        return self.resolve(SERVER, *typed, **more)

    def client(self, *typed: str, **more: Any) -> Dict[str, Any]:
        values: Dict[str, Any] = self.resolve(CLIENT, *typed, **more).values
        return values

    def refusal(self, program: Program, *typed: str, **more: Any) -> str:
        """The message with which the program refuses its settings."""
        with pytest.raises(click.UsageError) as refusal:
            self.resolve(program, *typed, **more)
        return refusal.value.format_message()


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sources:
    return Sources(tmp_path, monkeypatch)


@pytest.fixture
def pem(files: Files, tmp_path: Path) -> Mapping[str, str]:
    """PEM files: a CA, a certificate alone, a key alone, a protected key, and both in one."""
    certificate, key = (Path(path).read_text() for path in files.server)
    both = tmp_path / "both.pem"
    both.write_text(certificate + key)
    both.chmod(0o600)
    return {
        "ca": files.authority,
        "cert": files.server.certificate,
        "key": files.server.key,
        "protected": files.protected_key,
        "both": str(both),
    }


class TestOneSetting:
    """The command line wins over the environment, that over the file, that over the default."""

    LEVELS: Sequence[Any] = [
        ({}, 10.0),
        ({"file": "timeout = 1"}, 1.0),
        ({"file": "timeout = 1", "KV_TIMEOUT": "2"}, 2.0),
        ({"KV_TIMEOUT": ""}, 10.0),
        ({"file": "timeout = 1", "KV_TIMEOUT": ""}, 1.0),
        ({"KV_TIMEOUT": "2\n"}, 2.0),
    ]

    @pytest.mark.parametrize(("given", "value"), LEVELS)
    def test_comes_from_the_highest_source(
        self, sources: Sources, given: Any, value: float
    ) -> None:
        assert sources.client(**given)["timeout"] == value
        assert sources.client("--timeout", "3", **given)["timeout"] == 3.0

    @pytest.mark.parametrize("option", ["--data-dir", "--protocols", "--store", "--tls-cert"])
    def test_an_empty_text_is_refused(self, sources: Sources, option: str) -> None:
        assert option in sources.refusal(SERVER, option, "")
        name = option[2:].replace("-", "_")
        assert f"{name} in " in sources.refusal(SERVER, file=f'{name} = ""')

    @pytest.mark.parametrize("option", ["--http-hosts", "--http-allow-origin"])
    def test_a_list_of_names_may_be_empty(self, sources: Sources, option: str) -> None:
        assert sources.server(option, "").values[option[2:].replace("-", "_")] in ("", (), [])

    @pytest.mark.parametrize(
        ("given", "origin"),
        [
            ({"typed": ["--port", "99999"]}, "'--port'"),
            ({"KV_PORT": "99999"}, "KV_PORT (--port)"),
            ({"file": "port = 99999"}, "kv.toml (--port)"),
            ({"file": "[{table}]\nport = 99999"}, "kv.toml (--port)"),
        ],
    )
    @pytest.mark.parametrize(("program", "table"), [(SERVER, "server"), (CLIENT, "client")])
    def test_a_bad_setting_is_refused_with_its_source(
        self, sources: Sources, program: Program, table: str, given: Dict[str, Any], origin: str
    ) -> None:
        given = dict(given)
        if "file" in given:
            given["file"] = given["file"].replace("{table}", table)
        message = sources.refusal(program, *given.pop("typed", []), **given)
        assert origin in message
        assert "99999" in message

    @pytest.mark.parametrize("program", [SERVER, CLIENT])
    def test_a_setting_has_a_variable_and_a_file_entry_of_its_name(self, program: Program) -> None:
        settings = [param for param in program.command.params if isinstance(param, Setting)]
        others = {"config", "help", "version", "check", "repair"}
        others |= {"askpass", "as_json", "raw", "exit_status"}  # of one run, not of a connection
        assert {param.name for param in program.command.params} - others == {
            setting.name for setting in settings
        } - {"config"}
        for setting in settings:
            assert setting.variable == f"KV_{str(setting.name).upper()}"

    @pytest.mark.parametrize(("program", "table"), [(SERVER, "server"), (CLIENT, "client")])
    def test_a_setting_is_read_from_the_table_of_its_program(
        self, program: Program, table: str
    ) -> None:
        names = {param.name for param in program.command.params if isinstance(param, Setting)}
        assert names - {"config"} == SETTINGS[table]


class TestNumbers:
    @pytest.mark.parametrize(
        "value", ["nan", "inf", "-inf", "1e999", "-1", "-0.5", "1x", "", "x", "1_0", "٣", "2000001"]
    )
    @pytest.mark.parametrize(
        ("program", "option"),
        [
            (SERVER, "--request-timeout"),
            (SERVER, "--send-timeout"),
            (SERVER, "--idle-timeout"),
            (SERVER, "--tcp-keepalive"),
            (SERVER, "--shutdown-grace"),
            (CLIENT, "--timeout"),
            (CLIENT, "--connect-timeout"),
        ],
    )
    def test_a_time_is_finite_and_in_range(
        self, sources: Sources, program: Program, option: str, value: str
    ) -> None:
        message = sources.refusal(program, f"{option}={value}")
        assert option in message
        assert repr(value) in message

    @pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "1.5", "true", "99999999999999999"])
    @pytest.mark.parametrize(
        "option",
        [
            "--max-clients",
            "--max-keys-per-request",
            "--max-request-bytes",
            "--max-reply-bytes",
            "--max-key-bytes",
            "--max-input-bytes",
        ],
    )
    def test_a_bound_is_a_whole_number_and_at_least_one(
        self, sources: Sources, option: str, value: str
    ) -> None:
        assert option in sources.refusal(SERVER, option, value)

    @pytest.mark.parametrize(
        "entry", ["nan", "inf", "-1", "true", '"x"', "[1]", "{a=1}", "1979-05-27"]
    )
    def test_a_file_is_held_to_the_same(self, sources: Sources, entry: str) -> None:
        message = sources.refusal(SERVER, file=f"request_timeout = {entry}")
        assert "request_timeout in " in message
        assert "--request-timeout" in message

    @pytest.mark.parametrize("program", [SERVER, CLIENT])
    def test_a_flag_in_the_environment_is_true_or_false(
        self, sources: Sources, program: Program
    ) -> None:
        message = sources.refusal(program, KV_TLS="maybe")
        assert message == "Invalid value for KV_TLS (--tls): 'maybe' is not true or false"

    @pytest.mark.parametrize("entry", ["7379.5", "true", '"high"', "0x1_0000"])
    def test_a_port_in_a_file_is_a_whole_number(self, sources: Sources, entry: str) -> None:
        assert "port in " in sources.refusal(SERVER, file=f"port = {entry}")

    @pytest.mark.parametrize("entry", ["1", '"yes"'])
    def test_a_flag_in_a_file_is_true_or_false(self, sources: Sources, entry: str) -> None:
        assert "insecure in " in sources.refusal(SERVER, file=f"insecure = {entry}")

    @pytest.mark.parametrize("entry", ["5", "true", '["127.0.0.1"]'])
    def test_a_host_in_a_file_is_text(self, sources: Sources, entry: str) -> None:
        assert "host in " in sources.refusal(SERVER, file=f"host = {entry}")

    @pytest.mark.parametrize("value", ["0.5", "32768", "1e9"])
    def test_a_keepalive_is_within_the_systems_range(self, sources: Sources, value: str) -> None:
        message = sources.refusal(SERVER, "--tcp-keepalive", value)
        assert "--tcp-keepalive" in message
        assert value in message

    @pytest.mark.parametrize(
        ("kind", "text", "number"),
        [
            (SECONDS, "30", 30.0),
            (SECONDS, "0", 0.0),
            (SECONDS, "1.5s", 1.5),
            (SECONDS, "500ms", 0.5),
            (SECONDS, "5m", 300.0),
            (SECONDS, "1h 30m", 5400.0),
            (SECONDS, "1w", 604_800.0),
            (SECONDS, "1h", 3600.0),
            (SECONDS, "2 d", 172800.0),
            (SECONDS, "1e3", 1000.0),
            (SECONDS, str(MAX_SECONDS), float(MAX_SECONDS)),
            (KEEPALIVE, "0", 0),
            (KEEPALIVE, "5m", 300),
            (SIZE, "1", 1),
            (SIZE, "512mb", 512 << 20),
            (SIZE, "1 GB", 1 << 30),
            (SIZE, "64k", 64 << 10),
            (COUNT, "2147483648", 2**31),
        ],
    )
    def test_text_may_have_a_unit(self, kind: Number, text: str, number: float) -> None:
        assert kind.convert(text, None, None) == number

    @pytest.mark.parametrize("number", [1, 1000, 1024, 1536, 16 << 20, (64 << 20) + 1024, 1 << 30])
    def test_a_size_is_written_as_it_can_be_read(self, number: int) -> None:
        assert SIZE.convert(size(number), None, None) == number

    def test_contradicting_limits_are_named_with_their_values(self, sources: Sources) -> None:
        message = sources.refusal(SERVER, "--max-reply-bytes", "1000", KV_MAX_REQUEST_BYTES="1000")
        for part in ("max_reply_bytes", "'--max-reply-bytes'", "KV_MAX_REQUEST_BYTES"):
            assert part in message

    def test_the_defaults_are_those_of_the_limits(self, sources: Sources) -> None:
        values = sources.server().values
        defaults = Limits()
        for name in Limits.__struct_fields__:
            assert values[name] == getattr(defaults, name)


A, B = "kv://a.example:1", "kv://b.example:2"

UNIX = "kv+unix:///run/kv.sock"


class TestClientAddress:
    """Each part of an address comes from the highest source that says it."""

    @pytest.mark.parametrize(
        ("typed", "variables", "file", "place"),
        [
            ([], {}, None, "127.0.0.1 7379"),
            ([], {}, f'url = "{A}"', "a.example 1"),
            ([], {"KV_URL": B}, f'url = "{A}"', "b.example 2"),
            (["--url", A], {"KV_URL": B}, None, "a.example 1"),
            (["--url", A], {"KV_PORT": "9"}, None, "a.example 1"),
            (["--url", A], {"KV_HOST": "h", "KV_PORT": "9"}, 'host = "i"\nport = 8', "a.example 1"),
            (["--url", "kv://a.example"], {"KV_PORT": "9"}, None, "a.example 7379"),
            (["--port", "9"], {"KV_URL": A}, None, "a.example 9"),
            (["--host", "h"], {"KV_URL": A}, None, "h 1"),
            (["--host", "h", "--port", "9"], {"KV_URL": A}, None, "h 9"),
            (["--port", "9"], {"KV_HOST": "h"}, f'url = "{A}"', "h 9"),
            ([], {"KV_PORT": "9"}, f'url = "{A}"', "a.example 9"),
            ([], {"KV_PORT": "9"}, 'port = 8\nhost = "h"', "h 9"),
            ([], {"KV_URL": A}, 'port = 8\nhost = "h"', "a.example 1"),
            (["--port", "9"], {"KV_PORT": "8"}, None, "127.0.0.1 9"),
            (["--url", UNIX], {"KV_HOST": "h", "KV_PORT": "9"}, None, "/run/kv.sock"),
            (["--host", "h"], {"KV_URL": UNIX}, None, "h 7379"),
            (["--port", "9"], {"KV_URL": UNIX}, None, "127.0.0.1 9"),
            (["--url", A, "--port", "1", "--host", "a.example"], {}, None, "a.example 1"),
            ([], {"KV_URL": A, "KV_PORT": "1"}, None, "a.example 1"),
            (["--url", A], {"KV_PORT": "garbage"}, None, "a.example 1"),
            (["--port", "9"], {"KV_PORT": "garbage"}, None, "127.0.0.1 9"),
            (["--url", A], KUBERNETES, None, "a.example 1"),
            ([], KUBERNETES, 'port = 8\nhost = "h"', "h 8"),
        ],
    )
    def test_pairs_of_sources(
        self,
        sources: Sources,
        typed: List[str],
        variables: Dict[str, str],
        file: Optional[str],
        place: str,
    ) -> None:
        values = sources.client(*typed, file=file, **variables)
        assert place == (values["unix_path"] or f"{values['host']} {values['port']}")

    @pytest.mark.parametrize(
        ("typed", "more", "named"),
        [
            (["--url", A, "--port", "9"], {}, ["'--url'", "'--port'"]),
            (["--url", A, "--host", "h"], {}, ["'--url'", "'--host'"]),
            (["--url", "kv://h", "--port", "9"], {}, ["'--url'", "'--port'"]),
            (["--url", UNIX, "--port", "7379"], {}, ["'--url'", "'--port'"]),
            ([], {"KV_URL": A, "KV_PORT": "9"}, ["KV_URL", "KV_PORT"]),
            ([], {"file": f'url = "{A}"\nhost = "h"'}, ["url in ", "host in ", "kv.toml"]),
        ],
    )
    def test_an_address_and_another_part_from_one_source_are_refused(
        self, sources: Sources, typed: List[str], more: Dict[str, Any], named: List[str]
    ) -> None:
        message = sources.refusal(CLIENT, *typed, **more)
        assert all(name in message for name in named)

    @pytest.mark.parametrize(
        ("typed", "more", "tls"),
        [
            (["--tls"], {}, True),
            ([], {"KV_TLS": "1"}, True),
            ([], {"file": "tls = true"}, True),
            (["--no-tls"], {"KV_TLS": "1"}, False),
            (["--tls"], {"KV_URL": A}, True),
            (["--no-tls"], {"KV_URL": "kvs://h"}, False),
            (["--url", "kvs://h"], {"KV_TLS": "0"}, True),
            (["--url", "kvs://h", "--tls"], {}, True),
            (["--url", A, "--no-tls"], {"KV_TLS": "1"}, False),
            ([], {"KV_URL": "kvs://h", "file": "tls = false"}, True),
            (["--no-tls", "--url", UNIX], {"KV_TLS": "1"}, False),
            (["--port", "9"], {"KV_URL": "kvs://h"}, True),
            (["--url", A], {"KV_URL": "kvs://h"}, False),
        ],
    )
    def test_tls_is_used_if_any_source_asks_for_it(
        self, sources: Sources, typed: List[str], more: Dict[str, Any], tls: bool
    ) -> None:
        assert sources.client(*typed, **more)["tls"] is tls

    @pytest.mark.parametrize(
        ("typed", "more", "named"),
        [
            (["--tls", "--url", A], {}, ["'--tls'", "'--url'"]),
            (["--url", A], {"KV_TLS": "1"}, ["KV_TLS", "'--url'"]),
            (["--url", A], {"file": "tls = true"}, ["tls in ", "'--url'"]),
            ([], {"KV_URL": A, "KV_TLS": "yes"}, ["KV_TLS", "KV_URL"]),
            (["--url", "kvs://h", "--no-tls"], {}, ["'--url'", "--no-tls"]),
            (["--url", UNIX, "--tls"], {}, ["'--tls'"]),
            (["--tls"], {"KV_URL": UNIX}, ["'--tls'"]),
        ],
    )
    def test_tls_that_was_asked_for_is_not_left_out(
        self, sources: Sources, typed: List[str], more: Dict[str, Any], named: List[str]
    ) -> None:
        message = sources.refusal(CLIENT, *typed, **more)
        assert all(name in message for name in named)

    def test_an_address_with_tls_and_no_tls_contradict_each_other(self, sources: Sources) -> None:
        message = sources.refusal(CLIENT, "--url", "kvs://h", "--no-tls")
        assert message.startswith("'--url' is an address with TLS, which '--no-tls' turns off")

    @pytest.mark.parametrize("option", ["--tls-ca", "--tls-cert", "--tls-server-name"])
    @pytest.mark.parametrize("address", [[], ["--url", A], ["--url", UNIX], ["--host", "h"]])
    def test_tls_files_without_tls_are_refused(
        self, sources: Sources, pem: Mapping[str, str], option: str, address: List[str]
    ) -> None:
        value = "h" if option == "--tls-server-name" else pem["both"]
        assert option in sources.refusal(CLIENT, *address, option, value)
        variable = "KV_" + option[2:].upper().replace("-", "_")
        assert variable in sources.refusal(CLIENT, *address, **{variable: value})
        assert not sources.client(*address, "--no-tls")["tls"]
        assert sources.client("--url", "kvs://h")["tls"]

    def test_a_key_without_a_certificate_is_refused(
        self, sources: Sources, pem: Mapping[str, str]
    ) -> None:
        assert "'--tls-key'" in sources.refusal(CLIENT, "--tls", "--tls-key", pem["key"])

    def test_an_address_is_never_quoted(self, sources: Sources) -> None:
        assert "sesame" not in sources.refusal(CLIENT, KV_URL="kv://:sesame@h:x")
        assert "sesame" not in sources.refusal(CLIENT, "--url", "kv://:sesame@h", "--port", "9")

    def test_a_server_name_apart_from_the_host(self, sources: Sources) -> None:
        values = sources.client("--url", "kvs://10.0.0.7", "--tls-server-name", "store.example")
        assert values["tls_server_name"] == "store.example"


class TestListen:
    @pytest.mark.parametrize(
        ("typed", "more", "addresses"),
        [
            ([], {}, "127.0.0.1:7379"),
            (["--host", "::1", "--port", "9"], {}, "[::1]:9"),
            (["--host", "[::1]"], {}, "[::1]:7379"),
            (["--listen", "127.0.0.1:9"], {}, "127.0.0.1:9"),
            (["--listen", "127.0.0.1:9", "--listen", "[::1]:9"], {}, "127.0.0.1:9 [::1]:9"),
            (["--listen", "unix:/run/kv.sock"], {}, "unix:/run/kv.sock"),
            ([], {"KV_LISTEN": "127.0.0.1:9 [::1]:9,unix:/s"}, "127.0.0.1:9 [::1]:9 unix:/s"),
            ([], {"file": 'listen = "127.0.0.1:9"'}, "127.0.0.1:9"),
            ([], {"file": 'listen = ["127.0.0.1:9", "[::1]:9"]'}, "127.0.0.1:9 [::1]:9"),
            (["--listen", "127.0.0.1:9"], {"KV_PORT": "8", "KV_HOST": "x y"}, "127.0.0.1:9"),
            (["--port", "8"], {"KV_LISTEN": "127.0.0.2:9"}, "127.0.0.2:8"),
            (["--host", "::1"], {"KV_LISTEN": "127.0.0.1:9"}, "[::1]:9"),
            ([], {"KV_LISTEN": "127.0.0.1:9", "file": "port = 8"}, "127.0.0.1:9"),
            ([], {"KV_PORT": "8", "file": 'listen = "127.0.0.2:9"'}, "127.0.0.2:8"),
            ([], {"KV_URL": "kv://elsewhere:9"}, "127.0.0.1:7379"),
            ([], KUBERNETES, "127.0.0.1:7379"),
        ],
    )
    def test_pairs_of_sources(
        self, sources: Sources, typed: List[str], more: Dict[str, Any], addresses: str
    ) -> None:
        assert " ".join(map(str, sources.server(*typed, **more).addresses)) == addresses

    @pytest.mark.parametrize(
        ("typed", "more", "named"),
        [
            (["--listen", "127.0.0.1:9", "--port", "8"], {}, ["'--listen'", "'--port'"]),
            ([], {"KV_LISTEN": "127.0.0.1:9", "KV_HOST": "::1"}, ["KV_LISTEN", "KV_HOST"]),
            ([], {"file": 'listen = "[::1]:9"\nport = 8'}, ["listen in ", "port in "]),
            (["--port", "8"], {"KV_LISTEN": "127.0.0.1:9 [::1]:9"}, ["'--port'", "KV_LISTEN"]),
            (["--port", "8"], {"KV_LISTEN": "unix:/s"}, ["'--port'", "KV_LISTEN", "unix:/s"]),
            (["--listen", "[::1]:9", "--listen", "[::1]:9"], {}, ["'--listen'", "twice"]),
            (["--listen", "9"], {}, ["'--listen'", "127.0.0.1:9"]),
            (["--host", "127.0.0.1:9"], {}, ["'--host'", "port"]),
            (["--host", ""], {}, ["'--host'"]),
            (["--host", "kv://h"], {}, ["'--host'"]),
        ],
    )
    def test_contradicting_listen_settings_are_refused_by_name(
        self, sources: Sources, typed: List[str], more: Dict[str, Any], named: List[str]
    ) -> None:
        message = sources.refusal(SERVER, *typed, **more)
        assert all(name in message for name in named)

    @pytest.mark.parametrize("where", ["0.0.0.0:9", "[::]:9", "192.0.2.1:9"])
    def test_an_address_that_others_reach_needs_a_password(
        self, sources: Sources, pem: Mapping[str, str], where: str
    ) -> None:
        typed = ["--listen", "unix:/s", "--listen", where]
        message = sources.refusal(SERVER, *typed)
        assert where in message
        assert "password" in message
        tls = ["--tls-cert", pem["both"], "--tls-client-ca", pem["ca"]]
        for guard in (["--insecure"], tls):
            assert len(sources.server(*typed, *guard).addresses) == 2
        assert len(sources.server(*typed, KV_PASSWORD="secret").addresses) == 2

    def test_tls_files_are_refused_where_no_address_has_tls(
        self, sources: Sources, pem: Dict[str, str]
    ) -> None:
        typed = ["--listen", "unix:/s", "--tls-cert", pem["both"]]
        assert "'--tls-cert' has no effect without a TCP" in sources.refusal(SERVER, *typed)
        assert len(sources.server(*typed, "--listen", "127.0.0.1:0").addresses) == 2
        assert len(sources.server(*typed[:2], KV_TLS_CERT="").addresses) == 1

    @pytest.mark.parametrize(
        ("typed", "more", "named"),
        [
            (["--insecure"], {}, ["'--insecure'", "this machine"]),
            (["--insecure", "--listen", "unix:/s"], {}, ["'--insecure'", "this machine"]),
            ([], {"KV_INSECURE": "1"}, ["KV_INSECURE", "this machine"]),
            (["--insecure", "--host", "0.0.0.0"], {"KV_PASSWORD": "secret"}, ["a password"]),
        ],
    )
    def test_insecure_is_refused_where_it_allows_nothing(
        self, sources: Sources, typed: List[str], more: Dict[str, Any], named: List[str]
    ) -> None:
        message = sources.refusal(SERVER, *typed, **more)
        assert all(name in message for name in named)

    def test_localhost_is_both_families_and_local(
        self, sources: Sources, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def one(host: str, port: int, **_: Any) -> List[Any]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

        monkeypatch.setattr(socket, "getaddrinfo", one)
        addresses = sources.server("--listen", "localhost:9").addresses
        assert addresses == [ListenAddress("tcp", "127.0.0.1", 9), ListenAddress("tcp", "::1", 9)]


class TestWithoutEffect:
    @pytest.mark.parametrize(
        ("typed", "more", "named"),
        [
            (["--memory-policy", "evict"], {}, ["'--memory-policy'", "--max-memory"]),
            (["--memory-policy", "refuse"], {}, ["'--memory-policy'", "--max-memory"]),
            ([], {"KV_MEMORY_POLICY": "evict"}, ["KV_MEMORY_POLICY", "--max-memory"]),
            ([], {"file": 'memory_policy = "evict"'}, ["memory_policy in ", "--max-memory"]),
            (["--max-memory", "0", "--memory-policy", "evict"], {}, ["'--memory-policy'"]),
            (["--tls"], {}, ["'--tls'", "--tls-cert"]),
            ([], {"KV_TLS": "1"}, ["KV_TLS", "--tls-cert"]),
            (
                ["--protocols", "json,resp", "--http-hosts", "a.example"],
                {},
                ["'--http-hosts'", "http among the --protocols"],
            ),
            (
                [],
                {"KV_PROTOCOLS": "json", "KV_HTTP_ALLOW_ORIGIN": "https://a.example"},
                ["KV_HTTP_ALLOW_ORIGIN", "http among the --protocols"],
            ),
        ],
    )
    def test_a_setting_of_the_server_is_refused_by_name(
        self, sources: Sources, typed: List[str], more: Dict[str, Any], named: List[str]
    ) -> None:
        message = sources.refusal(SERVER, *typed, **more)
        assert all(name in message for name in named)

    def test_tls_files_without_a_certificate_are_refused(
        self, sources: Sources, pem: Mapping[str, str]
    ) -> None:
        assert "'--tls-key'" in sources.refusal(SERVER, "--tls-key", pem["key"])
        assert "KV_TLS_CLIENT_CA" in sources.refusal(SERVER, KV_TLS_CLIENT_CA=pem["ca"])

    def test_a_higher_source_may_turn_off_what_a_lower_setting_needs(
        self, sources: Sources
    ) -> None:
        policy = 'max_memory = "1gb"\nmemory_policy = "evict"'
        assert sources.server("--max-memory", "0", file=policy).values["max_memory"] == 0
        hosts = sources.server("--protocols", "json", KV_HTTP_HOSTS="a.example")
        assert hosts.values["protocols"] == ("json",)


class TestOneFileAndOneEnvironmentForBoth:
    FILE = """
        port = 5000
        memory_policy = "evict"
        max_memory = "1gb"
        timeout = 2

        [server]
        host = "127.0.0.2"
        log_level = "debug"

        [client]
        host = "store.example"
        connect_timeout = "500ms"
    """

    def test_each_program_takes_its_own_from_a_file(self, sources: Sources) -> None:
        served = sources.server(file=self.FILE)
        assert list(map(str, served.addresses)) == ["127.0.0.2:5000"]
        assert served.values["log_level"] == "debug"
        values = sources.client(file=self.FILE)
        assert (values["host"], values["port"]) == ("store.example", 5000)
        assert (values["timeout"], values["connect_timeout"]) == (2.0, 0.5)

    def test_the_file_in_the_readme_serves_both(
        self, sources: Sources, pem: Mapping[str, str]
    ) -> None:
        (example,) = re.findall(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
        for name in ("cert", "key"):
            example = example.replace(f"/etc/kvjson/{name}.pem", pem[name])
        served = sources.server(file=example)
        assert (served.values["max_memory"], served.addresses[0].port) == (512 << 20, 5000)
        values = sources.client(file=example)
        assert (values["host"], values["port"], values["tls"]) == ("store.example", 5000, True)

    @pytest.mark.parametrize("program", [SERVER, CLIENT])
    @pytest.mark.parametrize(
        ("text", "named"),
        [
            ("prot = 1", "'prot'"),
            ("[server]\nprot = 1", "'prot'"),
            ("[client]\nlisten = 'x'", "'listen'"),
            ("[servr]\nport = 1", "'servr'"),
            ("password = 'x'", "'password'"),
            ("port =\nx", "line 1"),
            ("server = 1", "'server'"),
        ],
    )
    def test_a_name_that_neither_program_has_is_refused(
        self, sources: Sources, program: Program, text: str, named: str
    ) -> None:
        message = sources.refusal(program, file=text)
        assert named in message
        assert "kv.toml" in message

    def test_each_program_takes_its_own_from_the_environment(self, sources: Sources) -> None:
        variables = {
            "KV_LISTEN": "127.0.0.2:5000",
            "KV_URL": "kv://127.0.0.2:5000",
            "KV_MAX_MEMORY": "1gb",
            "KV_MEMORY_POLICY": "evict",
            "KV_TIMEOUT": "2",
            "KV_JSON": "1",
            "KV_PASSWORD": "secret",
            "KV_VERSION": "1.2.3",
            "KV_HELP": "https://store.example",
        }
        served = sources.server(**variables)
        assert list(map(str, served.addresses)) == ["127.0.0.2:5000"]
        values = sources.client()
        assert (values["host"], values["port"], values["password"]) == ("127.0.0.2", 5000, "secret")

    @pytest.mark.parametrize("program", [SERVER, CLIENT])
    def test_a_file_with_a_byte_order_mark_is_refused(
        self, sources: Sources, program: Program
    ) -> None:
        assert "byte order mark" in sources.refusal(program, file="\ufeffport = 1")

    @pytest.mark.parametrize(
        ("content", "closest"),
        [
            ("max-memory = 5", "max_memory"),
            ("[server]\nmax-memory = 5", "max_memory"),
            ("[client]\nTime-Out = 5", "timeout"),
            ("max_memroy = 5", "max_memory"),
            ("[clinet]\ntimeout = 5", "client"),
        ],
    )
    def test_an_unknown_name_in_a_file_is_answered_with_the_closest_one(
        self, sources: Sources, content: str, closest: str
    ) -> None:
        for program in (SERVER, CLIENT):
            message = sources.refusal(program, file=content)
            assert message.endswith(f"; the closest is {closest!r}")

    @pytest.mark.parametrize("program", [SERVER, CLIENT])
    def test_a_file_that_is_not_there_is_refused_with_its_source(
        self, sources: Sources, program: Program
    ) -> None:
        assert "KV_CONFIG" in sources.refusal(program, KV_CONFIG="/no/such/file")


class TestPassword:
    """One rule for a file, a variable, standard input and an address."""

    @pytest.mark.parametrize("end", ["", "\n", "\r\n", "\nsecond line\n"])
    def test_the_password_is_the_first_line_without_its_end(
        self, sources: Sources, monkeypatch: pytest.MonkeyPatch, end: str
    ) -> None:
        secret = "  pass wörd  "
        path = sources.file("secret", secret + end)
        for program in (SERVER, CLIENT):
            monkeypatch.setattr("sys.stdin", io.StringIO(secret + end))
            for typed in (["--password-file", path], ["--password-file", "-"]):
                assert sources.resolve(program, *typed).values["password"] == secret
        monkeypatch.setenv("KV_PASSWORD", secret + end)
        for program in (SERVER, CLIENT):
            assert sources.resolve(program).values["password"] == secret

    @pytest.mark.parametrize(
        ("typed", "variables", "file", "password"),
        [
            ([], {}, None, ""),
            ([], {"KV_PASSWORD": ""}, None, ""),
            ([], {"KV_PASSWORD": "variable"}, 'password_file = "{a}"', "variable"),
            (["--password-file", "{a}"], {"KV_PASSWORD": "variable"}, None, "a"),
            ([], {"KV_PASSWORD_FILE": "{b}"}, 'password_file = "{a}"', "b"),
            (["--url", "kv://:url@h"], {"KV_PASSWORD": "variable"}, None, "url"),
            (["--url", "kv://h"], {"KV_PASSWORD": "variable"}, None, "variable"),
            (["--url", "kv://h"], {"KV_URL": "kv://:old@h"}, None, ""),
            (["--password-file", "{a}"], {"KV_URL": "kv://:url@h"}, None, "a"),
            ([], {"KV_PASSWORD": "variable"}, 'url = "kv://:url@h"', "variable"),
            ([], {"KV_PASSWORD": "same", "KV_URL": "kv://:same@h"}, None, "same"),
        ],
    )
    def test_comes_from_the_highest_source(
        self,
        sources: Sources,
        typed: List[str],
        variables: Dict[str, str],
        file: Optional[str],
        password: str,
    ) -> None:
        paths = {name: sources.file(name, f"{name}\n") for name in ("a", "b")}
        variables = {name: value.format(**paths) for name, value in variables.items()}
        values = sources.client(
            *(word.format(**paths) for word in typed),
            file=file and file.format(**paths),
            **variables,
        )
        assert values["password"] == password

    def test_two_differing_passwords_in_one_source_are_refused_unquoted(
        self, sources: Sources
    ) -> None:
        path = sources.file("secret", "sesame-1")
        message = sources.refusal(CLIENT, KV_PASSWORD="sesame-2", KV_PASSWORD_FILE=path)
        assert "KV_PASSWORD_FILE" in message
        assert "sesame" not in message
        message = sources.refusal(CLIENT, "--url", "kv://:sesame-3@h", "--password-file", path)
        assert "'--url'" in message
        assert "'--password-file'" in message
        assert "sesame" not in message

    @pytest.mark.parametrize("program", [SERVER, CLIENT])
    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (b"", "empty"),
            (b"\nsecond", "empty"),
            (b"\r\n", "empty"),
            (b"\xef\xbb\xbfsesame\n", "byte order mark"),
            ("sesame\n".encode("utf-16"), "byte order mark"),
            (b"sesame\xff\n", "UTF-8"),
            (b"sesame" * 400, "longer than 2,048 bytes"),
        ],
    )
    def test_a_password_that_no_client_could_send_is_refused(
        self, sources: Sources, program: Program, content: bytes, why: str
    ) -> None:
        path = sources.file("secret", "")
        Path(path).write_bytes(content)
        message = sources.refusal(program, "--password-file", path)
        assert why in message
        assert "--password-file" in message
        assert "sesame" not in message
        if content and b"\0" not in content:
            message = sources.refusal(program, KV_PASSWORD=os.fsdecode(content))
            assert why in message
            assert "KV_PASSWORD" in message

    @pytest.mark.parametrize("program", [SERVER, CLIENT])
    @pytest.mark.parametrize(("mode", "warned"), [(0o600, 0), (0o640, 0), (0o644, 1), (0o604, 1)])
    def test_a_file_that_others_can_read_is_warned_of(
        self, sources: Sources, program: Program, mode: int, warned: int
    ) -> None:
        path = sources.file("secret", "sesame", mode)
        warnings = sources.resolve(program, "--password-file", path).warnings
        assert len(warnings) == warned
        assert all(path in warning and "sesame" not in warning for warning in warnings)

    @pytest.mark.parametrize("program", [SERVER, CLIENT])
    def test_blanks_around_the_password_are_warned_of(
        self, sources: Sources, program: Program
    ) -> None:
        (warning,) = sources.resolve(program, KV_PASSWORD=" sesame").warnings
        assert "blanks" in warning


BROKEN = "-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----\n"


class TestTlsFiles:
    @pytest.mark.parametrize(
        ("program", "certificate", "key", "more"),
        [
            (SERVER, "tls_cert", "tls_key", []),
            (SERVER, "store_tls_cert", "store_tls_key", ["--store", "rediss://h"]),
            (CLIENT, "tls_cert", "tls_key", ["--tls"]),
        ],
    )
    def test_a_key_of_another_certificate_is_refused_with_both_sources(
        self,
        sources: Sources,
        files: Files,
        program: Program,
        certificate: str,
        key: str,
        more: List[str],
    ) -> None:
        given = {"file": f'{key} = "{files.renewed.key}"'}
        flag = f"--{certificate.replace('_', '-')}"
        said = sources.refusal(program, *more, flag, files.server.certificate, **given)
        assert said.startswith(f"'{flag}' and {key} in ")
        assert said.endswith("cannot be used: the key is not that of the certificate")

    @pytest.mark.parametrize(
        ("program", "option", "more"),
        [
            (SERVER, "--tls-client-ca", []),
            (SERVER, "--store-tls-ca", ["--store", "rediss://h"]),
            (CLIENT, "--tls-ca", ["--tls"]),
        ],
    )
    def test_authorities_that_tls_cannot_read_are_refused_by_name(
        self, sources: Sources, program: Program, option: str, more: List[str]
    ) -> None:
        said = sources.refusal(program, *more, option, sources.file("ca.pem", BROKEN))
        assert option in said
        assert "ca.pem cannot be used" in said

    @pytest.mark.parametrize("program", [SERVER, CLIENT])
    def test_a_key_that_others_can_read_is_warned_of(
        self, sources: Sources, program: Program, pem: Mapping[str, str]
    ) -> None:
        tls = ["--tls"] if program is CLIENT else []
        cert = sources.file("cert", Path(pem["cert"]).read_text(), 0o644)
        key = sources.file("own key", Path(pem["key"]).read_text(), 0o600)
        both = sources.file("both", Path(pem["both"]).read_text(), 0o600)

        def warnings(*typed: str) -> List[str]:
            found: List[str] = sources.resolve(program, *tls, *typed).warnings
            return found

        assert not warnings("--tls-cert", cert, "--tls-key", key)
        assert not warnings("--tls-cert", both)
        os.chmod(both, 0o644)
        (warning,) = warnings("--tls-cert", both)
        assert both in warning
        open_key = sources.file("key", Path(key).read_text(), 0o644)
        (warning,) = warnings("--tls-cert", cert, "--tls-key", open_key)
        assert open_key in warning

    @pytest.mark.parametrize(("program", "tls"), [(SERVER, []), (CLIENT, ["--tls"])])
    def test_a_certificate_without_a_key_is_refused_with_the_missing_option(
        self, sources: Sources, pem: Mapping[str, str], program: Program, tls: List[str]
    ) -> None:
        message = sources.refusal(program, *tls, "--tls-cert", pem["cert"])
        assert "give --tls-key" in message
        assert pem["cert"] in message

    @pytest.mark.parametrize("program", [SERVER, CLIENT])
    @pytest.mark.parametrize(
        ("option", "content", "why"),
        [
            ("--tls-cert", "", "no certificate"),
            ("--tls-cert", "{key}", "no certificate"),
            ("--tls-key", "{cert}", "no private key"),
            ("--tls-key", "\ufeff{key}", "byte order mark"),
            ("--tls-cert", "\ufeff{cert}", "byte order mark"),
            ("--tls-key", "{protected}", "password"),
            ("--tls-cert", BROKEN, "cannot be used"),
        ],
    )
    def test_a_tls_file_without_the_needed_content_is_refused_by_name(
        self,
        sources: Sources,
        program: Program,
        pem: Mapping[str, str],
        option: str,
        content: str,
        why: str,
    ) -> None:
        texts = {name: Path(path).read_text() for name, path in pem.items()}
        path = sources.file("file.pem", content.format(**texts))
        message = sources.refusal(program, option, path)
        assert option in message
        assert path in message
        assert why in message
