"""Looks at an archive of days with DuckDB, as an analyst would. Prints JSON.

archive.py read FOLDER            what is in it: totals, days, how columns are stored, and every row
archive.py write FILE FIRST_MS    a file of its own: 1,000 readings of one series, and one without a value
"""

import json
import sys

import duckdb


def rows(query):
    return duckdb.sql(query).fetchall()


def read(folder):
    files = f"{folder}/**/*.parquet"
    # `time` is an instant; milliseconds since 1970 whatever the session's time zone is.
    table = f"read_parquet('{files}', hive_partitioning = true)"
    count, total = rows(f"SELECT count(*), sum(value) FROM {table}")[0]
    days = rows(f"SELECT year::INT, month::INT, day::INT, count(*), min(epoch_ms(time)), max(epoch_ms(time)) FROM {table} GROUP BY ALL ORDER BY ALL")
    columns = rows(f"SELECT DISTINCT path_in_schema, type, encodings, compression FROM parquet_metadata('{files}') ORDER BY ALL")
    about = rows(f"SELECT DISTINCT decode(key), decode(value) FROM parquet_kv_metadata('{files}') ORDER BY ALL")
    every = rows(f"SELECT device, measurement, epoch_ms(time), value, quality, unit, origin FROM {table} ORDER BY 1, 2, 3")
    print(json.dumps({"count": count, "sum": total, "days": days, "columns": columns, "about": about, "rows": every}))


def write(file, first_ms):
    values = f"SELECT 'duck-01' AS device, 'power' AS measurement, make_timestamp(({first_ms} + i * 1000) * 1000) AS time, CASE WHEN i < 1000 THEN i / 10 END AS value FROM range(1001) t(i)"
    duckdb.sql(f"COPY ({values}) TO '{file}' (FORMAT parquet)")
    print(json.dumps({"version": duckdb.__version__}))


if __name__ == "__main__":
    {"read": read, "write": write}[sys.argv[1]](*sys.argv[2:])
