"""The severity of patterns that have just been seen again: by their rate in the last day, and their spread."""

from collections.abc import Sequence

from error_monitor.database import Connection
from error_monitor.patterns.classify import raised

# The busiest minute of the last day before the pattern was last seen: an old log that is imported counts as it was.
# Of less than a day, what comes in bursts would be severe and not severe in turns, and its issue would open each time.
WEIGHTS = """
SELECT fingerprint, level, category, severity, reason, cardinality(services) AS services,
    (SELECT max(events) FROM (SELECT sum(events) AS events FROM error_monitor.occurrences AS o
        WHERE o.fingerprint = p.fingerprint AND o.minute > p.last_seen - interval '1 day'
        GROUP BY o.minute) AS minutes)::float AS per_minute
FROM error_monitor.patterns AS p WHERE fingerprint = ANY(%s) ORDER BY fingerprint"""
_WHY = "; severity: "


async def weigh(connection: Connection, fingerprints: Sequence[str]) -> None:
    """Raise or lower their severity, and say why it is not what level and category alone make it."""
    found = await connection.execute(WEIGHTS, (list(fingerprints),))
    for row in await found.fetchall():
        rate = row["per_minute"] or 0.0
        severity, why = raised(row["level"], row["category"], per_minute=rate, services=row["services"])
        reason = row["reason"].partition(_WHY)[0] + (_WHY + why if why else "")
        if (severity, reason) != (row["severity"], row["reason"]):
            await connection.execute(
                "UPDATE error_monitor.patterns SET severity = %s, reason = %s WHERE fingerprint = %s",
                (severity, reason, row["fingerprint"]),
            )
