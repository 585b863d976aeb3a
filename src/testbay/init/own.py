"""The parts that a program's address keeps of its own at a server: database, login, numbered keyspace of Redis."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from testbay.init import addresses

PARTS = "{postgres.user}:{postgres.password}@{postgres.host}:{postgres.port}/{postgres.db}"
_REDIS = "redis://{dragonfly.user}:{dragonfly.password}@{dragonfly.host}:{dragonfly.port}/"
_LOGIN = re.compile(r"\{(\w+)\.user\}:\{\1\.password\}")
_PLAIN = re.compile(r"[\w.-]+")


@dataclass(frozen=True, kw_only=True)
class Own:
    """The databases and users that scripts make, and the numbers of keyspaces not to be mixed with the first."""

    databases: Collection[str] = ()
    users: Collection[str] = ()
    passwords: Collection[str] = ()
    keyspaces: Collection[str] = ()

    def keep(self, template: str, address: str) -> str:
        """Keep of an address, or of a database's name, what the server has; the template leads to the main one."""
        if (template, address) in self._logins:
            return address
        said = addresses.parts(address)
        user, password, db = said.get("user", ""), said.get("password", ""), said.get("db", "")
        keeps_user = user in self.users and bool(_PLAIN.fullmatch(password))
        url = re.match(r"\{(postgres|dragonfly)\.url\}", template)
        if url and url[1] == "dragonfly" and (keeps_user or db in self.keyspaces):
            template = f"{_REDIS}{db or '0'}{template[url.end() :]}"
        elif url and url[1] == "postgres" and (keeps_user or db in self.databases):
            template = f"postgresql://{PARTS}{template[url.end() :]}"
        if keeps_user:
            template = _LOGIN.sub(f"{user}:{password}", template)
        name = db or address
        return template.replace("{postgres.db}", name) if name in self.databases else template

    @property
    def _logins(self) -> set[tuple[str, str]]:
        """The parts of a login, each a variable of its own: DB_USER and DB_PASSWORD."""
        passwords = {("{postgres.password}", word) for word in self.passwords if _PLAIN.fullmatch(word)}
        return passwords | {("{postgres.user}", user) for user in self.users}
