"""Where settings are given: the command line, the environment, a file, the default.

Rule: a setting is one option of a command line. Its variable is `KV_` and its name, and in the TOML
file that `--config` names it is an entry of its name. The command line wins over the environment,
that over the file, that over the default. An empty variable is not set. Errors name the source.

One environment and one file serve both programs: an entry that only the other program has is left
alone, tables `[server]` and `[client]` hold what differs, and what Kubernetes sets for a service
called kv, `KV_PORT=tcp://10.0.0.7:7379`, is no setting.
"""

from __future__ import annotations

import difflib
import os
import re
import sys
from typing import (
    AbstractSet,
    Any,
    Callable,
    Dict,
    Iterable,
    Mapping,
    NamedTuple,
    Optional,
    Tuple,
    TypeVar,
)

import click
from click.core import ParameterSource

from application.limits import Limits
from entrypoints.settings.checks import refuse_byte_order_mark
from entrypoints.settings.kinds import FILE, Number, TrueOrFalse

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

F = TypeVar("F", bound=Callable[..., object])

CONTEXT = {"show_default": True, "help_option_names": ["-h", "--help"]}
"""Click's settings for a program that has settings."""

_BOTH = {"host", "port", "password_file", "tls", "tls_cert", "tls_key", "max_reply_bytes"}

SETTINGS: Mapping[str, AbstractSet[str]] = {
    "server": {
        *_BOTH,
        *("listen", "insecure", "tls_client_ca", "max_memory", "memory_policy"),
        *("data_dir", "fsync"),
        *("store", "store_prefix", "store_connections", "store_timeout"),
        *("store_allow_partial", "store_wait_replicas"),
        *("store_tls_ca", "store_tls_cert", "store_tls_key"),
        *("protocols", "http_hosts", "http_allow_origin"),
        *("shutdown_grace", "log_level", "log_format"),
        *Limits.__struct_fields__,
    },
    "client": {
        *_BOTH,
        *("url", "timeout", "connect_timeout", "tls_ca", "tls_server_name"),
    },
}
"""The settings of each program, which its table in a file may hold; so that one program knows what
is the other's."""

_RANK = {
    ParameterSource.COMMANDLINE: 3,
    ParameterSource.ENVIRONMENT: 2,
    ParameterSource.DEFAULT_MAP: 1,
}

COMMAND_LINE_RANK = _RANK[ParameterSource.COMMANDLINE]
ENVIRONMENT_RANK = _RANK[ParameterSource.ENVIRONMENT]

_OF_A_CONTAINER = re.compile(r"(tcp|udp|sctp)://")
"""What the variables hold that Kubernetes and Docker set for a service's port."""

_FILE_KEY = "kvjson.config"


class Given(NamedTuple):
    """A setting's value, the rank of its source, 0 for the default, and how users know it there."""

    value: Any
    rank: int
    origin: str


class Setting(click.Option):
    """An option that can also be given in the environment and in the file.

    `part_of` names the setting, an address, that says the same and more: what is given in a lower
    source than that address is not looked at. An empty text, such as that of a shell's variable
    that is not set, is refused unless it `may_be_empty`.
    """

    def __init__(
        self,
        *args: Any,
        part_of: Optional[str] = None,
        may_be_empty: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        if self.is_flag:
            self.type = TrueOrFalse()
        self.part_of = part_of
        self.may_be_empty = may_be_empty

    @property
    def variable(self) -> str:
        """The environment variable of the same meaning."""
        return f"KV_{(self.name or '').upper()}"

    def resolve_envvar_value(self, ctx: click.Context) -> Optional[str]:
        """What the variable holds; None when it is empty, or means something else."""
        value = os.environ.get(self.variable, "").rstrip("\r\n")
        if isinstance(self.type, Number) and _OF_A_CONTAINER.match(value):
            return None
        return value or None

    def consume_value(
        self, ctx: click.Context, opts: Mapping[str, Any]
    ) -> Tuple[Any, ParameterSource]:
        """The value, not yet converted, from the highest source that has it."""
        value, source = super().consume_value(ctx, opts)
        if self.part_of and _rank(ctx, self.part_of) > _RANK.get(source, 0):
            return self.get_default(ctx), ParameterSource.DEFAULT
        return value, source

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        """The value, converted; an error names the source."""
        try:
            if ctx.get_parameter_source(self.name or "") is ParameterSource.DEFAULT_MAP:
                self._refuse_other_types(value)
            converted = super().process_value(ctx, value)
            if value == "" and not self.may_be_empty:
                raise click.BadParameter("it is empty")
            return converted
        except click.BadParameter as error:
            raise click.BadParameter(error.message, ctx, self, self.origin(ctx)) from error

    def origin(self, ctx: click.Context) -> str:
        """How users know the setting where it was given."""
        turned_off = self.secondary_opts and ctx.params.get(self.name or "") is False
        option = max(self.secondary_opts if turned_off else self.opts, key=len)
        source = ctx.get_parameter_source(self.name or "")
        if source is ParameterSource.ENVIRONMENT:
            return f"{self.variable} ({option})"
        if source is ParameterSource.DEFAULT_MAP:
            return f"{self.name} in {ctx.meta.get(_FILE_KEY, 'the file')} ({option})"
        return f"'{option}'"

    def _refuse_other_types(self, value: Any) -> None:
        """A file has types of its own, and a setting is one of them or a list of several."""
        values = value if self.multiple and isinstance(value, (list, tuple)) else [value]
        wanted: Any = (bool,) if self.is_flag else (str,)
        wanted = (int, float, str) if isinstance(self.type, Number) else wanted
        for one in values:
            if not isinstance(one, wanted) or isinstance(one, bool) != self.is_flag:
                kind = "true or false" if self.is_flag else "a text or number of its kind"
                raise click.BadParameter(f"{one!r:.100} is not {kind}")


def setting(*names: str, **how: Any) -> Callable[[F], F]:
    """Give a command an option that is a `Setting`."""
    return click.option(*names, cls=Setting, **how)


def config_option(program: str) -> Callable[[F], F]:
    """Give a command `--config FILE`, the TOML file of its settings and those of `program`."""

    def read(context: click.Context, parameter: click.Parameter, path: Optional[str]) -> None:
        if path is None:
            return
        try:
            context.default_map = _settings_in(path, program, context.command)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise click.BadParameter(f"{path}: {why}", context, parameter) from error
        context.meta[_FILE_KEY] = path

    return setting(
        "--config",
        type=FILE,
        callback=read,
        is_eager=True,
        expose_value=False,
        help="A TOML file of settings, by the names below with _ for -.",
    )


def _settings_in(path: str, program: str, command: click.Command) -> Dict[str, Any]:
    """The settings of `program` in a file. Raises `OSError`, and `ValueError` for what is no TOML,
    or for a name that is no setting."""
    with open(path, "rb") as file:
        data = file.read()
    refuse_byte_order_mark(data)
    entries: Dict[str, Any] = tomllib.loads(data.decode())
    tables = {name: entries.pop(name) for name in SETTINGS if isinstance(entries.get(name), dict)}
    _refuse_unknown(entries, "setting", {*SETTINGS["server"], *SETTINGS["client"]}, SETTINGS)
    for table, held in tables.items():
        _refuse_unknown(held, f"setting of the {table}", SETTINGS[table])
    own = {**entries, **tables.get(program, {})}
    several = {param.name for param in command.params if getattr(param, "multiple", False)}
    return {
        name: [value] if name in several and not isinstance(value, list) else value
        for name, value in own.items()
        if name in SETTINGS[program]
    }


def _refuse_unknown(
    entries: Iterable[str], what: str, known: AbstractSet[str], tables: Iterable[str] = ()
) -> None:
    """Raise `ValueError` for the first name that is not known, with the closest that is, or that a
    table has."""
    for name in entries:
        if name not in known:
            close = difflib.get_close_matches(
                name.lower().replace("-", "_"), {*known, *tables}, n=1
            )
            hint = f"; the closest is {close[0]!r}" if close and close[0] != name else ""
            raise ValueError(f"no {what} is called {name!r:.100}{hint}")


def given(context: click.Context) -> Dict[str, Given]:
    """The settings of a command that was parsed, by name."""
    return {
        parameter.name: Given(
            context.params[parameter.name],
            _rank(context, parameter.name),
            parameter.origin(context),
        )
        for parameter in context.command.params
        if isinstance(parameter, Setting) and parameter.name in context.params
    }


def _rank(context: click.Context, name: str) -> int:
    source = context.get_parameter_source(name)
    return 0 if source is None else _RANK.get(source, 0)
