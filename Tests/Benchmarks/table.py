# The table of a comparison: each speed and size against plain SQLite of the same minute, the rest as it
# was measured. A cell without a figure has the number of the footnote that says why.

import os
import platform
import sqlite3

MEASURES = [
    ("insert", "bulk insert, time against plain SQLite", "{:.2f} ×"),
    ("size", "size on disk against plain SQLite", "{:.2f} ×"),
    ("catch_up", "copy to an empty second node, rows/s against plain insert rows/s", "{:.2f} ×"),
    ("exchange_bytes", "100 + 100 changed rows after a separation: bytes", "{:.0f}"),
    ("exchange_ms", "the same: milliseconds", "{:.1f}"),
    ("latency_ms", "commit → visible on the other: p50 / p99, milliseconds", "{:.2f} / {:.2f}"),
    ("memory", "memory of one node, idle / copying, MB", "{:.0f} / {:.0f}"),
    ("concurrent", "one row changed on both sides while apart", "{}"),
]
NOTES = {
    "one way": "One way only: the 200 rows change on one side. The other side takes no writes that would "
    "come back.",
    "library": "A library without connection or file: two documents in one process, bytes handed over in "
    "memory, nothing flushed; memory is what the process grew by.",
    "blocks": "Blocks of a closed file, one way. With an open database a copy can be torn; nothing is merged.",
    "two files": "The whole file of one side becomes a conflict copy: its changes are out of the table.",
    "stops": "One key inserted on both sides: the subscription stops until a person intervenes.",
    "refused": "A replica takes no writes.",
}
MARKS = "¹²³⁴⁵⁶⁷⁸⁹"
LIBRARIES = ("Automerge", "Yjs (pycrdt)", "Loro")


def notes_of(name, measure, value):
    """The footnotes of a cell."""
    if measure == "concurrent":
        return [value] if value in NOTES else []
    if name in LIBRARIES and measure in ("catch_up", "exchange_ms", "latency_ms", "memory"):
        return ["library"]
    if name.startswith("Syncthing") and measure in ("catch_up", "exchange_bytes", "exchange_ms"):
        return ["blocks"]
    if name in ("Redis replica", "PostgreSQL logical") and measure.startswith("exchange"):
        return ["one way"]
    return []


def figure(measure, result):
    """The value of a cell as it is shown: ratios, milliseconds, bytes, megabytes."""
    value = result.get("cells", {}).get(measure)
    if value is None:
        return None
    plain = result["plain"]
    if measure == "insert":
        return value / plain["seconds"]
    if measure == "catch_up":
        return plain["seconds"] / value
    if measure == "size":
        return value / plain["bytes"]
    if measure == "memory":
        return tuple(part / 1e6 for part in value)
    return value


def report(results, rows):
    """Everything that was measured, with stable names."""
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "")
    return {
        "rows": rows,
        "machine": f"{model}, {os.cpu_count()} cores, Linux {platform.release()}",
        "sqlite": sqlite3.sqlite_version,
        "python": platform.python_version(),
        "peers": [
            {
                "name": result["name"], "version": result.get("version"),
                "plain_rows_per_second":
                    rows / result["plain"]["seconds"] if "plain" in result else None,
                "figures": {measure: figure(measure, result) for measure, _, _ in MEASURES},
                "problem": result.get("unavailable") or result.get("failed"),
            }
            for result in results
        ],
    }


def markdown(report):
    """The table, its footnotes and the versions."""
    marks, used = {}, []

    def cell(peer, measure, form):
        value = peer["figures"][measure]
        notes = notes_of(peer["name"], measure, value)
        for note in notes:
            if note not in marks:
                marks[note] = MARKS[len(marks)]
                used.append(note)
        mark = "".join(marks[note] for note in notes)
        if value is None:
            return f"—{mark}"
        return form.format(*value if isinstance(value, tuple) else (value,)) + mark

    peers = [peer for peer in report["peers"] if not peer["problem"]]
    lines = ["| | " + " | ".join(peer["name"] for peer in peers) + " |", "|---" * (len(peers) + 1) + "|"]
    for measure, what, form in MEASURES:
        lines.append(f"| {what} | " + " | ".join(cell(peer, measure, form) for peer in peers) + " |")
    lines.append("")
    lines += [f"{marks[note]} {NOTES[note]}  " for note in used]
    versions = ", ".join(f"{peer['name']} {peer['version']}" for peer in peers)
    rates = [peer["plain_rows_per_second"] for peer in peers]
    lines += [
        "", f"{report['rows']} rows; {report['machine']}; {versions}; SQLite {report['sqlite']}, driven by "
        f"Python {report['python']}."]
    if rates:
        lines.append(f"Plain SQLite: {min(rates):.0f} to {max(rates):.0f} rows/s in this run.")
    lines += [f"{peer['name']}: {peer['problem']}" for peer in report["peers"] if peer["problem"]]
    return "\n".join(lines)
