"""The loader of YAML: libyaml reads it, in a tenth of PyYAML's own time, and Python puts it together.

`yaml.CSafeLoader` does the latter in C as well, without a limit: 100 000 open brackets end the process with a SIGSEGV.
"""

from typing import Any

import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

Loader: Any
try:
    from yaml.cyaml import CParser  # type: ignore[attr-defined] # its stub does not say so
except ImportError:  # PyYAML was built without libyaml
    Loader = yaml.SafeLoader
else:

    class _Loader(Composer, CParser, SafeConstructor, Resolver):
        def __init__(self, stream: str | bytes) -> None:
            CParser.__init__(self, stream)
            Composer.__init__(self)
            SafeConstructor.__init__(self)
            Resolver.__init__(self)

    Loader = _Loader
