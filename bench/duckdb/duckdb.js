// SPDX-License-Identifier: BSD-3-Clause
// DuckDB as a peer: node duckdb.js FILE CSV TIMES THREADS < [{name, sql}]
// Loads CSV (columns as of sc-query, numbers; addresses as text become numbers of 128 bits) into the database FILE unless it has the table,
// runs each query TIMES times and once before, on one open connection, and prints {name: {seconds: [...], rows: [[...]]}}.
const { DuckDBInstance } = require('@duckdb/node-api');

const ADDRESSES = ['srcip', 'dstip', 'nexthop', 'exporterip'];
const BITS = { proto: 8, flags: 8, tos: 8, srcmask: 8, dstmask: 8, srcport: 16, dstport: 16, inif: 32, outif: 32, srcas: 32, dstas: 32 };

async function load(connection, csv) {
  const there = await connection.runAndReadAll("select count(*) from information_schema.tables where table_name = 'flows'");
  if (Number(there.getRows()[0][0]) > 0)
    return;
  const head = (await connection.runAndReadAll(`select * from read_csv('${csv}', all_varchar = true) limit 1`)).columnNames();
  const columns = head.map((c) => ADDRESSES.includes(c) ? `md5_number(${c}) as ${c}` :
    `${c}::${{ 8: 'utinyint', 16: 'usmallint', 32: 'uinteger' }[BITS[c]] || 'ubigint'} as ${c}`);
  await connection.run(`create table flows as select ${columns.join(', ')} from read_csv('${csv}', all_varchar = true)`);
  await connection.run('checkpoint');
}

async function measure(connection, sql, times) {
  const seconds = [];
  let rows;
  for (let i = 0; i <= times; i++) {
    const begin = process.hrtime.bigint();
    rows = (await connection.runAndReadAll(sql)).getRows();
    if (i > 0)
      seconds.push(Number(process.hrtime.bigint() - begin) / 1e9);
  }
  return { seconds, rows: rows.slice(0, 20) };
}

async function main() {
  const [file, csv, times, threads] = process.argv.slice(2);
  const queries = JSON.parse(require('fs').readFileSync(0, 'utf8'));
  const instance = await DuckDBInstance.create(file, { threads });
  const connection = await instance.connect();
  await load(connection, csv);
  const found = {};
  for (const { name, sql } of queries)
    found[name] = await measure(connection, sql, Number(times));
  console.log(JSON.stringify(found, (_, v) => typeof v === 'bigint' ? v.toString() : v));
}

main().catch((e) => { console.error(e.message); process.exit(1); });
