"""The variables of django-configurations: `SECRET_KEY = values.SecretValue()` reads DJANGO_SECRET_KEY."""

import ast
from collections.abc import Iterator

from testbay.init.project import Project
from testbay.init.syntax import assignments, keywords, last, owner, text_of
from testbay.init.variable import Read, sample_of

# What takes its variable's name from the kind of value, and not from the setting.
_NAMED = {"DatabaseURLValue": "DATABASE_URL", "CacheURLValue": "CACHE_URL", "EmailURLValue": "EMAIL_URL"}


def reads(project: Project) -> Iterator[Read]:
    """Find the variables; one without a default is required where its value is a secret or says so."""
    for source in project.code if project.has("django-configurations") else ():
        for target, call in assignments(source.nodes):
            if isinstance(call, ast.Call) and owner(call) == "values" and last(call.func).endswith("Value"):
                kind, said = last(call.func), keywords(call)
                default = text_of(call.args[0]) if call.args else text_of(said.get("default", ast.Constant("")))
                prefix = text_of(said["environ_prefix"]) if "environ_prefix" in said else "DJANGO"
                name = text_of(said.get("environ_name", ast.Constant(last(target))))
                yield Read(
                    name=_NAMED.get(kind) or "_".join(filter(None, (prefix, name))),
                    default=default,
                    required=kind == "SecretValue" or "environ_required" in said,
                    where=f"{source.path}:{call.lineno}",
                    sample=sample_of(kind.removesuffix("Value").lower()),
                )
