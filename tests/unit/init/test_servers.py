import pytest
from tests.unit.init.conftest import add

from testbay.init import manifest, servers
from testbay.init.project import Project


def test_servers_are_found_by_image_and_by_client(project: Project) -> None:
    """No exporter counts as a server; where each was seen is said; a file of init's adds what the project's lacks."""
    compose = "services:\n  db: {image: '${PG:-postgres:15}'}\n  x: {image: postgres-exporter}\n"

    found = servers.servers(add(project, {"compose.yaml": compose, "requirements.txt": "celery[redis]\n"}), {})

    assert found.needs == {"postgres": "compose.yaml: db (postgres:15)", "dragonfly": "requirements.txt: celery"}
    assert (found.images, found.compose) == ({"postgres": "postgres:15"}, ("compose.yaml", "docker-compose.test.yml"))
    assert servers.compose_text(found, {}) == (
        "# Laid over compose.yaml for the tests, with the servers that it lacks.\n"
        "services:\n  redis:\n    image: redis:8\n"
    )


INI = "[database{0}]\nhost = localhost\nport = 5432\nuser = me\nname = shop{0}\n\n"
TESTS = INI.format("_test")


@pytest.mark.parametrize(
    ("name", "named"),
    [("compose.yaml", ()), ("docker-compose.test.yml", ()), ("docker-compose.ci.yml", ("docker-compose.ci.yml",))],
)
def test_a_compose_file_with_every_server_is_used(project: Project, name: str, named: tuple[str, ...]) -> None:
    """The manifest names it where Compose does not find it."""
    both = "services: {db: {image: postgres}, cache: {image: 'valkey/valkey:8'}}"

    found = servers.servers(
        add(project, {name: both, "docker-compose.dev.yml": "services: {db: {image: postgres}}"}), {}
    )

    assert (found.compose, found.missing, found.refused) == (named, False, ())


@pytest.mark.parametrize(
    "name",
    [
        "deploy/compose.yaml",
        "tests/docker-compose.yml",
        "infra/docker/docker-compose.dev.yml",
        "docker/compose/docker-compose.postgres.yml",
        "compose.services.yml",
        "compose.middleware.yml",
    ],
)
def test_a_compose_file_in_a_usual_folder_is_found(project: Project, name: str) -> None:
    """Where there is no other; a file for production is none."""
    add(project, {name: "services: {db: {image: postgres}}", "docker-compose.prod.yml": "services: {q: {image: nats}}"})

    found = servers.servers(project, {})

    assert (list(found.needs), found.compose) == (["postgres"], (name,))


ONE = "services: {db: {image: postgres, environment: {POSTGRES_PASSWORD: x, POSTGRES_DB: app}}}"
SCRIPT = ONE[:-2] + ", volumes: ['./s:/docker-entrypoint-initdb.d']}}"
NAMED = 'URL = f"postgresql://{s.user}:{s.word}@{s.host}/{s.name}_test"\n'


@pytest.mark.parametrize(
    ("compose", "more", "made"),
    [
        ("services: {db: {image: postgres, environment: {POSTGRES_PASSWORD: x, POSTGRES_DB: app}}}", "", "app_test"),
        ("", "", "postgres_test"),
        ("", "create_database(URL)\n", ""),
    ],
)
def test_a_database_named_after_the_programs_own_is_made(project: Project, compose: str, more: str, made: str) -> None:
    """By a script in a file of init's, unless the suite creates it itself."""
    files = {"compose.yaml": compose} if compose else {}

    draft = manifest.draft(add(project, files | {"requirements.txt": "asyncpg", "tests/conftest.py": NAMED + more}), {})

    text = servers.compose_text(draft.servers, draft.logins)
    beside = (made,) if made else ()
    assert (draft.servers.beside, f'      CREATE DATABASE "{made}";' in text) == (beside, bool(made))


@pytest.mark.parametrize("text", ['{"database": f"{s.name}_test"}', 'connect(dbname=s.name + "_test")'])
def test_a_database_named_in_parts_is_made(project: Project, text: str) -> None:
    """In the program's configuration for tests, whose name no runner of tests knows."""
    made = manifest.draft(add(project, {"requirements.txt": "asyncpg", "conf_test.py": f"import s\nDB = {text}"}), {})

    assert made.servers.beside == ("postgres_test",)


def test_the_compose_file_says_what_the_program_is_given(project: Project) -> None:
    """Better than a guess: an algorithm called "test" is none, and a secret's file lies elsewhere in the container."""
    api = "api: {build: ., environment: {ALG: HS256, KEY_FILE: /run/secrets/key}, secrets: [key]}"
    db = "db: {image: postgres, environment: {POSTGRES_PASSWORD: x}}"
    compose = f"services: {{{db}, {api}}}\nsecrets: {{key: {{file: secrets/key.txt}}}}"
    text = 'import os\nos.environ["ALG"]\nopen(os.environ["KEY_FILE"])\n'
    found = add(project, {"compose.yaml": compose, "a.py": text, "secrets/key.txt": "k"})

    lines = manifest.draft(found, {}).env

    assert [(line.key, line.value) for line in lines] == [("ALG", '"HS256"'), ("KEY_FILE", '"secrets/key.txt"')]


def test_a_database_for_tests_is_the_one_that_the_compose_file_says(project: Project) -> None:
    """If its scripts make it: the program may look at the name."""
    api = "api: {build: ., environment: {DB_TEST_URL: 'postgresql://a:b@db/shop_test'}}"
    mount = "volumes: ['./db.sql:/docker-entrypoint-initdb.d/db.sql']"
    compose = f"services: {{db: {{image: postgres, environment: {{POSTGRES_PASSWORD: x}}, {mount}}}, {api}}}"
    files = {"compose.yaml": compose, "db.sql": "CREATE DATABASE shop_test;", "a.py": 'os.getenv("DB_TEST_URL")\n'}

    lines = manifest.draft(add(project, files | {"requirements.txt": "psycopg"}), {}).env

    login = "{postgres.user}:{postgres.password}@{postgres.host}:{postgres.port}"
    assert [(line.key, line.value) for line in lines] == [("DB_TEST_URL", f'"postgresql://{login}/shop_test"')]


def test_a_compose_file_without_its_password_is_not_used(project: Project) -> None:
    """The image would not start: init's own file does, and what the other lacks is said."""
    text = "services: {db: {image: postgres, environment: {POSTGRES_PASSWORD: '${DB_PASS}'}}}"

    found = servers.servers(add(project, {"compose.yaml": text}), {})

    assert found.missing
    assert found.refused == ("compose.yaml: services.db has an empty POSTGRES_PASSWORD (DB_PASS is not set)",)


RUNNER = {"docker-compose.test.yml": "services: {tests: {build: ., command: pytest}}", "requirements.txt": "asyncpg"}


def test_a_file_with_the_runner_of_the_tests_alone_leaves_the_servers_to_others(project: Project) -> None:
    """It is laid over the usual file; without one the manifest names one that init writes beside it."""
    alone = manifest.draft(add(project, RUNNER), {})
    add(project, {"compose.yaml": "services: {db: {image: postgres, environment: {POSTGRES_PASSWORD: x}}}"})
    found = servers.servers(project, {})

    assert [line.value for line in alone.keys if line.key == "compose"] == ['"docker-compose.testbay.yml"']
    assert (list(found.needs), found.compose) == (["postgres"], ("compose.yaml", "docker-compose.test.yml"))


def test_a_layer_is_laid_over_the_usual_file(project: Project) -> None:
    """docker-compose.test.yml that stands on docker-compose.yml; the manifest names both."""
    layer = "services: {test: {build: ., depends_on: [db]}}"
    files = {"docker-compose.yml": "services: {db: {image: postgres:15, environment: {POSTGRES_PASSWORD: x}}}"}

    found = servers.servers(add(project, files | {"docker-compose.test.yml": layer, "requirements.txt": "asyncpg"}), {})

    assert (found.compose, found.missing) == (("docker-compose.yml", "docker-compose.test.yml"), False)
    assert (found.images, found.refused) == ({"postgres": "postgres:15"}, ())


@pytest.mark.parametrize(
    ("files", "made"),
    [
        ({"config.ini": INI.format("") + INI.format("_test")}, "shop_test"),
        (
            {"conf.py": 'DB = {"host": "localhost", "port": 5432, "user": "me", "database": "shop"}', "a.ini": TESTS},
            "shop_test",
        ),
        ({"config.ini": INI.format("_test")}, ""),
        ({"config.ini": INI.format("") + INI.format("_test"), "make.py": 'run("CREATE DATABASE x")'}, ""),
    ],
)
def test_a_database_of_the_settings_for_tests_is_made(project: Project, files: dict[str, str], made: str) -> None:
    """Beside the program's own, where both have fixed addresses; not one that the program creates."""
    found = manifest.draft(add(project, {"requirements.txt": "psycopg", "app.py": "x = 1", **files}), {})

    assert found.servers.beside == ((made,) if made else ())


@pytest.mark.parametrize(
    ("compose", "reads", "made", "led"),
    [
        ("", "E('A_DSN', '{}/a'), E('B_DSN', '{}/b'), E('C_DSN', '{}/c')", ("b", "c"), ["b", "c"]),
        (ONE, "E('DB_URL', '{}/app'), E('STATS_DB_URL', '{}/stats')", ("stats",), ["stats"]),
        (ONE, "E('DB_NAME', 'app'), E('STATS_DB_NAME', 'stats')", ("stats",), ["stats"]),
        (ONE, "E('DB_URL', '{}/app'), E('READ_DB_URL', '{}/dev'), E('ADMIN_URL', '{}/postgres')", (), []),
        (ONE, "E('DB_URL', '{}/dev'), E('DATABASE_URL', '{}/dev')", (), []),
        (ONE, "E('DB_URL', '{}/app'), E('STATS_TEST_URL', '{}/stats')", (), []),
        (SCRIPT, "E('A_URL', '{}/app'), E('B_URL', '{}/b')", (), ["b"]),
    ],
)
def test_a_database_that_another_variable_names_is_made(
    project: Project, compose: str, reads: str, made: tuple[str, ...], led: list[str]
) -> None:
    """Each variable leads to its own, unless it names the program's in other words. A script's own is there already."""
    text = "from os import getenv as E\n" + reads.replace("{}", "postgresql://me:pw@localhost")
    files = {"app.py": text, "requirements.txt": "psycopg", "s/a.sql": "create database b;"}
    draft = manifest.draft(add(project, files | ({"compose.yaml": compose} if compose else {})), {})

    assert draft.servers.beside == made
    ends = [line.value.strip('"').rpartition("/")[2] for line in draft.env]
    assert [db for db in ends if not db.startswith("{")] == led


PLACE = "{redis.host}:{redis.port}/0"
RLS = "CREATE ROLE tenant LOGIN PASSWORD 'pw';\nDO $$ BEGIN IF NOT EXISTS (SELECT) THEN CREATE USER IF; END $$;"
ACL = "services: {c: {image: redis, command: redis-server --aclfile /u, volumes: ['./u:/u']}}"
HOST = "redis://{redis.user}:{redis.password}@{redis.host}:{redis.port}"


@pytest.mark.parametrize(
    ("files", "default", "led"),
    [
        (
            {"compose.yaml": SCRIPT, "s/a.sql": RLS},
            "postgresql://tenant:pw@localhost/app",
            "postgresql://tenant:pw@{postgres.host}:{postgres.port}/{postgres.db}",
        ),
        (
            {"migrations/1.sql": RLS},
            "postgresql+psycopg://tenant:pw@db/app",
            "postgresql+psycopg://tenant:pw@{postgres.host}:{postgres.port}/{postgres.db}",
        ),
        ({"migrations/1.sql": RLS}, "postgresql://me:pw@localhost/app", "{postgres.url}"),
        ({"migrations/1.sql": RLS}, "host=localhost user=me dbname=app", "{postgres.url}"),
        ({"compose.yaml": ACL, "u": "user app on >pw ~a* +@all"}, "redis://app:pw@h/0", "redis://app:pw@" + PLACE),
        ({"compose.yaml": ACL, "u": "user app on >pw ~a* +@all"}, "redis://:pw@h/0", "{redis.url}"),
        ({"b.py": "C = getenv('FIRST_REDIS_URL', 'redis://h')\nc.flushdb()"}, "redis://h/1", f"{HOST}/1"),
        ({"b.py": "C = getenv('FIRST_REDIS_URL', 'redis://h')"}, "redis://h/1", "{redis.url}"),
        ({"b.py": "c.flushdb()"}, "redis://h/1", "{redis.url}"),
    ],
)
def test_an_address_keeps_what_the_server_has_of_its_own(
    project: Project, files: dict[str, str], default: str, led: str
) -> None:
    """A role with fewer rights, a user of an ACL, a keyspace that another one's FLUSHDB must not empty."""
    client = "redis" if "redis:" in default else "psycopg\nsqlalchemy" if "+" in default else "psycopg"
    named = {"a.py": f"from os import getenv\nA = getenv('APP_URL', '{default}')", "requirements.txt": client}

    draft = manifest.draft(add(project, named | files), {})

    assert [line.value.strip('"') for line in draft.env if line.key == "APP_URL"] == [led]


def test_a_database_that_a_script_may_make_is_made_unless_it_is_there(project: Project) -> None:
    """A loop over names is not read; the file is the last that the server runs."""
    script = "for db in stats; do createdb -U $POSTGRES_USER $db; done"
    app = "D = getenv('DB_URL', 'postgresql://h/app'), getenv('STATS_DB_URL', 'postgresql://h/stats')"

    made = manifest.draft(add(project, {"compose.yaml": SCRIPT, "s/a.sh": script, "app.py": app}), {})

    text = servers.compose_text(made.servers, made.logins)
    assert "target: /docker-entrypoint-initdb.d/zz-tests.sql" in text
    assert """SELECT 'CREATE DATABASE "stats";' WHERE NOT EXISTS (SELECT FROM pg_database WHERE""" in text
    assert "datname = 'stats')\\gexec\n" in text


def test_the_parts_of_a_login_that_a_script_makes_are_kept(project: Project) -> None:
    """As the documentation of PostgreSQL's image shows it: with the variables of the container."""
    compose = SCRIPT.replace("POSTGRES_PASSWORD: x", "POSTGRES_PASSWORD: x, DOCS: docs, WORD: pw")
    script = "psql <<-EOSQL\nCREATE USER $DOCS WITH PASSWORD '${WORD}';\nCREATE DATABASE $DOCS OWNER $DOCS;\nEOSQL"
    app = "D = env('DB_HOST', 'h'), env('DB_USER', 'docs'), env('DB_PASS', 'pw'), env('DB_NAME', 'docs')"

    made = manifest.draft(add(project, {"compose.yaml": compose, "s/a.sh": script, "app.py": app}), {})

    assert {line.key: line.value for line in made.env} == {
        "DB_HOST": '"{postgres.host}"',
        "DB_USER": '"docs"',
        "DB_PASS": '"pw"',
        "DB_NAME": '"docs"',
    }


@pytest.mark.parametrize(
    ("test", "said"),
    [
        ("A, B = redis.from_url('redis://localhost:6379'), redis.from_url('redis://localhost:6380')", ["6380 (b)"]),
        ("A = redis.from_url(os.getenv('B_URL', 'redis://localhost:6380'))", []),
        ("A = redis.from_url('redis://localhost:6379'), 'redis://localhost:1'", []),
    ],
)
def test_a_second_server_that_the_tests_go_to_is_said(project: Project, test: str, said: list[str]) -> None:
    """It is that of whoever works on the project, with the project's own compose file up."""
    compose = "services: {a: {image: redis, ports: ['6379:6379']}, b: {image: redis, ports: ['6380:6379']}}"

    made = manifest.draft(add(project, {"compose.yaml": compose, "tests/test_a.py": f"import os, redis\n{test}"}), {})

    lines = [line for line in made.missing if "which names port" in line]
    assert [line.partition("names port ")[2].partition(":")[0] for line in lines] == said


@pytest.mark.parametrize(
    ("more", "taken"),
    [
        ("", "broker"),
        ("web: {image: x, depends_on: [cache]}, jobs: {image: y, depends_on: [cache]}", "cache"),
        ("web: {build: ., depends_on: [cache]}, a: {image: y, depends_on: [broker]}", "cache"),
        ("redis-test: {image: 'redis:6'}, web: {build: ., depends_on: [cache]}", "redis-test"),
        ("contest-redis: {image: 'redis:6'}, web: {build: ., depends_on: [cache]}", "cache"),
        ("n8n: {image: x, depends_on: [n8n-redis]}, n8n-redis: {image: 'redis:6'}", "broker"),
        ("t: {image: x, command: sh -c 'pytest -q', depends_on: [cache]}, redis-test: {image: 'redis:6'}", "cache"),
    ],
)
def test_one_of_several_servers_is_taken(project: Project, more: str, taken: str) -> None:
    """That of the tests, of the program in this folder, or of most services; the manifest names it, and the others."""
    both = "broker: {image: 'redis:7'}, cache: {image: 'redis:7'}"
    made = manifest.draft(add(project, {"compose.yaml": f"services: {{{both}, {more}}}"}), {})

    lines = made.text.splitlines()
    named = lines[lines.index("[services]") + 1]
    assert named.startswith(f'redis = "{taken}"  # compose.yaml: {taken}, not ')
    assert f"a second Redis (or Valkey, Dragonfly), as {named.partition('# ')[2]}" in made.missing
    assert (made.servers.missing, made.servers.refused) == (False, ())


def test_a_server_that_is_added_takes_no_service_of_the_files(project: Project) -> None:
    """Laid over a service that is built, Docker would build that one, and call it redis:8."""
    compose = "services: {db: {image: 'postgres:16'}, redis: {build: cache}}"
    made = manifest.draft(add(project, {"compose.yaml": compose, "requirements.txt": "redis"}), {})

    assert servers.compose_text(made.servers, {}).splitlines()[1:] == [
        "services:",
        "  redis-tests:",
        "    image: redis:8",
    ]


def test_a_cluster_is_not_taken_apart(project: Project) -> None:
    """One node answers for a part of the keys alone."""
    node = "{image: redis, command: redis-server --cluster-enabled yes}"
    files = {"compose.yaml": f"services: {{a: {node}, b: {node}}}", "requirements.txt": "redis"}
    found = servers.servers(add(project, files), {})

    assert (found.missing, len(found.refused)) == (True, 1)


@pytest.mark.parametrize(("image", "written"), [("postgres:15", "postgres:15"), ("postgres", "postgres:18")])
def test_a_new_compose_file_has_cis_version(project: Project, image: str, written: str) -> None:
    """The tests' own pg_dump refuses a newer server."""
    ci = f"jobs: {{t: {{services: {{db: {{image: {image}}}, x: {{image: mysql:8}}}}}}}}"
    found = servers.servers(add(project, {"requirements.txt": "psycopg", ".github/workflows/ci.yml": ci}), {})

    assert f"    image: {written}" in servers.compose_text(found, {}).splitlines()


@pytest.mark.parametrize(
    ("package", "need"), [("channels-redis", "dragonfly"), ("taskiq-nats", "nats"), ("procrastinate", "postgres")]
)
def test_a_layer_above_a_client_needs_the_server(project: Project, package: str, need: str) -> None:
    """The client itself is then in no file of the project."""
    assert list(servers.servers(add(project, {"requirements.txt": package}), {}).needs) == [need]


@pytest.mark.parametrize(
    ("service", "said"),
    [
        ("image: team/warehouse:13, ports: ['5432:5432']", ["team/warehouse:13"]),
        ("image: zalando/spilo-15, expose: ['5432']", ["zalando/spilo-15"]),
        ("image: edoburu/pgbouncer, ports: ['5432:5432']", []),
        ("image: team/warehouse, ports: ['5432:8080']", []),
    ],
)
def test_a_service_at_a_servers_port_may_be_one(project: Project, service: str, said: list[str]) -> None:
    """Beside it, testbay's own file would have another version, and not its settings."""
    files = {"requirements.txt": "psycopg", "compose.yml": f"services: {{db: {{{service}}}}}"}
    made = manifest.draft(add(project, files), {})

    told = (
        "runs: if that is PostgreSQL, whose port it has, remove docker-compose.test.yml and add [services] postgres = "
    )
    lines = [f'what compose.yml: db ({image}) {told}"db"' for image in said]
    assert [line for line in made.missing if "compose.yml: db" in line] == lines
